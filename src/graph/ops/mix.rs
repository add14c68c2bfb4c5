// SPDX-License-Identifier: MPL-2.0
//! The mix of source and painting: how strong the painting is, and where.
//!
//! `split` compares both: a factor of the strength for each column, 0 left of it. A mix at strength 0 is
//! the source exactly, so the split costs nothing that the mix does not cost already.

use crate::graph::names::{MASK, SPLIT, STRENGTH};
use crate::graph::write::builder::{Builder, Name};

/// For each of `columns` samples in a row, which lie `step` pixels apart, 1 right of the split and 0
/// left of it; a sample that belongs to a pixel on the left is the source's. With `taking_part`, pixels
/// are interleaved bytes, `[columns, bytes]`: those that do not take part are always the source's.
pub(crate) fn right(
    b: &mut Builder,
    columns: usize,
    step: usize,
    taking_part: Option<&[bool]>,
) -> Name {
    // 1 + column − split, limited to 0..1: both are integers.
    let place = |column: usize, takes_part: bool| match takes_part {
        true => (column * step + 1) as f32,
        false => f32::MIN,
    };
    let bytes = taking_part.unwrap_or(&[true]);
    let places: Vec<f32> = (0..columns)
        .flat_map(|column| bytes.iter().map(move |part| place(column, *part)))
        .collect();
    let mut dims = vec![columns as i64];
    if taking_part.is_some() {
        dims.push(bytes.len() as i64);
    }
    let places = b.floats(&dims, &places);
    let right = b.sub(&places, SPLIT);
    b.clip(&right, 0.0, 1.0)
}

/// A scalar below 1 if the source is visible anywhere in the frame: through the strength or the split.
pub(crate) fn coverage(b: &mut Builder) -> Name {
    b.sub(STRENGTH, SPLIT)
}

/// The strength of the mix at each pixel, `[1, 1, H, W]`.
pub(crate) fn masked_strength(b: &mut Builder) -> Name {
    let mask = b.dequantize(MASK, 1.0 / 255.0);
    b.mul(&mask, STRENGTH)
}

/// Linear mix `source + strength · (stylized − source)`; `strength` is a tensor that broadcasts to
/// them, 0 gives the source exactly.
pub(crate) fn mix(b: &mut Builder, source: &str, stylized: &str, strength: &str) -> Name {
    let difference = b.sub(stylized, source);
    let weighted = b.mul(&difference, strength);
    b.add(source, &weighted)
}
