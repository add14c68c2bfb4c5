// SPDX-License-Identifier: MPL-2.0
//! Scales packed frames by an integer ratio in their interleaved layout.
//!
//! For a ratio of `n` the frame consists of tiles of n x n pixels. The bytes of one row of a tile are adjacent, so a
//! row of pixels can be reshaped to a row of tiles with `n` times the channels, and a convolution with kernel height
//! and stride `n` computes the mean of each tile. For enlarging, one convolution per row of a tile produces whole rows
//! of bytes, which are concatenated. No planar tensor of the frame's size is made and no pixel is transposed, which
//! takes OpenVINO half the time of [`Route::Floats`](crate::graph::ends::route::Route::Floats). The arithmetic is that
//! of [`scale`](crate::graph::ops::scale).

use super::format::Packed;
use super::interleaved;
use super::sizes::Sizes;
use crate::graph::lowering::Scaling;
use crate::graph::ops::scale::linear_taps;
use crate::graph::write::builder::{Builder, Name};
use crate::model::{ChannelOrder, ElementType, Extent, Signature};

/// Largest ratio that was measured to be faster; the number of weights grows with its square.
const MAX_RATIO: usize = 4;

/// The division of a frame into tiles.
pub(crate) struct Tiles {
    /// Width and height of a tile, pixels.
    side: usize,
    /// Height and width of the frame, tiles.
    count: (usize, usize),
    packed: Packed,
}

impl Tiles {
    /// `None` if the ratio is not an integer within the limit, or where the provider is faster with separate
    /// kernels.
    pub(crate) fn of(
        packed: &Packed,
        signature: &Signature,
        sizes: &Sizes,
        scaling: Scaling,
    ) -> Option<Self> {
        let open = matches!(signature.extent, Extent::Any { .. });
        let (frame, count) = (sizes.frame, sizes.shown);
        let side = frame.0 / count.0;
        let whole = (count.0 * side, count.1 * side) == frame;
        let fits = open && whole && (2..=MAX_RATIO).contains(&side) && scaling == Scaling::Products;
        fits.then_some(Self {
            side,
            count,
            packed: *packed,
        })
    }

    /// Reshapes rows of bytes, `[H, W · bytes]` u8, to rows of tiles, `[1, side · bytes, H, w]` floats.
    pub(crate) fn rows(&self, b: &mut Builder, bytes: &str) -> Name {
        let [height, width] = [self.count.0 * self.side, self.count.1].map(|size| size as i64);
        let rows = b.reshape(bytes, &[1, height, width, self.channels() as i64]);
        let rows = b.cast(&rows, ElementType::F32);
        b.transpose(&rows, &[0, 3, 1, 2])
    }

    /// Number of bytes in one row of a tile.
    fn channels(&self) -> usize {
        self.side * self.packed.bytes
    }

    /// `outputs` weighted sums over each tile; `weight(output, [row, column], byte)` gives the weights.
    fn summed(
        &self,
        b: &mut Builder,
        rows: &str,
        outputs: usize,
        weight: impl Fn(usize, [usize; 2], usize) -> f32,
    ) -> Name {
        let bytes = self.packed.bytes;
        let mut weights = Vec::new();
        for output in 0..outputs {
            for channel in 0..self.channels() {
                let (column, byte) = (channel / bytes, channel % bytes);
                weights.extend((0..self.side).map(|row| weight(output, [row, column], byte)));
            }
        }
        let side = self.side as i64;
        let dims = [outputs as i64, self.channels() as i64, side, 1];
        let weights = b.floats(&dims, &weights);
        b.conv(rows, &weights, None, [side, 1])
    }

    /// Mean colours of the tiles, `[1, 3, h, w]` of 0..255, in the generator's channel order.
    pub(crate) fn means(&self, b: &mut Builder, rows: &str, order: ChannelOrder) -> Name {
        let colours = interleaved::colour_indices(&self.packed, order);
        let sums = self.summed(b, rows, 3, |colour, _, byte| {
            f32::from(u8::from(colours[colour] == byte as i64))
        });
        // A separate multiplication, because a provider may round the weights to 16 bits.
        b.times(&sums, 1.0 / (self.side * self.side) as f32)
    }

