// SPDX-License-Identifier: MPL-2.0
//! Emit for packed frames: channel order, effects, the mix with the source, and conversion to bytes.
//!
//! There are two forms. A provider that fuses elementwise operators computes mix, clamp and interleaving in one pass
//! over the pixels (`mixed`). With others, every operator is a pass over memory, so at full strength the shortest
//! chain of operators is run (`full`).

use crate::graph::effect::colour;
use crate::graph::effect::effects::{Colour, Effects};
use crate::graph::effect::stability::TemporalBlend;
use crate::graph::frame::format::{Frame, Packed};
use crate::graph::frame::interleaved;
use crate::graph::lowering::{Blend, Scaling};
use crate::graph::names::{MASK, SOURCE, STRENGTH};
use crate::graph::ops::mix;
use crate::graph::ops::range::to_byte_range;
use crate::graph::rewrite::late_shuffle::{LateShuffle, SIDE};
use crate::graph::write::builder::{Builder, Name};
use crate::model::{ElementType, Range};

/// A painting of the frame's size.
pub(crate) enum Stylized<'a> {
    /// `[1, 3, H, W]`.
    Planes(Name),
    /// `[1, 12, H/2, W/2]`, and the order of their channels.
    Blocks(Name, &'a LateShuffle),
    /// `[1, H, W, bytes]`, in the frame's channel order.
    Pixels(Name),
}

/// Parameters of the output subgraph for packed frames.
pub(crate) struct PackedOutput<'a> {
    /// Range of the values of `stylized`.
    pub range: &'a Range,
    pub frame: &'a Frame,
    pub packed: &'a Packed,
    /// Result of [`interleaved::channels`].
    pub channels: Vec<Option<i64>>,
    /// The source's bytes as planes, `[1, bytes, H, W]`; `None` only with [`Stylized::Pixels`].
    pub planes: Option<&'a str>,
    pub stylized: Stylized<'a>,
    pub scaling: Scaling,
    pub effects: &'a Effects,
    pub past: Option<TemporalBlend<'a>>,
}

