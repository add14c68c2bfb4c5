// SPDX-License-Identifier: MPL-2.0
//! Planes of bytes to red, green and blue, and back: matrix, range and siting of chroma.
//!
//! Chroma is enlarged by linear interpolation between the places where its samples lie, as a
//! transposed convolution, and reduced again by the matching triangle, as a convolution that makes
//! the colour differences in the same step (ITU-R BT.601, BT.709, BT.2020; siting as in ITU-R
//! BT.2100 and H.273).

use super::builder::{Builder, Name};
use super::codes::Codes;
use super::effects::mix;
use super::format::{Components, Frame, Memory, Planar, Plane};
use crate::model::ChannelOrder;

/// A frame's components as tensors of bytes.
pub(super) struct Samples {
    /// Component 0, `[1, 1, H, W]`.
    first: Name,
    /// Components 1 and 2 in the order of the memory, `[1, 2, h, w]`, and which they are.
    others: Option<(Name, [usize; 2])>,
}

/// Reads the components from a frame's bytes, `[1, size]`.
pub(super) fn read(b: &mut Builder, frame: &Frame, planar: &Planar, bytes: &str) -> Samples {
    let (width, height) = (frame.width as i64, frame.height as i64);
    let (w, h) = frame.chroma(planar.subsampling);
    let (w, h) = (w as i64, h as i64);
    let mut first = None;
    let mut others = Vec::new();
    for (index, plane) in planar.planes.iter().enumerate() {
        let rows = rows(b, frame, &frame.source, index, bytes);
        match plane {
            Plane::One(0) => first = Some(b.reshape(&rows, &[1, 1, height, width])),
            Plane::One(component) => others.push((b.reshape(&rows, &[1, 1, h, w]), *component)),
            Plane::Pair(pair) => {
                let pairs = b.reshape(&rows, &[1, h, w, 2]);
                let planes = b.transpose(&pairs, &[0, 3, 1, 2]);
                return Samples {
                    first: first.unwrap_or_default(),
                    others: Some((planes, *pair)),
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
                return Samples {
                    first: luma,
                    others: Some((b.transpose(&chroma, &[0, 3, 1, 2]), [1, 2])),
                };
            }
        }
    }
    let others = match &others[..] {
        [(one, a), (two, c)] => Some((b.concat(1, &[one, two]), [*a, *c])),
        _ => None,
    };
    Samples {
        first: first.unwrap_or_default(),
        others,
    }
}

/// The picture's bytes of a plane, without gaps between its rows.
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

/// The components as red, green and blue in the generator's order, floats 0..255 `[1, 3, H, W]`.
pub(super) fn to_rgb(
    b: &mut Builder,
    frame: &Frame,
    planar: &Planar,
    samples: &Samples,
    order: ChannelOrder,
) -> Name {
    let first = b.dequantize(&samples.first, 1.0);
    let channels = channels(order);
    match (planar.components, &samples.others) {
        (Components::Yuv { .. }, Some((others, which))) => {
            let others = b.dequantize(others, 1.0);
            let others = enlarge(b, frame, planar, &others);
            let yuv = b.concat(1, &[&first, &others]);
            let inverse = Codes::of(planar.components).to_rgb();
            let mut weights = Vec::new();
            let mut bias = Vec::new();
            for channel in channels {
                let (row, constant) = inverse[channel];
                weights.extend([0, which[0], which[1]].map(|component| row[component] as f32));
                bias.push(constant as f32);
            }
            let rgb = convolve(b, &yuv, &[3, 3, 1, 1], &weights, &bias, [1, 1]);
            b.clip(&rgb, 0.0, 255.0)
        }
        (_, Some((others, which))) => {
            let others = b.dequantize(others, 1.0);
            let planes = b.concat(1, &[&first, &others]);
            let place = |channel: usize| match channel {
                0 => 0,
                other => 1 + i64::from(which[0] != other),
            };
            b.gather(&planes, 1, &channels.map(place))
        }
        (components, None) => {
            let (scale, offset) = Codes::of(components).to_grey();
            let mut grey = first;
            if scale != 1.0 {
                let [scale, offset] = [scale, offset].map(|v| b.floats(&[], &[v as f32]));
                grey = b.mul(&grey, &scale);
                grey = b.add(&grey, &offset);
                grey = b.clip(&grey, 0.0, 255.0);
            }
            b.concat(1, &[&grey, &grey, &grey])
        }
    }
}

/// Red, green and blue in the generator's order, floats `[1, 3, H, W]` in 0..255, as components:
/// floats `[1, 1, H, W]` and, in the order of the memory, `[1, 2, h, w]`.
pub(super) fn from_rgb(
    b: &mut Builder,
    frame: &Frame,
    planar: &Planar,
    rgb: &str,
    order: ChannelOrder,
) -> (Name, Option<Name>) {
    let channels = channels(order);
    if planar.components == Components::Rgb {
        let component = |component: usize| channels.iter().position(|c| *c == component);
        let at = |wanted: usize| component(wanted).unwrap_or(0) as i64;
        let first = b.gather(rgb, 1, &[at(0)]);
        let others = b.gather(rgb, 1, &order_of(planar).map(at));
        return (first, Some(others));
    }
    let forward = Codes::of(planar.components).of_rgb();
    let row = |component: usize| channels.map(|channel| forward[component].0[channel] as f32);
    let bias = |component: usize| forward[component].1 as f32;
    let first = convolve(b, rgb, &[1, 3, 1, 1], &row(0), &[bias(0)], [1, 1]);
    let Components::Yuv { cosited, .. } = planar.components else {
        return (first, None);
    };
    let (w, h) = frame.chroma(planar.subsampling);
    let [across, down] = planar.subsampling;
    let (left, right, horizontal) = triangle(across, cosited[0], frame.width, w);
    let (top, bottom, vertical) = triangle(down, cosited[1], frame.height, h);
    let mut x = rgb.to_string();
    if [top, left, bottom, right] != [0; 4] {
        x = b.pad(&x, "edge", &[0, 0, top, left, 0, 0, bottom, right]);
    }
    let which = order_of(planar);
    let mut weights = Vec::new();
    for component in which {
        for weight in row(component) {
            for v in &vertical {
                weights.extend(horizontal.iter().map(|h| weight * v * h));
            }
        }
    }
    let dims = [2, 3, vertical.len() as i64, horizontal.len() as i64];
    let strides = [down as i64, across as i64];
    let others = convolve(b, &x, &dims, &weights, &which.map(bias), strides);
    (first, Some(others))
}

/// Components as bytes of a frame, `[1, size]`; gaps are zero.
pub(super) fn write(
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
            Plane::One(0) => b.reshape(first, &[rows, row]),
            Plane::One(_) => {
                let plane = b.slice(others, 1, taken, taken + 1);
                taken += 1;
                b.reshape(&plane, &[rows, row])
            }
            Plane::Pair(_) => {
                let pairs = b.transpose(others, &[0, 2, 3, 1]);
                b.reshape(&pairs, &[rows, row])
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
    // Planes may lie in any order.
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

/// The painting's components as bytes, mixed with the source's where those are given.
pub(super) fn mixed(b: &mut Builder, painted: &str, source: Option<&str>, strength: &str) -> Name {
    let Some(source) = source else {
        return b.round_to_bytes(painted);
    };
    let source = b.dequantize(source, 1.0);
    let mixed = mix(b, &source, painted, strength);
    b.round_to_bytes(&mixed)
}

impl Samples {
    /// Component 0 and the others.
    pub(super) fn names(&self) -> (&str, Option<&str>) {
        let others = self.others.as_ref().map(|(name, _)| name.as_str());
        (&self.first, others)
    }
}

/// Which of red (0), green and blue each of the generator's channels is.
fn channels(order: ChannelOrder) -> [usize; 3] {
    match order {
        ChannelOrder::Rgb => [0, 1, 2],
        ChannelOrder::Bgr => [2, 1, 0],
    }
}

/// Components 1 and 2 in the order of the memory.
fn order_of(planar: &Planar) -> [usize; 2] {
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

/// Chroma at the size of luma: floats `[1, 2, h, w]` to `[1, 2, H, W]`.
fn enlarge(b: &mut Builder, frame: &Frame, planar: &Planar, x: &str) -> Name {
    let Components::Yuv { cosited, .. } = planar.components else {
        return x.into();
    };
    let [across, down] = planar.subsampling;
    if [across, down] == [1, 1] {
        return x.into();
    }
    let (w, h) = frame.chroma(planar.subsampling);
    let horizontal = Enlargement::new(across, cosited[0], w, frame.width);
    let vertical = Enlargement::new(down, cosited[1], h, frame.height);
    let ends = [vertical.edge, horizontal.edge].map(|[begin, end]| (begin, end));
    let [(top, bottom), (left, right)] = ends;
    let mut x = x.to_string();
    if [top, left, bottom, right] != [0; 4] {
        x = b.pad(&x, "edge", &[0, 0, top, left, 0, 0, bottom, right]);
    }
    let mut weights = Vec::new();
    for _ in 0..2 {
        for v in &vertical.kernel {
            weights.extend(horizontal.kernel.iter().map(|h| v * h));
        }
    }
    let dims = [
        2,
        1,
        vertical.kernel.len() as i64,
        horizontal.kernel.len() as i64,
    ];
    let weights = b.floats(&dims, &weights);
    let [v, h] = [vertical.crop, horizontal.crop];
    b.conv_transpose(
        &x,
        &weights,
        2,
        [down as i64, across as i64],
        [v[0], h[0], v[1], h[1]],
    )
}

/// Linear interpolation along one axis as a transposed convolution.
struct Enlargement {
    kernel: Vec<f32>,
    /// Samples that are repeated at the beginning and the end.
    edge: [i64; 2],
    /// What is cut off the result there.
    crop: [i64; 2],
}

impl Enlargement {
    /// From `from` samples for `step` pixels each to `to` pixels.
    fn new(step: usize, cosited: bool, from: usize, to: usize) -> Self {
        if step == 1 {
            return Self {
                kernel: vec![1.0],
                edge: [0; 2],
                crop: [0; 2],
            };
        }
        let (kernel, begin, first) = match cosited {
            true => (vec![0.5, 1.0, 0.5], 0, 1),
            false => (vec![0.25, 0.75, 0.75, 0.25], 1, 3),
        };
        // Only a last pixel beyond the last sample needs that sample twice.
        let end = i64::from(to == 2 * from);
        let length = from as i64 + begin + end;
        let made = 2 * (length - 1) + kernel.len() as i64;
        Self {
            edge: [begin, end],
            crop: [first, made - first - to as i64],
            kernel,
        }
    }
}

/// The triangle that reduces `from` pixels to `to` samples along one axis: pixels that are repeated
/// at the beginning and the end, and weights.
fn triangle(step: usize, cosited: bool, from: usize, to: usize) -> (i64, i64, Vec<f32>) {
    let (begin, weights) = match (step, cosited) {
        (1, _) => (0, vec![1.0]),
        (_, true) => (1, vec![0.25, 0.5, 0.25]),
        (_, false) => (0, vec![0.5, 0.5]),
    };
    let length = (to - 1) * step + weights.len();
    (begin, length as i64 - begin - from as i64, weights)
}

fn convolve(
    b: &mut Builder,
    x: &str,
    dims: &[i64; 4],
    weights: &[f32],
    bias: &[f32],
    strides: [i64; 2],
) -> Name {
    let weights = b.floats(dims, weights);
    let bias = b.floats(&[bias.len() as i64], bias);
    b.conv(x, &weights, &bias, strides)
}
