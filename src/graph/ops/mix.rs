// SPDX-License-Identifier: MPL-2.0
//! The mix of source and painting by strength, split and mask.
//!
//! `split` is a factor of the strength for each column, 0 left of it. A mix at strength 0 gives exactly the source,
//! so the split needs no operator beyond those of the mix.

use crate::graph::names::{MASK, SPLIT, STRENGTH};
use crate::graph::write::builder::{Builder, Name};

/// The split's factor for `columns` samples of a row, `step` pixels apart: 0 for samples whose first pixel is left of
/// the split, 1 for the others. With `taking_part`, for interleaved bytes, `[columns, bytes]`: 0 for bytes that do not
/// take part in the mix.
pub(crate) fn right(
    b: &mut Builder,
    columns: usize,
    step: usize,
    taking_part: Option<&[bool]>,
) -> Name {
    // 1 + column − split, clamped to 0..1: both are integers.
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

/// A scalar that is below 1 if the source is visible in the frame, because of the strength or the split.
pub(crate) fn coverage(b: &mut Builder) -> Name {
    b.sub(STRENGTH, SPLIT)
}

/// The strength multiplied by the mask, `[1, 1, H, W]`.
pub(crate) fn masked_strength(b: &mut Builder) -> Name {
    let mask = b.dequantize(MASK, 1.0 / 255.0);
    b.mul(&mask, STRENGTH)
}

/// Linear mix `source + strength · (stylized − source)`; `strength` broadcasts to both, and 0 gives exactly the
/// source.
pub(crate) fn mix(b: &mut Builder, source: &str, stylized: &str, strength: &str) -> Name {
    let difference = b.sub(stylized, source);
    let weighted = b.mul(&difference, strength);
    b.add(source, &weighted)
}