impl PackedOutput<'_> {
    /// The frame's bytes, `[H, stride]` u8.
    pub(crate) fn built(&self, b: &mut Builder, blend: Blend) -> Name {
        let rows = match blend {
            Blend::Always => self.mixed(b),
            Blend::Branch => {
                let coverage = mix::coverage(b);
                b.if_below(&coverage, 1.0, |b| self.mixed(b), |b| self.full(b))
            }
        };
        let (height, row) = self.frame.plane(0);
        let padding = self.frame.target.strides[0] - row;
        if padding == 0 {
            return rows;
        }
        let zeros = b.zero_bytes(&[height as i64, padding as i64]);
        b.concat(1, &[&rows, &zeros])
    }

    /// The frame at any strength: interleaved pixels mixed with the source's. The fourth byte (alpha or padding) is
    /// mixed at strength 0, which copies the source's exactly.
    fn mixed(&self, b: &mut Builder) -> Name {
        let range = self.range;
        let mut x = match &self.stylized {
            Stylized::Planes(planes) => self.interleaved(b, planes),
            Stylized::Blocks(blocks, shuffle) => self.pixels_of_blocks(b, shuffle, blocks),
            Stylized::Pixels(pixels) => pixels.clone(),
        };
        // Compilers vectorize along the last axis: a length of 3 runs at a third of the speed.
        let (height, row) = self.frame.plane(0);
        let (height, row) = (height as i64, row as i64);
        x = b.reshape(&x, &[height, row]);
        if let Some(scale) = range.plain_scale()
            && scale != 1.0
        {
            x = b.times(&x, 1.0 / scale);
        }
        let bytes = interleaved::rows(b, self.frame, SOURCE);
        let source = b.cast(&bytes, ElementType::F32);
        let colour = self.effects.colour;
        if colour != Colour::Style {
            // Clamped first, so that statistics are those of the displayed values.
            x = b.clip(&x, 0.0, 255.0);
            x = colour::of_pixels(b, self.frame, self.packed, colour, &x, (&source, &bytes));
        }
        if let Some(past) = &self.past {
            x = past.blend_rows(b, &x);
        }
        let taking_part: Vec<bool> = self.channels.iter().map(Option::is_some).collect();
        let right = mix::right(b, self.frame.width, 1, Some(&taking_part));
        let right = b.reshape(&right, &[row]);
        let mut strength = b.mul(&right, STRENGTH);
        if self.effects.mask {
            let mask = self.mask_of_bytes(b);
            strength = b.mul(&strength, &mask);
        }
        let mixed = mix::mix(b, &source, &x, &strength);
        b.round_to_bytes(&mixed)
    }

    /// The mask for each byte of the frame's rows, `[H, W · bytes]` floats of 0..1.
    fn mask_of_bytes(&self, b: &mut Builder) -> Name {
        let (height, row) = self.frame.plane(0);
        let bytes = self.packed.bytes;
        // Repeated by a matrix product with ones, which is exact in 16-bit floats.
        let pixels = interleaved::together(height * self.frame.width);
        let repeated = |pixel: usize| {
            let column = move |at: usize| if at / bytes == pixel { 1.0 } else { 0.0 };
            (0..pixels * bytes).map(column)
        };
        let repeat: Vec<f32> = (0..pixels).flat_map(repeated).collect();
        let repeat = b.floats(&[pixels as i64, (pixels * bytes) as i64], &repeat);
        let mask = b.cast(MASK, ElementType::F32);
        let count = (height * self.frame.width / pixels) as i64;
        let mask = b.reshape(&mask, &[count, pixels as i64]);
        let mask = b.matmul(&mask, &repeat);
        let mask = b.reshape(&mask, &[height as i64, row as i64]);
        b.times(&mask, 1.0 / 255.0)
    }

    /// Planes of floats as interleaved pixels; converted to 0..255 unless the range is a plain scale of that.
    fn interleaved(&self, b: &mut Builder, planes: &str) -> Name {
        let mut x = planes.to_string();
        if self.range.plain_scale().is_none() {
            x = to_byte_range(b, &x, self.range);
        }
        if self.channels != [Some(0), Some(1), Some(2)] {
            let order: Vec<i64> = self.channels.iter().map(|c| c.unwrap_or(0)).collect();
            x = b.gather(&x, 1, &order);
        }
        b.transpose(&x, &[0, 2, 3, 1])
    }

    /// The frame at full strength: converts floats to bytes first, so that fewer bytes are rearranged.
    fn full(&self, b: &mut Builder) -> Name {
        let pixels = match &self.stylized {
            Stylized::Planes(planes) => self.pixels_of_planes(b, planes),
            // A block has no fourth channel.
            Stylized::Blocks(blocks, shuffle) if self.packed.fourth().is_some() => {
                let planes = shuffle.done(b, blocks);
                self.pixels_of_planes(b, &planes)
            }
            Stylized::Blocks(blocks, shuffle) => {
                let blocks = self.bytes(b, blocks);
                self.pixels_of_blocks(b, shuffle, &blocks)
            }
            // Already interleaved.
            Stylized::Pixels(_) => return self.mixed(b),
        };
        let (height, row) = self.frame.plane(0);
        b.reshape(&pixels, &[height as i64, row as i64])
    }

    /// Floats in the generator's range as bytes.
    fn bytes(&self, b: &mut Builder, x: &str) -> Name {
        match self.range.plain_scale() {
            Some(scale) => b.quantize(x, scale),
            None => {
                let x = to_byte_range(b, x, self.range);
                b.quantize(&x, 1.0)
            }
        }
    }

    /// Planes of floats as interleaved bytes, with the source's fourth byte.
    fn pixels_of_planes(&self, b: &mut Builder, planes: &str) -> Name {
        let mut x = self.bytes(b, planes);
        let order: Vec<i64> = self.channels.iter().map(|c| c.unwrap_or(3)).collect();
        if let (Some(fourth), Some(planes)) = (self.packed.fourth(), self.planes) {
            let plane = b.slice(planes, 1, fourth as i64, fourth as i64 + 1);
            x = b.concat(1, &[&x, &plane]);
        }
        if !order.is_sorted() {
            x = b.gather(&x, 1, &order);
        }
        b.transpose(&x, &[0, 2, 3, 1])
    }

    /// Blocks, `[1, 12, H/2, W/2]`, as interleaved pixels, `[1, H, W, bytes]`: transposed so that a block's bytes are
    /// adjacent, then split into the upper and lower row of pixels.
    fn pixels_of_blocks(&self, b: &mut Builder, shuffle: &LateShuffle, blocks: &str) -> Name {
        let mut order = Vec::new();
        for pixel in 0..SIDE * SIDE {
            let place = [pixel % SIDE, pixel / SIDE];
            let channel = |c: &Option<i64>| c.map_or(0, |c| shuffle.channel(place, c as usize));
            order.extend(self.channels.iter().map(|c| channel(c) as i64));
        }
        let mut x = blocks.to_string();
        if !order.is_sorted() {
            x = b.gather(&x, 1, &order);
        }
        let x = b.transpose(&x, &[0, 2, 3, 1]);
        let half = (order.len() / SIDE) as i64;
        let [rows, columns] =
            [self.frame.height, self.frame.width].map(|size| (size / SIDE) as i64);
        let all = match self.scaling {
            // A compiler fuses the transposition into one pass; kernels are faster at copying whole rows.
            Scaling::Products => {
                let x = b.reshape(&x, &[rows, columns, SIDE as i64, half]);
                b.transpose(&x, &[0, 2, 1, 3])
            }
            Scaling::Kernels => {
                let halves = [0, 1].map(|i| {
                    let x = b.slice(&x, 3, i * half, (i + 1) * half);
                    b.reshape(&x, &[rows, 1, columns * half])
                });
                b.concat(1, &[&halves[0], &halves[1]])
            }
        };
        let [height, width] = [self.frame.height, self.frame.width].map(|size| size as i64);
        b.reshape(&all, &[1, height, width, self.packed.bytes as i64])
    }
}
