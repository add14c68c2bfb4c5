// SPDX-License-Identifier: MPL-2.0
//! Scaling of pictures, one axis at a time: reduction by the mean over each new pixel's area, enlargement by linear
//! interpolation with pixel centres at half integers.
//!
//! For a ratio of small integers the interpolation weights repeat, so each block of pixels is multiplied with the
//! same small matrix: this works in every operator set and takes OpenVINO a third of the time of its own
//! interpolation. Other ratios use ONNX's `Resize` with `half_pixel` coordinates (operator set 11), or `resample`
//! before that. On ONNX Runtime's CPU provider `AveragePool` and `Resize` are faster and used where they compute
//! the same.

use super::resample::resample;
use crate::graph::lowering::Scaling;
use crate::graph::write::builder::{Builder, Name};

/// Oldest operator set whose `Resize` has the coordinate mode `half_pixel`.
const HALF_PIXEL_SINCE: i64 = 11;
/// Maximum length of a block, pixels: larger matrices consist mostly of zeros.
const BLOCK: usize = 32;

/// Height and width.
type Size = (usize, usize);

/// Reduces float pictures of `channels` channels by averaging, so that every source pixel contributes.
pub(crate) fn reduce(
    b: &mut Builder,
    x: &str,
    channels: i64,
    from: Size,
    to: Size,
    scaling: Scaling,
) -> Name {
    if from == to {
        return x.into();
    }
    let whole = from.0.is_multiple_of(to.0) && from.1.is_multiple_of(to.1);
    if scaling == Scaling::Kernels && whole {
        let window = [(from.0 / to.0) as i64, (from.1 / to.1) as i64];
        return b.average(x, window, window);
    }
    let mut x = x.to_string();
    if from.0 != to.0 {
        x = match Blocks::new(from.0, to.0) {
            Some(blocks) => {
                let (count, width) = (blocks.count, from.1 as i64);
                let rows = b.reshape(&x, &[1, channels, count, blocks.from, width]);
                let weights = b.floats(&[blocks.to, blocks.from], &blocks.areas());
                let rows = b.matmul(&weights, &rows);
                b.reshape(&rows, &[1, channels, to.0 as i64, width])
            }
            None => shrink(b, &x, channels, from, (to.0, from.1)),
        };
    }
    if from.1 == to.1 {
        return x;
    }
    match Blocks::new(from.1, to.1) {
        Some(blocks) => {
            let count = channels * to.0 as i64 * blocks.count;
            let columns = b.reshape(&x, &[count, blocks.from]);
            let weights = transposed(&blocks.areas(), blocks.from as usize);
            let weights = b.floats(&[blocks.from, blocks.to], &weights);
            let columns = b.matmul(&columns, &weights);
            b.reshape(&columns, &[1, channels, to.0 as i64, to.1 as i64])
        }
        None => shrink(b, &x, channels, (to.0, from.1), to),
    }
}

/// Combines each element of a plane with its eight neighbours by an associative operator (such as `Max`), first
/// vertically, then horizontally. `x` is padded by one row and column on each side.
pub(crate) fn with_neighbours(
    b: &mut Builder,
    x: &str,
    (height, width): Size,
    both: impl Fn(&mut Builder, &str, &str) -> Name,
) -> Name {
    let mut x = x.to_string();
    for (axis, length) in [(2, height as i64), (3, width as i64)] {
        let parts = [0, 1, 2].map(|begin| b.slice(&x, axis, begin, begin + length));
        let two = both(b, &parts[0], &parts[1]);
        x = both(b, &two, &parts[2]);
    }
    x
}

/// Reduces by any ratio: linear interpolation to an integer multiple of the new size, then the mean of each block.
fn shrink(b: &mut Builder, x: &str, channels: i64, from: Size, to: Size) -> Name {
    if b.opset() < HALF_PIXEL_SINCE {
        return resample(b, x, from, to);
    }
    // Up to a ratio of 4/3, linear interpolation alone causes no visible aliasing: ⌈from/to − 1/3⌉.
    let block = |from: usize, to: usize| (3 * from).saturating_sub(to).div_ceil(3 * to).max(1);
    let window = (block(from.0, to.0), block(from.1, to.1));
    let x = b.resize(x, (to.0 * window.0, to.1 * window.1), channels);
    let window = [window.0 as i64, window.1 as i64];
    match window {
        [1, 1] => x,
        _ => b.average(&x, window, window),
    }
}

/// Enlarges float pictures of `channels` channels by linear interpolation.
pub(crate) fn enlarge(
    b: &mut Builder,
    x: &str,
    channels: i64,
    from: Size,
    to: Size,
    scaling: Scaling,
) -> Name {
    if from == to {
        return x.into();
    }
    let has_resize = b.opset() >= HALF_PIXEL_SINCE;
    if scaling == Scaling::Kernels && has_resize {
        return b.resize(x, to, channels);
    }
    let other = |b: &mut Builder, x: &str, from: Size, to: Size| match has_resize {
        true => b.resize(x, to, channels),
        false => resample(b, x, from, to),
    };
    // Columns first: there are fewer rows before the vertical step.
    let mut x = x.to_string();
    if from.1 != to.1 {
        x = match Blocks::new(from.1, to.1) {
            Some(blocks) => columns(b, &x, channels * from.0 as i64, &blocks),
            None => other(b, &x, from, (from.0, to.1)),
        };
    }
    let (height, width) = (to.0 as i64, to.1 as i64);
    if from.0 == to.0 {
        return b.reshape(&x, &[1, channels, height, width]);
    }
    match Blocks::new(from.0, to.0) {
        Some(blocks) => {
            // Each block with one neighbouring row on each side.
            let rows = b.reshape(&x, &[1, channels, from.0 as i64, width]);
            let rows = b.gather(&rows, 2, &blocks.places(-1..blocks.from + 1));
            let rows = b.reshape(&rows, &[1, channels, blocks.count, blocks.from + 2, width]);
            let weights = b.floats(&[blocks.to, blocks.from + 2], &blocks.linear());
            let rows = b.matmul(&weights, &rows);
            b.reshape(&rows, &[1, channels, height, width])
        }
        None => {
            let x = b.reshape(&x, &[1, channels, from.0 as i64, width]);
            other(b, &x, (from.0, to.1), to)
        }
    }
}

