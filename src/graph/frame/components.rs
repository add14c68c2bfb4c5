// SPDX-License-Identifier: MPL-2.0
//! Conversion between components and RGB: matrix, range, and subsampling and siting of chroma (ITU-R BT.601, BT.709,
//! BT.2020; chroma siting of ITU-T H.273).
//!
//! Speed depends on the number of passes over full-size tensors. To RGB: the matrix is linear, so one transposed
//! convolution upsamples chroma and applies chroma's columns of the matrix. From RGB: one convolution computes all
//! components of a block of 2x2 pixels; its kernels are the triangle filters that match the upsampling.

use super::codes::Codes;
use super::format::{Components, Frame, Planar};
use super::planes::{Samples, order_of};
use crate::graph::rewrite::late_shuffle::{LateShuffle, SIDE};
use crate::graph::write::builder::{Builder, Name};
use crate::model::ChannelOrder;

/// Converts components to RGB in the generator's channel order, floats `[1, 3, H, W]` of 0..255 times `scale`.
pub(crate) fn to_rgb(
    b: &mut Builder,
    frame: &Frame,
    planar: &Planar,
    samples: &Samples,
    order: ChannelOrder,
    scale: f32,
) -> Name {
    let codes = Codes::of(planar.components, planar.depth);
    let channels = channels(order);
    match (planar.components, &samples.others) {
        (Components::Yuv { .. }, Some((others, which))) => {
            let inverse = codes.to_rgb();
            let ([luma, ..], black) = inverse[0];
            // Chroma centred on zero, where 16-bit floats are exact, so that grey stays neutral.
            let neutral = b.floats(&[], &[codes.neutral() as f32]);
            let others = b.sub(others, &neutral);
            let mut weights = Vec::new();
            for component in which {
                let of = |channel: usize| scale * inverse[channel].0[*component] as f32;
                weights.push(channels.map(of));
            }
            let share = enlarged(b, frame, planar, &others, &weights, scale * black as f32);
            let luma = b.times(&samples.first, scale * luma as f32);
            let rgb = b.add(&share, &luma);
            b.clip(&rgb, 0.0, 255.0 * scale)
        }
        (_, Some((others, which))) => {
            let planes = b.concat(1, &[&samples.first, others]);
            let place = |channel: usize| match channel {
                0 => 0,
                other => 1 + i64::from(which[0] != other),
            };
            let rgb = b.gather(&planes, 1, &channels.map(place));
            scaled(b, &rgb, scale)
        }
        (_, None) => {
            let (luma, black) = codes.to_grey();
            let mut grey = scaled(b, &samples.first, scale * luma as f32);
            if black != 0.0 {
                grey = b.plus(&grey, scale * black as f32);
                grey = b.clip(&grey, 0.0, 255.0 * scale);
            }
            b.concat(1, &[&grey, &grey, &grey])
        }
    }
}

/// Converts RGB in the generator's channel order, floats `[1, 3, H, W]` of 0..255 times `scale`, to codes of
/// components: floats `[1, 1, H, W]` and, in memory order, `[1, 2, h, w]`.
pub(crate) fn from_rgb(
    b: &mut Builder,
    frame: &Frame,
    planar: &Planar,
    rgb: &str,
    order: ChannelOrder,
    scale: f32,
) -> (Name, Option<Name>) {
    let channels = channels(order);
    if planar.components == Components::Rgb {
        let rgb = scaled(b, rgb, 1.0 / scale);
        let component = |component: usize| channels.iter().position(|c| *c == component);
        let at = |wanted: usize| component(wanted).unwrap_or(0) as i64;
        let first = b.gather(&rgb, 1, &[at(0)]);
        let others = b.gather(&rgb, 1, &order_of(planar).map(at));
        return (first, Some(others));
    }
    let reduction = Reduction::new(frame, planar, channels, scale);
    match planar.depth.bits {
        8 => reduction.in_blocks(b, rgb),
        _ => reduction.in_full_precision(b, rgb),
    }
}

/// [`from_rgb`] for blocks of 2x2 pixels, floats `[1, 12, H/2, W/2]`, to 8-bit luma and chroma.
pub(crate) fn from_blocks(
    b: &mut Builder,
    frame: &Frame,
    planar: &Planar,
    (blocks, shuffle): (&str, &LateShuffle),
    order: ChannelOrder,
    scale: f32,
) -> (Name, Option<Name>) {
    Reduction::new(frame, planar, channels(order), scale).of_blocks(b, blocks, shuffle)
}

