// SPDX-License-Identifier: MPL-2.0
//! Conversion between values of 0..255 and the range of a generator's tensors.

use crate::graph::write::builder::{Builder, Name};
use crate::model::Range;

/// Converts values of 0..255 to the generator's range: `x · scale + offset`, without nodes that are identities.
pub(crate) fn ranged(b: &mut Builder, x: Name, range: &Range, axis: usize) -> Name {
    match range.plain_scale() {
        Some(1.0) => x,
        Some(scale) => b.times(&x, scale),
        None => scaled(b, &x, range, axis),
    }
}

/// As [`ranged`] by a scale per channel and, if it is not 0, an offset; always appends a node.
pub(crate) fn scaled(b: &mut Builder, x: &str, range: &Range, axis: usize) -> Name {
    let (scale, offset) = range.scale_offset();
    let scale = per_channel(b, &scale, axis);
    let x = b.mul(x, &scale);
    if offset == [0.0; 3] {
        return x;
    }
    let offset = per_channel(b, &offset, axis);
    b.add(&x, &offset)
}

/// Converts values in the generator's range to 0..255, not clamped: the inverse of [`Range::scale_offset`].
pub(crate) fn to_byte_range(b: &mut Builder, x: &str, range: &Range) -> Name {
    let (scale, offset) = range.scale_offset();
    let mut x = x.to_string();
    if offset != [0.0; 3] {
        let offset = per_channel(b, &offset, 1);
        x = b.sub(&x, &offset);
    }
    if scale != [1.0; 3] {
        let inverse = per_channel(b, &scale.map(|s| 1.0 / s), 1);
        x = b.mul(&x, &inverse);
    }
    x
}

/// Weights and offset of a sum over values in the generator's range that equals the sum of values of 0..255 with
/// `weights`.
pub(crate) fn of_byte_range(range: &Range, weights: &[f32; 3]) -> ([f32; 3], f32) {
    let (scale, offset) = range.scale_offset();
    let weights = [0, 1, 2].map(|c| weights[c] / scale[c]);
    let offset = (0..3).map(|c| -weights[c] * offset[c]).sum();
    (weights, offset)
}

/// A constant that broadcasts over pictures with channels on `axis`; a scalar if all values are equal.
fn per_channel(b: &mut Builder, values: &[f32; 3], axis: usize) -> Name {
    if values.iter().all(|v| *v == values[0]) {
        return b.floats(&[], &values[..1]);
    }
    let mut dims = [1; 4];
    dims[axis] = 3;
    b.floats(&dims, values)
}
