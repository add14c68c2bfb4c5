// SPDX-License-Identifier: MPL-2.0
//! Linear resampling of pictures as two matrix products, `V · X · Hᵀ`, for generators of a fixed size. ONNX's resize
//! operators changed name, inputs and meaning in many operator sets and runtimes differ in them; matrix products do
//! not.

use crate::graph::write::builder::{Builder, Name};

/// Scales float pictures `[1, C, h, w]` to `[1, C, to_h, to_w]`.
pub(crate) fn resample(
    b: &mut Builder,
    x: &str,
    (height, width): (usize, usize),
    (to_height, to_width): (usize, usize),
) -> Name {
    let mut x = x.to_string();
    if height != to_height {
        let weights = triangle_weights(height, to_height);
        let v = b.floats(&[1, 1, to_height as i64, height as i64], &weights);
        x = b.matmul(&v, &x);
    }
    if width != to_width {
        let weights = transposed(&triangle_weights(width, to_width), to_width, width);
        let h = b.floats(&[1, 1, width as i64, to_width as i64], &weights);
        x = b.matmul(&x, &h);
    }
    x
}

/// Row-major `to × from` weights of the triangle filter with pixel centres at half integers: linear
/// interpolation when enlarging; when shrinking, the triangle widens with the scale so that no
/// source pixel is skipped. Rows sum to 1.
fn triangle_weights(from: usize, to: usize) -> Vec<f32> {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    let mut weights = vec![0.0; from * to];
    for (out, row) in weights.chunks_exact_mut(from).enumerate() {
        let centre = (out as f64 + 0.5) * scale;
        let first = (centre - support).floor().max(0.0) as usize;
        let last = ((centre + support).ceil() as usize).min(from);
        let mut sum = 0.0;
        for (index, weight) in row.iter_mut().enumerate().take(last).skip(first) {
            let distance = (index as f64 + 0.5 - centre).abs() / support;
            *weight = (1.0 - distance).max(0.0) as f32;
            sum += *weight;
        }
        row.iter_mut().for_each(|weight| *weight /= sum);
    }
    weights
}

/// The transpose of a row-major matrix.
fn transposed(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns)
        .map(|i| matrix[(i % rows) * columns + i / rows])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enlarging_interpolates_and_shrinking_averages() {
        assert_eq!(
            triangle_weights(2, 4),
            [1.0, 0.0, 0.75, 0.25, 0.25, 0.75, 0.0, 1.0]
        );
        for (from, to) in [(7, 3), (3, 7), (1280, 720), (1, 5), (5, 1)] {
            for row in triangle_weights(from, to).chunks_exact(from) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{from} {to}");
            }
        }
        let halved = triangle_weights(4, 2);
        assert!(halved[0] > 0.0 && halved[1] > 0.0 && halved[2] > 0.0);
    }

    #[test]
    fn transposing_twice_is_identity() {
        let m: Vec<f32> = (0..6).map(|v| v as f32).collect();
        assert_eq!(transposed(&m, 2, 3), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(transposed(&transposed(&m, 2, 3), 3, 2), m);
    }
}