/// A row of the colour matrix.
#[derive(Clone, Copy)]
struct Component {
    weights: [f32; 3],
    offset: f32,
}

/// Separable filter of one sample of a block: a row of the colour matrix, and weights of the columns and rows from
/// [`Reduction::begin`] pixels before the block on.
struct Kernel {
    component: Component,
    x: Vec<f32>,
    y: Vec<f32>,
}

/// Conversion from RGB to components; pairs are horizontal and vertical.
struct Reduction {
    size: [usize; 2],
    /// Subsampling of chroma, pixels per sample.
    step: [usize; 2],
    /// Number of pixels before the block that the filter of chroma covers: 1 for co-sited chroma.
    begin: [usize; 2],
    luma: Component,
    others: Option<[Component; 2]>,
}

impl Reduction {
    fn new(frame: &Frame, planar: &Planar, channels: [usize; 3], scale: f32) -> Self {
        let forward = Codes::of(planar.components, planar.depth).of_rgb();
        let row = |component: usize| Component {
            weights: channels.map(|channel| forward[component].0[channel] as f32 / scale),
            offset: forward[component].1 as f32,
        };
        let (others, cosited) = match planar.components {
            Components::Yuv { cosited, .. } => (Some(order_of(planar).map(row)), cosited),
            _ => (None, [false; 2]),
        };
        Self {
            size: [frame.width, frame.height],
            step: planar.subsampling,
            begin: [0, 1].map(|axis| usize::from(planar.subsampling[axis] == 2 && cosited[axis])),
            luma: row(0),
            others,
        }
    }

    /// Computes all components of 2x2 pixels by one convolution with stride 2, and rearranges them. With ONNX
    /// Runtime's CPU provider a convolution to one or three channels costs as much as one to sixteen, and this one
    /// has a quarter of the output positions.
    fn in_blocks(&self, b: &mut Builder, rgb: &str) -> (Name, Option<Name>) {
        let rgb = self.padded(b, rgb, 2);
        let [across, down] = self.begin.map(|begin| begin + 2);
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for Kernel { component, x, y } in self.kernels() {
            for weight in component.weights {
                for v in &y {
                    weights.extend(x.iter().map(|h| weight * v * h));
                }
            }
            bias.push(component.offset);
        }
        let count = bias.len() as i64;
        let weights = b.floats(&[count, 3, down as i64, across as i64], &weights);
        let bias = b.floats(&[count], &bias);
        let all = b.conv(&rgb, &weights, Some(&bias), [2, 2]);
        self.parted(b, &all, count)
    }

    /// [`Self::in_blocks`] for blocks, `[1, 12, H/2, W/2]`. Repeating a block at an edge gives the pixel next to the
    /// edge the value that reflection gives.
    fn of_blocks(
        &self,
        b: &mut Builder,
        blocks: &str,
        shuffle: &LateShuffle,
    ) -> (Name, Option<Name>) {
        let [left, top] = self.begin.map(|begin| begin as i64);
        let mut x = blocks.to_string();
        if [left, top] != [0; 2] {
            x = b.pad(&x, "edge", &[0, 0, top, left, 0, 0, 0, 0]);
        }
        let [across, down] = self.begin.map(|begin| begin + 1);
        let size = across * down;
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for kernel in self.kernels() {
            let mut of_blocks = vec![0.0; 3 * SIDE * SIDE * size];
            let Kernel { component, x, y } = &kernel;
            for (i, v) in y.iter().enumerate() {
                for (j, h) in x.iter().enumerate() {
                    // A pixel before the block is the second one of the previous block.
                    let [j, i] = [j + self.begin[0], i + self.begin[1]];
                    for (colour, weight) in component.weights.iter().enumerate() {
                        let channel = shuffle.channel([j % SIDE, i % SIDE], colour);
                        let place = i / SIDE * across + j / SIDE;
                        of_blocks[channel * size + place] = weight * v * h;
                    }
                }
            }
            weights.append(&mut of_blocks);
            bias.push(component.offset);
        }
        let count = bias.len() as i64;
        let dims = [count, (3 * SIDE * SIDE) as i64, down as i64, across as i64];
        let weights = b.floats(&dims, &weights);
        let bias = b.floats(&[count], &bias);
        let all = b.conv(&x, &weights, Some(&bias), [1, 1]);
        self.parted(b, &all, count)
    }

