// SPDX-License-Identifier: MPL-2.0
//! The property `color`: transfers colours from the source to the painting, in the frame's components and at its
//! size.
//!
//! `color=match` gives luma and both colour differences of the painting the mean and variance that they have in the
//! source (Reinhard et al., "Color transfer between images", 2001). YCbCr frames have these components; RGB frames
//! are converted to them and back by matrices.

use super::effects::Colour;
use crate::graph::frame::format::{Components, Format, Frame, Matrix, Packed, Planar};
use crate::graph::frame::interleaved;
use crate::graph::frame::planes::{self, Samples};
use crate::graph::write::builder::{Builder, Name};
use crate::model::{ChannelOrder, ElementType};

/// Minimum number of rows from which statistics are computed, for frames that have as many.
const ROWS: usize = 128;
/// Added to variances (of values 0..255), so that a flat component stays flat: the square of one code.
const EPSILON: f32 = 1.0;

/// Luma weights of red, green and blue by the frame's colour matrix; BT.709 for RGB frames.
fn weights(frame: &Frame) -> [f32; 3] {
    let matrix = match &frame.format {
        Format::Packed(_) => Matrix::Bt709,
        Format::Planar(planar) => match planar.components {
            Components::Rgb => Matrix::Bt709,
            Components::Yuv { matrix, .. } | Components::Grey { matrix, .. } => matrix,
        },
    };
    let (red, blue) = matrix.weights();
    [red, 1.0 - red - blue, blue].map(|weight| weight as f32)
}

/// Luma weights of the channels in this order.
pub(crate) fn luma(frame: &Frame, order: ChannelOrder) -> [f32; 3] {
    let [red, green, blue] = weights(frame);
    match order {
        ChannelOrder::Rgb => [red, green, blue],
        ChannelOrder::Bgr => [blue, green, red],
    }
}

/// Applies `colour` to a painting of interleaved floats, `[H, W · bytes]`. `source` is the source frame in the same
/// form, `bytes` the same as u8.
pub(crate) fn of_pixels(
    b: &mut Builder,
    frame: &Frame,
    packed: &Packed,
    colour: Colour,
    painted: &str,
    (source, bytes): (&str, &str),
) -> Name {
    let luma = weights(frame);
    let pixels = Pixels { frame, packed };
    match colour {
        Colour::Style => painted.into(),
        Colour::Source => {
            // Adds the difference of the lumas to the source; computing chroma separately would take another pass.
            let matrix = b.floats(&[packed.bytes as i64; 2], &pixels.spread(luma));
            let [painted, dark] = [painted, source].map(|x| pixels.times(b, x, &matrix));
            let light = b.sub(&painted, &dark);
            b.add(source, &light)
        }
        Colour::Match => {
            let (forward, inverse) = matrices(&luma);
            let forward = pixels.columns(forward);
            let forward = b.floats(&[packed.bytes as i64, 3], &forward);
            let inverse = pixels.rows(inverse);
            let inverse = b.floats(&[3, packed.bytes as i64], &inverse);
            let [sample, wanted] = [painted, bytes].map(|x| pixels.sample(b, x, &forward));
            let (gain, offset) = gain_and_offset(b, &sample, &wanted, EPSILON);
            let [gain, offset] = [gain, offset].map(|x| b.reshape(&x, &[1, 3]));
            // Conversion to luma and differences, gain, offset and conversion back, folded into one matrix and one
            // added colour.
            let matrix = b.mul(&forward, &gain);
            let matrix = b.matmul(&matrix, &inverse);
            let offset = b.matmul(&offset, &inverse);
            let scaled = pixels.times(b, painted, &matrix);
            pixels.plus(b, &scaled, &offset)
        }
    }
}

/// Products of interleaved pixels with colour matrices.
struct Pixels<'a> {
    frame: &'a Frame,
    packed: &'a Packed,
}