/// Enlarges horizontally. A block's own columns and its two neighbours are multiplied separately, because gathering
/// all columns is slow.
fn columns(b: &mut Builder, x: &str, rows: i64, blocks: &Blocks) -> Name {
    let weights = transposed(&blocks.linear(), blocks.from as usize + 2);
    let row = blocks.to as usize;
    let (before, rest) = weights.split_at(row);
    let (inner, after) = rest.split_at(rest.len() - row);
    let beside = [before, after].concat();
    let x = b.reshape(x, &[rows, blocks.from * blocks.count]);
    let places = blocks.places([-1, blocks.from]);
    let neighbours = b.gather(&x, 1, &places);
    let neighbours = b.reshape(&neighbours, &[rows * blocks.count, 2]);
    let x = b.reshape(&x, &[rows * blocks.count, blocks.from]);
    let inner = b.floats(&[blocks.from, blocks.to], inner);
    let beside = b.floats(&[2, blocks.to], &beside);
    let x = b.matmul(&x, &inner);
    let neighbours = b.matmul(&neighbours, &beside);
    b.add(&x, &neighbours)
}

/// Weights of linear interpolation of a pixel to `count` pixels: for each, those of the previous pixel, the pixel and
/// the next one.
pub(crate) fn linear_taps(count: usize) -> Vec<f32> {
    let blocks = Blocks {
        count: 1,
        from: 1,
        to: count as i64,
    };
    blocks.linear()
}

/// Division of an axis into blocks of pixels with the same weights.
struct Blocks {
    count: i64,
    /// Pixels of a block before scaling.
    from: i64,
    /// Pixels of a block after scaling.
    to: i64,
}

impl Blocks {
    /// The longest blocks of at most [`BLOCK`] pixels; `None` if the ratio needs longer ones.
    fn new(from: usize, to: usize) -> Option<Self> {
        let common = gcd(from, to);
        let longer = from.max(to) / common;
        let times = (1..=common).filter(|times| common.is_multiple_of(*times));
        let times = times.take_while(|times| longer * times <= BLOCK).last()?;
        let part = |size: usize| (size / common * times) as i64;
        Some(Self {
            count: (common / times) as i64,
            from: part(from),
            to: part(to),
        })
    }

    /// Positions of these pixels in all blocks, clamped to the axis.
    fn places(&self, pixels: impl IntoIterator<Item = i64> + Clone) -> Vec<i64> {
        let last = self.count * self.from - 1;
        let block = |block: i64| {
            let pixels = pixels.clone().into_iter();
            pixels.map(move |pixel| (block * self.from + pixel).clamp(0, last))
        };
        (0..self.count).flat_map(block).collect()
    }

    /// `to × from` weights of area averaging: the share of each pixel in a new pixel's area.
    fn areas(&self) -> Vec<f32> {
        let scale = self.from as f64 / self.to as f64;
        let share = |out: i64, pixel: i64| {
            let (begin, end) = (out as f64 * scale, (out + 1) as f64 * scale);
            let covered = end.min((pixel + 1) as f64) - begin.max(pixel as f64);
            (covered.max(0.0) / scale) as f32
        };
        let row = |out| (0..self.from).map(move |pixel| share(out, pixel));
        (0..self.to).flat_map(row).collect()
    }

    /// `to × (1 + from + 1)` weights of linear interpolation, with a neighbour on each side.
    fn linear(&self) -> Vec<f32> {
        let scale = self.from as f64 / self.to as f64;
        let weight = |out: i64, pixel: i64| {
            let place = (out as f64 + 0.5) * scale - 0.5;
            (1.0 - (pixel as f64 - place).abs()).max(0.0) as f32
        };
        let row = |out| (-1..=self.from).map(move |pixel| weight(out, pixel));
        (0..self.to).flat_map(row).collect()
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The transpose of a row-major matrix with this number of columns.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let column = |c: usize| matrix.iter().skip(c).step_by(columns).copied();
    (0..columns).flat_map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_repeat_where_the_ratio_is_of_small_numbers() {
        let blocks = |from, to| Blocks::new(from, to).map(|b| (b.count, b.from, b.to));
        assert_eq!(blocks(720, 360), Some((24, 30, 15)));
        assert_eq!(blocks(360, 720), Some((24, 15, 30)));
        assert_eq!(blocks(1080, 480), Some((40, 27, 12)));
        assert_eq!(blocks(1920, 853), None);
        assert_eq!(blocks(3, 5), Some((1, 3, 5)));
    }

    #[test]
    fn weights_sum_to_1() {
        for (from, to) in [(3, 2), (2, 1), (9, 4)] {
            let down = Blocks::new(from, to).expect("blocks");
            let up = Blocks::new(to, from).expect("blocks");
            for (weights, row) in [(down.areas(), down.from), (up.linear(), up.from + 2)] {
                for row in weights.chunks_exact(row as usize) {
                    assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{from} {to}");
                }
            }
        }
        assert_eq!(
            transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3),
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
        );
    }
}