    /// The filters of all samples of a block: luma, then chroma.
    fn kernels(&self) -> Vec<Kernel> {
        let kernel = |component: Component, step: [usize; 2], phase: [usize; 2]| {
            let [x, y] = [0, 1].map(|axis| self.taps(axis, step[axis], phase[axis]));
            Kernel { component, x, y }
        };
        let luma = phases([2, 2]).map(|phase| kernel(self.luma, [1, 1], phase));
        let others = phases(self.each()).flat_map(|phase| {
            let others = self.others.iter().flatten();
            others.map(move |component| kernel(*component, self.step, phase))
        });
        luma.chain(others).collect()
    }

    /// Number of chroma samples in a block, horizontal and vertical.
    fn each(&self) -> [usize; 2] {
        self.step.map(|step| 2 / step)
    }

    /// Splits the `count` samples of each block into luma and chroma planes.
    fn parted(&self, b: &mut Builder, all: &str, count: i64) -> (Name, Option<Name>) {
        if self.others.is_none() {
            return (self.placed(b, all, 1, [2, 2], [1, 1]), None);
        }
        let luma = b.slice(all, 1, 0, 4);
        let others = b.slice(all, 1, 4, count);
        let luma = self.placed(b, &luma, 1, [2, 2], [1, 1]);
        let others = self.placed(b, &others, 2, self.each(), self.step);
        (luma, Some(others))
    }

    /// [`Self::in_blocks`] by `AveragePool` and sums. Compilers that compute convolutions in 16-bit floats keep these
    /// in 32 bits, which formats of more than 8 bits need.
    fn in_full_precision(&self, b: &mut Builder, rgb: &str) -> (Name, Option<Name>) {
        let first = weighed(b, rgb, &self.luma);
        let Some(others) = &self.others else {
            return (first, None);
        };
        let mut x = rgb.to_string();
        if self.step != [1, 1] {
            x = self.padded(b, &x, 1);
        }
        for (axis, (step, begin)) in self.step.into_iter().zip(self.begin).enumerate() {
            let window = |n: usize| match axis {
                0 => [1, n as i64],
                _ => [n as i64, 1],
            };
            // The filter 1/4, 1/2, 1/4 is the mean of two means.
            if begin == 1 {
                x = b.average(&x, window(2), [1, 1]);
            }
            if step == 2 {
                x = b.average(&x, window(2), window(2));
            }
        }
        let others = others.map(|component| weighed(b, &x, &component));
        (first, Some(b.concat(1, &[&others[0], &others[1]])))
    }

    /// Pads RGB at the left and top by reflection as far as the filter reaches, and at the right and bottom by
    /// repetition to whole blocks, whose size is the subsampling but at least `single` pixels.
    fn padded(&self, b: &mut Builder, rgb: &str, single: usize) -> Name {
        let [left, top] = self.begin.map(|begin| begin as i64);
        let [right, bottom] = [0, 1].map(|axis| {
            let block = self.step[axis].max(single);
            (self.size[axis].next_multiple_of(block) - self.size[axis]) as i64
        });
        let mut x = rgb.to_string();
        if [top, left] != [0; 2] {
            x = b.pad(&x, "reflect", &[0, 0, top, left, 0, 0, 0, 0]);
        }
        if [bottom, right] != [0; 2] {
            x = b.pad(&x, "edge", &[0, 0, 0, 0, 0, 0, bottom, right]);
        }
        x
    }

    /// Weights of the pixels before the block and in it, along one axis, for the sample at `phase`.
    fn taps(&self, axis: usize, step: usize, phase: usize) -> Vec<f32> {
        let begin = self.begin[axis];
        let mut taps = vec![0.0; begin + 2];
        match (step, begin) {
            (1, _) => taps[begin + phase] = 1.0,
            (_, 0) => taps.fill(0.5),
            _ => taps.copy_from_slice(&[0.25, 0.5, 0.25]),
        }
        taps
    }