impl Pixels<'_> {
    /// The colour (0 = red, 1 = green, 2 = blue) of a byte; `None` for alpha or padding.
    fn colour(&self, byte: usize) -> Option<usize> {
        self.packed.rgb.iter().position(|at| *at == byte)
    }

    /// `[bytes, 3]`: the matrix from a pixel's bytes to three sums with these weights of red, green and blue.
    fn columns(&self, rows: [[f32; 3]; 3]) -> Vec<f32> {
        let byte = |byte| rows.map(|row| self.colour(byte).map_or(0.0, |colour| row[colour]));
        (0..self.packed.bytes).flat_map(byte).collect()
    }

    /// `[3, bytes]`: the matrix from three values to a pixel's bytes, with weights by rows for red, green and blue.
    fn rows(&self, rows: [[f32; 3]; 3]) -> Vec<f32> {
        let part = |value: usize, byte| self.colour(byte).map_or(0.0, |c| rows[c][value]);
        let value = |value| (0..self.packed.bytes).map(move |byte| part(value, byte));
        (0..3).flat_map(value).collect()
    }

    /// `[bytes, bytes]`: the matrix that replaces each colour by the weighted sum of all three.
    fn spread(&self, weights: [f32; 3]) -> Vec<f32> {
        let part = |from, to| match (self.colour(from), self.colour(to)) {
            (Some(from), Some(_)) => weights[from],
            _ => 0.0,
        };
        let bytes = self.packed.bytes;
        let row = |from| (0..bytes).map(move |to| part(from, to));
        (0..bytes).flat_map(row).collect()
    }

    /// Three weighted sums of the pixels of every n-th row, from floats or bytes: `[1, 3, rows, W]`.
    fn sample(&self, b: &mut Builder, pixels: &str, forward: &str) -> Name {
        let rows = sampled_rows(self.frame.height);
        let pixels = b.gather(pixels, 0, &rows);
        let pixels = b.cast(&pixels, ElementType::F32);
        let (rows, width) = (rows.len() as i64, self.frame.width as i64);
        let pixels = b.reshape(&pixels, &[rows * width, self.packed.bytes as i64]);
        let pixels = b.transpose(&pixels, &[1, 0]);
        let forward = b.transpose(forward, &[1, 0]);
        let sums = b.matmul(&forward, &pixels);
        b.reshape(&sums, &[1, 3, rows, width])
    }

    /// Adds a colour, `[1, bytes]`, to every pixel. The colour is repeated to a row first, because adding vectors of
    /// three elements is slow.
    fn plus(&self, b: &mut Builder, pixels: &str, colour: &str) -> Name {
        let [width, bytes] = [self.frame.width, self.packed.bytes];
        let row = width * bytes;
        let repeat = |i: usize| (0..row).map(move |at| if at % bytes == i { 1.0 } else { 0.0 });
        let repeat: Vec<f32> = (0..bytes).flat_map(repeat).collect();
        let repeat = b.floats(&[bytes as i64, row as i64], &repeat);
        let colours = b.matmul(colour, &repeat);
        b.add(pixels, &colours)
    }

    /// Multiplies every pixel by a matrix `[bytes, bytes]`, several pixels in one row of a block-diagonal product.
    fn times(&self, b: &mut Builder, pixels: &str, matrix: &str) -> Name {
        let (height, width) = (self.frame.height, self.frame.width);
        let bytes = self.packed.bytes;
        let all = height * width;
        let together = interleaved::together(all);
        let row = (together * bytes) as i64;
        let mut matrix = matrix.to_string();
        if together > 1 {
            // Tiles the matrix to all blocks, then keeps those of the diagonal.
            let identity = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
            let of = |rows: usize, columns: usize, value: &dyn Fn(usize, usize) -> f32| {
                let row = |i| (0..columns).map(move |j| value(i, j));
                (0..rows).flat_map(row).collect::<Vec<f32>>()
            };
            let side = together * bytes;
            let down = of(side, bytes, &|i, j| identity(i % bytes, j));
            let across = of(bytes, side, &|i, j| identity(i, j % bytes));
            let diagonal = of(side, side, &|i, j| identity(i / bytes, j / bytes));
            let down = b.floats(&[row, bytes as i64], &down);
            let across = b.floats(&[bytes as i64, row], &across);
            let diagonal = b.floats(&[row, row], &diagonal);
            matrix = b.matmul(&down, &matrix);
            matrix = b.matmul(&matrix, &across);
            matrix = b.mul(&matrix, &diagonal);
        }
        let pixels = b.reshape(pixels, &[(all / together) as i64, row]);
        let product = b.matmul(&pixels, &matrix);
        b.reshape(&product, &[height as i64, (width * bytes) as i64])
    }
}