    /// Luma of each pixel of a tile, row by row, `[1, side · side, h, w]` of 0..255. The weights are those of the
    /// channels in the generator's order.
    pub(crate) fn luma(
        &self,
        b: &mut Builder,
        rows: &str,
        order: ChannelOrder,
        weights: &[f32; 3],
    ) -> Name {
        let colours = interleaved::colour_indices(&self.packed, order);
        self.summed(b, rows, self.side * self.side, |pixel, place, byte| {
            let here = place == [pixel / self.side, pixel % self.side];
            let colour = colours.iter().position(|at| *at == byte as i64);
            colour
                .filter(|_| here)
                .map_or(0.0, |colour| weights[colour])
        })
    }

    /// Enlarges a plane, `[1, 1, h, w]`, to each pixel of a tile in the order of [`Tiles::luma`].
    pub(crate) fn spread(&self, b: &mut Builder, plane: &str) -> Name {
        let taps = linear_taps(self.side);
        let mut weights = Vec::new();
        for pixel in 0..self.side * self.side {
            let [down, across] = [pixel / self.side, pixel % self.side].map(|at| &taps[at * 3..]);
            weights.extend((0..9).map(|at| down[at / 3] * across[at % 3]));
        }
        let weights = b.floats(&[(self.side * self.side) as i64, 1, 3, 3], &weights);
        let plane = b.pad(plane, "edge", &[0, 0, 1, 1, 0, 0, 1, 1]);
        b.conv(&plane, &weights, None, [1, 1])
    }

    /// Enlarges a painting, `[1, 3, h, w]`, to pixels, `[1, H, W, bytes]`. `channels` gives the painting's channel for
    /// each byte of a pixel; bytes without one are 0. `added` is added to all colours: a plane, `[1, 1, h, w]`, which
    /// is enlarged as well, and a plane in the order of [`Tiles::luma`].
    pub(crate) fn enlarged(
        &self,
        b: &mut Builder,
        painting: &str,
        channels: &[Option<i64>],
        added: Option<(&str, &str)>,
    ) -> Name {
        let taps = linear_taps(self.side);
        // Integer weights and one division at the end, because fractions such as 1/3 are inexact in 16 bits.
        let unit = match self.side.is_power_of_two() {
            true => 1.0,
            false => (self.side * self.side) as f32,
        };
        let x = match added {
            Some((plane, light)) => b.concat(1, &[painting, plane, light]),
            None => painting.into(),
        };
        let inputs = 3 + added.map_or(0, |_| 1 + self.side * self.side);
        let (height, width) = (self.count.0 as i64, self.count.1 as i64);
        let (side, row) = (self.side as i64, self.channels() as i64);
        let mut rows = Vec::new();
        for at in 0..self.side {
            let down = &taps[at * 3..][..3];
            // The neighbouring rows of tiles that contribute to this row.
            let [above, below] = [0, 2].map(|beside| i64::from(down[beside] > 0.0));
            let seen = 1 - above as usize..2 + below as usize;
            let mut weights = Vec::new();
            for output in 0..self.channels() {
                let (column, byte) = (output / self.packed.bytes, output % self.packed.bytes);
                let across = &taps[column * 3..][..3];
                for input in 0..inputs {
                    let weight = |y: usize, x: usize| match (channels[byte], input) {
                        (None, _) => 0.0,
                        (Some(colour), 0..3) if input as i64 != colour => 0.0,
                        (Some(_), 0..4) => down[y] * across[x] * unit,
                        _ if input - 4 != at * self.side + column || [y, x] != [1, 1] => 0.0,
                        _ => unit,
                    };
                    let places = seen.clone().flat_map(|y| (0..3).map(move |x| (y, x)));
                    weights.extend(places.map(|(y, x)| weight(y, x)));
                }
            }
            let weights = b.floats(&[row, inputs as i64, seen.len() as i64, 3], &weights);
            let padded = b.pad(&x, "edge", &[0, 0, above, 1, 0, 0, below, 1]);
            let pixels = b.conv(&padded, &weights, None, [1, 1]);
            let pixels = b.transpose(&pixels, &[0, 2, 3, 1]);
            rows.push(b.reshape(&pixels, &[height, 1, width * row]));
        }
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let mut all = b.concat(1, &rows);
        if unit != 1.0 {
            all = b.times(&all, 1.0 / unit);
        }
        let bytes = self.packed.bytes as i64;
        b.reshape(&all, &[1, height * side, width * side, bytes])
    }
}
