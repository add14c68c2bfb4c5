// SPDX-License-Identifier: MPL-2.0
//! Conversion between the bytes of planar frames and their components: memory layout and storage of samples.

use super::format::{Depth, Frame, Memory, Planar, Plane};
use crate::graph::ops::mix::mix;
use crate::graph::write::builder::{Builder, Name};
use crate::model::ElementType;

/// A frame's components, codes as floats.
pub(crate) struct Samples {
    /// Component 0, `[1, 1, H, W]`.
    pub first: Name,
    /// Components 1 and 2 in memory order, `[1, 2, h, w]`, and their numbers in that order.
    pub others: Option<(Name, [usize; 2])>,
}

/// Reads the components from a frame's bytes, `[1, size]`.
pub(crate) fn read(b: &mut Builder, frame: &Frame, planar: &Planar, bytes: &str) -> Samples {
    let (width, height) = (frame.width as i64, frame.height as i64);
    let (w, h) = frame.chroma(planar.subsampling);
    let (w, h) = (w as i64, h as i64);
    let mut first = None;
    let mut others = Vec::new();
    for (index, plane) in planar.planes.iter().enumerate() {
        let rows = rows(b, frame, &frame.source, index, bytes);
        match plane {
            Plane::One(0) => {
                let plane = codes(b, planar.depth, &rows, &[1, 1, height, width]);
                first = Some(floats(b, planar.depth, &plane));
            }
            Plane::One(component) => {
                let plane = codes(b, planar.depth, &rows, &[1, 1, h, w]);
                others.push((plane, *component));
            }
            Plane::Pair(pair) => {
                let pairs = codes(b, planar.depth, &rows, &[1, h, w, 2]);
                let planes = b.transpose(&pairs, &[0, 3, 1, 2]);
                return Samples {
                    first: first.unwrap_or_default(),
                    others: Some((floats(b, planar.depth, &planes), *pair)),
                };
            }
            Plane::Quad { luma_first } => {
                let quads = b.reshape(&rows, &[1, height, w, 4]);
                let (luma, chroma) = match luma_first {
                    true => ([0, 2], [1, 3]),
                    false => ([1, 3], [0, 2]),
                };
                let luma = b.gather(&quads, 3, &luma);
                let mut luma = b.reshape(&luma, &[1, 1, height, 2 * w]);
                if 2 * w > width {
                    luma = b.slice(&luma, 3, 0, width);
                }
                let chroma = b.gather(&quads, 3, &chroma);
                let chroma = b.transpose(&chroma, &[0, 3, 1, 2]);
                return Samples {
                    first: floats(b, planar.depth, &luma),
                    others: Some((floats(b, planar.depth, &chroma), [1, 2])),
                };
            }
        }
    }
    let others = match &others[..] {
        [(one, a), (two, c)] => {
            let planes = b.concat(1, &[one, two]);
            Some((floats(b, planar.depth, &planes), [*a, *c]))
        }
        _ => None,
    };
    Samples {
        first: first.unwrap_or_default(),
        others,
    }
}

/// A plane's codes in this shape: u8 for 8-bit formats, because bytes are faster to rearrange; else floats.
fn codes(b: &mut Builder, depth: Depth, rows: &str, dims: &[i64]) -> Name {
    if depth.bytes() == 1 {
        return b.reshape(rows, dims);
    }
    let pairs = b.reshape(rows, &[dims, &[2]].concat());
    let pairs = b.cast(&pairs, ElementType::F32);
    let low = 1.0 / depth.unit() as f32;
    let weights = b.floats(&[2], &[low, 256.0 * low]);
    let parts = b.mul(&pairs, &weights);
    b.sum(&parts, dims.len() as i64, false)
}

/// The result of [`codes`] as floats.
fn floats(b: &mut Builder, depth: Depth, x: &str) -> Name {
    match depth.bytes() {
        1 => b.cast(x, ElementType::F32),
        _ => x.into(),
    }
}

/// Rows of bytes from codes, which are u8 or integral floats.
fn stored(b: &mut Builder, depth: Depth, x: &str, (rows, row): (i64, i64)) -> Name {
    if depth.bytes() == 1 {
        return b.reshape(x, &[rows, row]);
    }
    let x = b.reshape(x, &[rows, row / 2, 1]);
    let unit = depth.unit() as f32;
    let [upper, whole, byte] = [unit / 256.0, unit, -256.0].map(|v| b.floats(&[], &[v]));
    let high = b.mul(&x, &upper);
    let high = b.floor(&high);
    let x = b.mul(&x, &whole);
    let carried = b.mul(&high, &byte);
    let low = b.add(&x, &carried);
    let [low, high] = [low, high].map(|byte| b.cast(&byte, ElementType::U8));
    let pairs = b.concat(2, &[&low, &high]);
    b.reshape(&pairs, &[rows, row])
}

