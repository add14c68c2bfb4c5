// SPDX-License-Identifier: MPL-2.0
//! Whose colours a painting has.

use super::builder::{Builder, Name};
use super::format::{Components, Format, Frame, Matrix};
use crate::model::ChannelOrder;

/// Pixels from which statistics are taken, at least, where there are as many.
const SAMPLES: usize = 1 << 16;
/// Added to variances (0..255 squared): one code, so that a flat channel stays flat.
const EPSILON: f32 = 1.0;

/// Weights of luma in a frame's own matrix, for channels in this order; BT.709 where the frame is
/// RGB.
pub(super) fn luma(frame: &Frame, order: ChannelOrder) -> [f32; 3] {
    let matrix = match &frame.format {
        Format::Packed(_) => Matrix::Bt709,
        Format::Planar(planar) => match planar.components {
            Components::Rgb => Matrix::Bt709,
            Components::Yuv { matrix, .. } | Components::Grey { matrix, .. } => matrix,
        },
    };
    let (red, blue) = matrix.weights();
    let weights = [red, 1.0 - red - blue, blue].map(|weight| weight as f32);
    match order {
        ChannelOrder::Rgb => weights,
        ChannelOrder::Bgr => [weights[2], weights[1], weights[0]],
    }
}

/// The luma of a painting with the colour differences of the source, both `[1, 3, H, W]` floats of
/// 0..255: the source, with its luma moved.
pub(super) fn with_chroma_of(
    b: &mut Builder,
    painting: &str,
    source: &str,
    luma: &[f32; 3],
    size: (usize, usize),
) -> Name {
    let difference = b.sub(painting, source);
    let light = b.weighted(&difference, &[*luma], size);
    b.add(source, &light)
}

/// A painting with the mean and variance of the source in luma and in both colour differences
/// (Reinhard et al. 2001). Both are floats of 0..255 of the size `height`, `width`.
pub(super) fn matched(
    b: &mut Builder,
    painting: &str,
    source: &str,
    luma: &[f32; 3],
    (height, width): (usize, usize),
) -> Name {
    let (forward, inverse) = matrices(luma);
    let step = (height * width / SAMPLES).isqrt().max(1);
    let statistics = |b: &mut Builder, x: &str| {
        let mut x = x.to_string();
        if step > 1 {
            x = b.average(&x, [1, 1], [step as i64; 2]);
        }
        let size = (height.div_ceil(step), width.div_ceil(step));
        let x = b.weighted(&x, &forward, size);
        let mean = b.mean_of_picture(&x);
        let deviation = b.sub(&x, &mean);
        let square = b.mul(&deviation, &deviation);
        let variance = b.mean_of_picture(&square);
        let epsilon = b.floats(&[], &[EPSILON]);
        (mean, b.add(&variance, &epsilon))
    };
    let (mean, variance) = statistics(b, painting);
    let (wanted_mean, wanted_variance) = statistics(b, source);
    let ratio = b.div(&wanted_variance, &variance);
    let gain = b.sqrt(&ratio);
    let scaled = b.mul(&gain, &mean);
    let offset = b.sub(&wanted_mean, &scaled);
    // To luma and differences, gain, offset, and back: one matrix and one colour for all pixels.
    let [gain, offset] = [gain, offset].map(|x| b.reshape(&x, &[3, 1]));
    let forward = b.floats(&[3, 3], &forward.concat());
    let inverse = b.floats(&[3, 3], &inverse.concat());
    let matrix = b.mul(&gain, &forward);
    let matrix = b.matmul(&inverse, &matrix);
    let offset = b.matmul(&inverse, &offset);
    let pixels = b.reshape(painting, &[3, (height * width) as i64]);
    let pixels = b.matmul(&matrix, &pixels);
    let pixels = b.add(&pixels, &offset);
    b.reshape(&pixels, &[1, 3, height as i64, width as i64])
}

/// Colours to luma and the differences of the outer channels from it, and back.
fn matrices(luma: &[f32; 3]) -> ([[f32; 3]; 3], [[f32; 3]; 3]) {
    let [first, middle, last] = *luma;
    let forward = [
        *luma,
        [1.0 - first, -middle, -last],
        [-first, -middle, 1.0 - last],
    ];
    let inverse = [
        [1.0, 1.0, 0.0],
        [1.0, -first / middle, -last / middle],
        [1.0, 0.0, 1.0],
    ];
    (forward, inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrices_are_inverse() {
        let (forward, inverse) = matrices(&[0.2126, 0.7152, 0.0722]);
        for (i, row) in inverse.iter().enumerate() {
            for j in [0, 1, 2] {
                let sum: f32 = row.iter().zip(&forward).map(|(a, b)| a * b[j]).sum();
                let one = f32::from(u8::from(i == j));
                assert!((sum - one).abs() < 1e-6, "{i} {j}: {sum}");
            }
        }
    }
}