/// Applies `colour` to a painting's components in codes; `source` are those of the source frame. Does nothing for
/// `color=source` with YCbCr frames, whose chroma is copied from the source afterwards (`emit`).
pub(crate) fn of_planes(
    b: &mut Builder,
    frame: &Frame,
    planar: &Planar,
    colour: Colour,
    (first, others): (Name, Option<Name>),
    source: &Samples,
) -> (Name, Option<Name>) {
    let epsilon = EPSILON * (planar.depth.max_code() / 255.0).powi(2) as f32;
    let size = (frame.height, frame.width);
    let (of_first, of_others) = source.names();
    if let (Components::Rgb, Some(others), Some(of_others)) =
        (planar.components, &others, of_others)
    {
        let weights = weights(frame);
        let [one, two] = planes::order_of(planar);
        let luma = [weights[0], weights[one], weights[two]];
        let painted = b.concat(1, &[&first, others]);
        let source = b.concat(1, &[of_first, of_others]);
        let all = match colour {
            Colour::Style => painted,
            Colour::Source => {
                let difference = b.sub(&painted, &source);
                let light = b.weighted(&difference, &[luma], size);
                b.add(&source, &light)
            }
            Colour::Match => {
                let (forward, inverse) = matrices(&luma);
                let [painted, source] =
                    [painted, source].map(|planes| b.weighted(&planes, &forward, size));
                let matched = matched(b, &painted, &source, size.0, epsilon);
                b.weighted(&matched, &inverse, size)
            }
        };
        return (b.slice(&all, 1, 0, 1), Some(b.slice(&all, 1, 1, 3)));
    }
    if colour != Colour::Match {
        return (first, others);
    }
    let (_, rows) = frame.chroma(planar.subsampling);
    let first = matched(b, &first, of_first, frame.height, epsilon);
    let others = others.zip(of_others);
    let others = others.map(|(others, of_others)| matched(b, &others, of_others, rows, epsilon));
    (first, others)
}

/// Gives each plane the mean and variance of the same plane of the source, floats `[1, C, height, W]`.
fn matched(b: &mut Builder, painted: &str, source: &str, height: usize, epsilon: f32) -> Name {
    let rows = sampled_rows(height);
    let [sample, wanted] = [painted, source].map(|x| match rows.len() < height {
        true => b.gather(x, 2, &rows),
        false => x.into(),
    });
    let (gain, offset) = gain_and_offset(b, &sample, &wanted, epsilon);
    let scaled = b.mul(painted, &gain);
    b.add(&scaled, &offset)
}

/// Indices of the rows from which statistics are computed: every n-th, at least [`ROWS`].
fn sampled_rows(height: usize) -> Vec<i64> {
    let step = (height / ROWS).max(1);
    let rows = (step / 2..height).step_by(step);
    rows.map(|row| row as i64).collect()
}

/// Gain and offset, `[1, C, 1, 1]`, that give planes the mean and variance of `wanted`.
fn gain_and_offset(b: &mut Builder, planes: &str, wanted: &str, epsilon: f32) -> (Name, Name) {
    let statistics = |b: &mut Builder, x: &str| {
        let mean = b.mean_of_picture(x);
        let deviation = b.sub(x, &mean);
        let square = b.mul(&deviation, &deviation);
        let variance = b.mean_of_picture(&square);
        (mean, b.plus(&variance, epsilon))
    };
    let (mean, variance) = statistics(b, planes);
    let (wanted_mean, wanted_variance) = statistics(b, wanted);
    let ratio = b.div(&wanted_variance, &variance);
    let gain = b.sqrt(&ratio);
    let scaled = b.mul(&gain, &mean);
    (gain, b.sub(&wanted_mean, &scaled))
}

/// The matrix from three channels to luma and the differences of the first and last channel from it, and its
/// inverse.
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