/// The bytes of a plane without the padding of its rows.
fn rows(b: &mut Builder, frame: &Frame, memory: &Memory, index: usize, bytes: &str) -> Name {
    let (rows, row) = frame.plane(index);
    let (offset, stride) = (memory.offsets[index], memory.strides[index]);
    let mut x = bytes.to_string();
    if offset != 0 || frame.size(memory) != rows * stride {
        let end = offset + rows * stride;
        x = b.slice(&x, 1, offset as i64, end as i64);
    }
    if stride != row {
        x = b.reshape(&x, &[rows as i64, stride as i64]);
        x = b.slice(&x, 1, 0, row as i64);
    }
    x
}

/// The bytes of a frame, `[1, size]`, from the results of [`mixed`]; padding and gaps between planes are zero.
pub(crate) fn write(
    b: &mut Builder,
    frame: &Frame,
    planar: &Planar,
    first: &str,
    others: Option<&Name>,
) -> Name {
    let memory = &frame.target;
    let (w, _) = frame.chroma(planar.subsampling);
    let (w, width, height) = (w as i64, frame.width as i64, frame.height as i64);
    let others = others.map_or("", String::as_str);
    // Offset and length in bytes of each plane.
    let mut parts: Vec<(usize, usize, Name)> = Vec::new();
    let mut taken = 0;
    for (index, plane) in planar.planes.iter().enumerate() {
        let (rows, row) = frame.plane(index);
        let (rows, row) = (rows as i64, row as i64);
        let pixels = match plane {
            Plane::One(0) => stored(b, planar.depth, first, (rows, row)),
            Plane::One(_) => {
                let plane = b.slice(others, 1, taken, taken + 1);
                taken += 1;
                stored(b, planar.depth, &plane, (rows, row))
            }
            Plane::Pair(_) => {
                let pairs = b.transpose(others, &[0, 2, 3, 1]);
                stored(b, planar.depth, &pairs, (rows, row))
            }
            Plane::Quad { luma_first } => {
                let mut luma = first.to_string();
                if 2 * w > width {
                    let zeros = b.zero_bytes(&[1, 1, height, 1]);
                    luma = b.concat(3, &[&luma, &zeros]);
                }
                let luma = b.reshape(&luma, &[height, w, 2, 1]);
                let chroma = b.transpose(others, &[0, 2, 3, 1]);
                let chroma = b.reshape(&chroma, &[height, w, 2, 1]);
                let quads = match luma_first {
                    true => b.concat(3, &[&luma, &chroma]),
                    false => b.concat(3, &[&chroma, &luma]),
                };
                b.reshape(&quads, &[rows, row])
            }
        };
        let padding = memory.strides[index] as i64 - row;
        let mut bytes = pixels;
        if padding > 0 {
            let zeros = b.zero_bytes(&[rows, padding]);
            bytes = b.concat(1, &[&bytes, &zeros]);
        }
        let bytes = b.reshape(&bytes, &[1, rows * (row + padding)]);
        let length = frame.plane(index).0 * memory.strides[index];
        parts.push((memory.offsets[index], length, bytes));
    }
    // Planes may be in any order.
    parts.sort_by_key(|(offset, ..)| *offset);
    let mut pieces: Vec<Name> = Vec::new();
    let mut end = 0;
    for (index, (offset, length, bytes)) in parts.iter().enumerate() {
        if *offset > end {
            pieces.push(b.zero_bytes(&[1, (*offset - end) as i64]));
        }
        // The padding of a last row may reach into the next plane.
        let next = parts.get(index + 1).map(|(offset, ..)| *offset);
        let kept = next.map_or(*length, |next| (*length).min(next - offset));
        pieces.push(match kept < *length {
            true => b.slice(bytes, 1, 0, kept as i64),
            false => bytes.clone(),
        });
        end = offset + kept;
    }
    match &pieces[..] {
        [all] => all.clone(),
        pieces => b.concat(1, &pieces.iter().map(String::as_str).collect::<Vec<_>>()),
    }
}

/// The painting's components mixed with `source` (its components and the strength), if given, and rounded to codes:
/// u8 for 8 bits, else integral floats.
pub(crate) fn mixed(
    b: &mut Builder,
    depth: Depth,
    painted: &str,
    source: Option<(&str, &str)>,
) -> Name {
    let mixed = source.map(|(source, strength)| mix(b, source, painted, strength));
    let codes = mixed.as_deref().unwrap_or(painted);
    match depth.bytes() {
        1 => b.round_to_bytes(codes),
        _ => b.round(codes, depth.max_code() as f32),
    }
}

impl Samples {
    /// Names of component 0 and of components 1 and 2.
    pub(crate) fn names(&self) -> (&str, Option<&str>) {
        let others = self.others.as_ref().map(|(name, _)| name.as_str());
        (&self.first, others)
    }
}

/// The numbers of components 1 and 2 in memory order.
pub(crate) fn order_of(planar: &Planar) -> [usize; 2] {
    let mut order = Vec::new();
    for plane in planar.planes {
        match plane {
            Plane::One(0) => (),
            Plane::One(component) => order.push(*component),
            Plane::Pair(pair) => order.extend(pair),
            Plane::Quad { .. } => order.extend([1, 2]),
        }
    }
    [
        order.first().copied().unwrap_or(1),
        order.get(1).copied().unwrap_or(2),
    ]
}