    /// Rearranges the samples of `count` components from blocks to planes and crops them to the picture; `each`:
    /// samples per block, horizontal and vertical.
    fn placed(
        &self,
        b: &mut Builder,
        x: &str,
        count: i64,
        each: [usize; 2],
        step: [usize; 2],
    ) -> Name {
        let blocks = self.size.map(|size| size.div_ceil(2));
        let [w, h] = [0, 1].map(|axis| (blocks[axis] * each[axis]) as i64);
        let mut x = match each {
            [2, 2] => b.depth_to_space(x, false),
            [1, 1] => x.to_string(),
            [across, down] => {
                let [bw, bh] = blocks.map(|n| n as i64);
                let x = b.reshape(x, &[down as i64, across as i64, count, bh, bw]);
                let x = b.transpose(&x, &[2, 3, 0, 4, 1]);
                b.reshape(&x, &[1, count, h, w])
            }
        };
        let [width, height] = [0, 1].map(|axis| self.size[axis].div_ceil(step[axis]) as i64);
        if height < h {
            x = b.slice(&x, 2, 0, height);
        }
        if width < w {
            x = b.slice(&x, 3, 0, width);
        }
        x
    }
}

/// Positions (horizontal, vertical) in a block, row by row.
fn phases([across, down]: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    (0..across * down).map(move |i| [i % across, i / across])
}

/// One component of every pixel, by its row of the colour matrix.
fn weighed(b: &mut Builder, rgb: &str, component: &Component) -> Name {
    let weights = b.floats(&[1, 3, 1, 1], &component.weights);
    let parts = b.mul(rgb, &weights);
    let sum = b.sum(&parts, 1, true);
    b.plus(&sum, component.offset)
}

/// Multiplies by `scale`, if it is not 1.
fn scaled(b: &mut Builder, x: &str, scale: f32) -> Name {
    if scale == 1.0 {
        return x.into();
    }
    b.times(x, scale)
}

/// The colour (0 = red, 1 = green, 2 = blue) of each of the generator's channels.
fn channels(order: ChannelOrder) -> [usize; 3] {
    match order {
        ChannelOrder::Rgb => [0, 1, 2],
        ChannelOrder::Bgr => [2, 1, 0],
    }
}

/// Upsamples chroma to the size of luma by linear interpolation at its siting, and multiplies it by its columns of the
/// colour matrix: floats `[1, 2, h, w]` to `[1, 3, H, W]`.
fn enlarged(
    b: &mut Builder,
    frame: &Frame,
    planar: &Planar,
    x: &str,
    weights: &[[f32; 3]],
    bias: f32,
) -> Name {
    let cosited = match planar.components {
        Components::Yuv { cosited, .. } => cosited,
        _ => [false; 2],
    };
    let [across, down] = planar.subsampling;
    let (w, h) = frame.chroma(planar.subsampling);
    let horizontal = Enlargement::new(across, cosited[0], w, frame.width);
    let vertical = Enlargement::new(down, cosited[1], h, frame.height);
    let [(top, bottom), (left, right)] =
        [vertical.edge, horizontal.edge].map(|[begin, end]| (begin, end));
    let mut x = x.to_string();
    if [top, left, bottom, right] != [0; 4] {
        x = b.pad(&x, "edge", &[0, 0, top, left, 0, 0, bottom, right]);
    }
    let mut kernels = Vec::new();
    for weight in weights.iter().flatten() {
        for v in &vertical.kernel {
            kernels.extend(horizontal.kernel.iter().map(|h| weight * v * h));
        }
    }
    let [rows, columns] = [&vertical, &horizontal].map(|axis| axis.kernel.len() as i64);
    let kernels = b.floats(&[2, 3, rows, columns], &kernels);
    let bias = b.floats(&[3], &[bias; 3]);
    let [v, h] = [vertical.crop, horizontal.crop];
    let strides = [down as i64, across as i64];
    let crop = [v[0], h[0], v[1], h[1]];
    b.conv_transpose(&x, &kernels, Some(&bias), strides, crop)
}

/// Linear interpolation along one axis as a transposed convolution.
struct Enlargement {
    kernel: Vec<f32>,
    /// Number of samples by which the edge is repeated at the beginning and the end.
    edge: [i64; 2],
    /// Number of samples cropped from the result there.
    crop: [i64; 2],
}

impl Enlargement {
    /// From `from` samples, each of `step` pixels, to `to` pixels.
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
        // The last sample is repeated only if the last pixel lies beyond it.
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
