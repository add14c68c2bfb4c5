// SPDX-License-Identifier: MPL-2.0
//! The property `stability`: a temporal blend gated by motion, against flicker where the source does not move.
//!
//! Two state tensors are passed from one frame to the next: the painting as it was shown, in the frame's components,
//! and the source that belongs to it, averaged over blocks of [`BLOCK`] x [`BLOCK`] pixels, which reduces noise to a
//! quarter. Where a block's source differs from the state by no more than noise, the new painting is blended with
//! the previous one; where it differs by more, the new painting is shown. The source's state is blended with the
//! same weight as the painting, so that slow changes accumulate until they exceed the threshold.
//!
//! The noise level is estimated from the grain of the surrounding blocks: smooth areas have none, and there even a
//! small difference matters, because the generator amplifies it to the painting's contrast.
//!
//! A cut resets the blend: if half of the blocks changed, all of them count as changed.

use crate::graph::frame::format::{Components, Depth, Format, Frame, Packed, Planar};
use crate::graph::frame::interleaved;
use crate::graph::frame::planes;
use crate::graph::lowering::Scaling;
use crate::graph::names::{SOURCE, STABILITY};
use crate::graph::ops::mix::mix;
use crate::graph::ops::scale::{enlarge, reduce, with_neighbours};
use crate::graph::write::builder::{Builder, Name};
use crate::model::ElementType;

/// Width and height of the blocks in which the source is compared, pixels.
const BLOCK: usize = 4;
/// Threshold of a block's difference (codes of 0..255) per code of grain.
const SAME_BY_GRAIN: f32 = 0.8;
/// Limits of the threshold: at least the differences caused by video coding; at most those of noise with a standard
/// deviation of 4, which changes a block's mean by 1.4 on average and by 6 in one of ten thousand blocks.
const SAME: (f32, f32) = (1.2, 7.0);
/// Multiple of the threshold from which a block is new; in between, the weights are interpolated.
const NEW: f32 = 16.0 / 7.0;
/// Shares of changed blocks between which the frame turns from no cut (first) to a cut (second), linearly.
const CUT: (f32, f32) = (0.4, 0.5);

/// A float32 state tensor: an output of the graph that is its input for the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Name of the input; zeros before the first frame.
    pub input: &'static str,
    /// Name of the output.
    pub output: &'static str,
    /// Shape of both.
    pub shape: [usize; 4],
}

/// The state tensors: means of the source's blocks, then the painting.
pub(crate) fn states(frame: &Frame) -> Vec<State> {
    let (height, width) = (frame.height, frame.width);
    let blocks = [1, components(frame), blocks(height), blocks(width)];
    let mut states = vec![State {
        input: "stylize/blocks_before",
        output: "stylize/blocks_after",
        shape: blocks,
    }];
    let mut painting = |input, output, shape| {
        states.push(State {
            input,
            output,
            shape,
        });
    };
    let names = ("stylize/before", "stylize/after");
    match &frame.format {
        Format::Packed(packed) => {
            painting(names.0, names.1, [1, 1, height, width * packed.bytes]);
        }
        Format::Planar(planar) => {
            painting(names.0, names.1, [1, 1, height, width]);
            if components(frame) > 1 {
                let (w, h) = frame.chroma(planar.subsampling);
                let names = ("stylize/others_before", "stylize/others_after");
                painting(names.0, names.1, [1, 2, h, w]);
            }
        }
    }
    states
}

/// Number of blocks that cover this number of pixels.
fn blocks(pixels: usize) -> usize {
    pixels.div_ceil(BLOCK)
}

/// Number of components: 1 for grey frames, else 3.
fn components(frame: &Frame) -> usize {
    match frame.format {
        Format::Planar(Planar {
            components: Components::Grey { .. },
            ..
        }) => 1,
        _ => 3,
    }
}

/// The blend with the previous frame.
pub(crate) struct TemporalBlend<'a> {
    frame: &'a Frame,
    scaling: Scaling,
    states: Vec<State>,
    /// Weight of the previous frame in each block, `[1, 1, h, w]`.
    weight: Name,
}

impl<'a> TemporalBlend<'a> {
    /// Compares the source with its state, and writes the new state.
    pub(crate) fn new(b: &mut Builder, frame: &'a Frame, scaling: Scaling) -> Self {
        let states = states(frame);
        let kept = states[0];
        let (source, grain) = blocks_of_source(b, frame, scaling);
        let grain = max_of_neighbours(b, &grain, frame, scaling);
        let same = b.times(&grain, SAME_BY_GRAIN);
        let same = b.clip(&same, SAME.0, SAME.1);
        let moved = b.sub(&source, kept.input);
        let moved = b.abs(&moved);
        let moved = b.max_of_channels(&moved, components(frame) as i64);
        let moved = b.div(&moved, &same);
        let gate = ramp(b, &moved, (1.0, NEW));
        let share = b.mean_of_picture(&gate);
        let cut = ramp(b, &share, CUT);
        // Neighbours count as changed, too, because moving objects cover and uncover them.
        let gate = max_of_neighbours(b, &gate, frame, scaling);
        let gate = b.max(&gate, &cut);
        let one = b.floats(&[], &[1.0]);
        let still = b.sub(&one, &gate);
        let weight = b.mul(&still, STABILITY);
        let mixed = mix(b, &source, kept.input, &weight);
        b.name_output(&mixed, kept.output);
        Self {
            frame,
            scaling,
            states,
            weight,
        }
    }

    /// Blends rows of interleaved floats, `[H, W · bytes]`, with the previous frame's.
    pub(crate) fn blend_rows(&self, b: &mut Builder, rows: &str) -> Name {
        let size = (self.frame.height, self.frame.width);
        let [.., height, row] = self.states[1].shape;
        let weight = self.enlarged(b, [1, 1], size, row / size.1);
        let dims = [height as i64, row as i64];
        let rows = b.reshape(rows, &[&[1, 1], &dims[..]].concat());
        // Values outside of 0..255 would remain in the state.
        let rows = b.clip(&rows, 0.0, 255.0);
        let blended = blend(b, self.states[1], &rows, &weight);
        b.reshape(&blended, &dims)
    }

    /// Blends component 0 of a planar frame, `[1, 1, H, W]`, with the previous frame's.
    pub(crate) fn blend_first(&self, b: &mut Builder, plane: &str) -> Name {
        let size = (self.frame.height, self.frame.width);
        let weight = self.enlarged(b, [1, 1], size, 1);
        blend(b, self.states[1], plane, &weight)
    }

    /// Blends components 1 and 2 of a planar frame, `[1, 2, h, w]`, with the previous frame's; `step` is their
    /// subsampling (horizontal, vertical).
    pub(crate) fn blend_others(&self, b: &mut Builder, planes: &str, step: [usize; 2]) -> Name {
        let (w, h) = self.frame.chroma(step);
        let weight = self.enlarged(b, step, (h, w), 1);
        blend(b, self.states[2], planes, &weight)
    }

    /// The weights of blocks interpolated linearly to weights of samples with subsampling `step`: `[1, 1, H, W]`,
    /// each column repeated `times` times.
    fn enlarged(
        &self,
        b: &mut Builder,
        step: [usize; 2],
        (height, width): (usize, usize),
        times: usize,
    ) -> Name {
        let [across, down] = step.map(|step| BLOCK / step);
        let (h, w) = (blocks(self.frame.height), blocks(self.frame.width));
        let mut x = enlarge(b, &self.weight, 1, (h, w), (h, w * across), self.scaling);
        if w * across > width {
            x = b.slice(&x, 3, 0, width as i64);
        }
        if times > 1 {
            // Columns are repeated before rows are enlarged, by a product with ones: compilers are slow at broadcasting
            // one weight to a few bytes.
            let ones = b.floats(&[1, times as i64], &vec![1.0; times]);
            let column = b.reshape(&x, &[(h * width) as i64, 1]);
            x = b.matmul(&column, &ones);
        }
        let row = width * times;
        x = b.reshape(&x, &[1, 1, h as i64, row as i64]);
        x = enlarge(b, &x, 1, (h, row), (h * down, row), self.scaling);
        match h * down > height {
            true => b.slice(&x, 2, 0, height as i64),
            false => x,
        }
    }
}

/// Blends `new` with the state by its weight, and writes the result as the new state.
fn blend(b: &mut Builder, state: State, new: &str, weight: &str) -> Name {
    let mixed = mix(b, new, state.input, weight);
    let finite = b.without_nan(&mixed);
    b.name_output(&finite, state.output);
    state.output.into()
}

/// The maximum of each block and its eight neighbours, at least 0, `[1, 1, h, w]`.
fn max_of_neighbours(b: &mut Builder, x: &str, frame: &Frame, scaling: Scaling) -> Name {
    if scaling == Scaling::Kernels {
        return b.max_of_neighbours(x);
    }
    // Compilers are slow at MaxPool of a single plane.
    let x = b.pad(x, "constant", &[0, 0, 1, 1, 0, 0, 1, 1]);
    let size = (blocks(frame.height), blocks(frame.width));
    with_neighbours(b, &x, size, Builder::max)
}

/// Ramp: 0 up to `from`, 1 from `to` on, linear in between.
fn ramp(b: &mut Builder, x: &str, (from, to): (f32, f32)) -> Name {
    let offset = b.floats(&[], &[from]);
    let x = b.sub(x, &offset);
    let x = b.times(&x, 1.0 / (to - from));
    b.clip(&x, 0.0, 1.0)
}

/// The means of the source's components over blocks, floats `[1, 1 or 3, h, w]`, and the grain of each block,
/// `[1, 1, h, w]`, both in 8-bit codes.
fn blocks_of_source(b: &mut Builder, frame: &Frame, scaling: Scaling) -> (Name, Name) {
    match &frame.format {
        Format::Packed(packed) => of_pixels(b, frame, packed),
        Format::Planar(planar) => {
            let samples = planes::read(b, frame, planar, SOURCE);
            let (first, others) = samples.names();
            let luma = whole(b, first, [BLOCK; 2], (frame.height, frame.width));
            let size = (blocks(frame.height), blocks(frame.width));
            let grain = grain(b, &luma, size, (1, 0));
            let grain = eight_bits(b, planar, grain);
            let luma = mean(b, &luma, 1, [BLOCK; 2], size, scaling);
            let luma = eight_bits(b, planar, luma);
            let Some(others) = others else {
                return (luma, grain);
            };
            let block = planar.subsampling.map(|step| BLOCK / step);
            let (w, h) = frame.chroma(planar.subsampling);
            let others = whole(b, others, block, (h, w));
            let others = mean(b, &others, 2, block, size, scaling);
            let others = eight_bits(b, planar, others);
            (b.concat(1, &[&luma, &others]), grain)
        }
    }
}

/// [`blocks_of_source`] for interleaved pixels. Uses matrix products with few columns, which every provider runs
/// faster than splitting the channels and pooling them. Each use converts to float separately, because a compiler
/// would keep a shared conversion in memory at the size of the frame.
fn of_pixels(b: &mut Builder, frame: &Frame, packed: &Packed) -> (Name, Name) {
    let mut x = interleaved::pixels(b, frame, packed, SOURCE);
    let (h, w) = (blocks(frame.height), blocks(frame.width));
    let beyond = |blocks: usize, pixels: usize| (blocks * BLOCK - pixels) as i64;
    let (bottom, right) = (beyond(h, frame.height), beyond(w, frame.width));
    if (bottom, right) != (0, 0) {
        // Older operator sets cannot pad u8.
        x = b.cast(&x, ElementType::F32);
        x = b.pad(&x, "edge", &[0, 0, 0, 0, 0, bottom, right, 0]);
    }
    let grain = grain(b, &x, (h, w), (packed.bytes, packed.rgb[1]));
    let share = 1.0 / (BLOCK * BLOCK) as f32;
    let mut weights = Vec::new();
    for byte in (0..BLOCK).flat_map(|_| 0..packed.bytes) {
        weights.extend(packed.rgb.map(|at| if at == byte { share } else { 0.0 }));
    }
    let row = (BLOCK * packed.bytes) as i64;
    let weights = b.floats(&[row, 3], &weights);
    let (h, w, side) = (h as i64, w as i64, BLOCK as i64);
    let x = b.reshape(&x, &[h * side * w, row]);
    let x = b.cast(&x, ElementType::F32);
    let columns = b.matmul(&x, &weights);
    let rows = b.reshape(&columns, &[h, side, w * 3]);
    let sums = b.sum(&rows, 1, false);
    let means = b.reshape(&sums, &[1, h, w, 3]);
    (b.transpose(&means, &[0, 3, 1, 2]), grain)
}

/// The grain of each block: mean absolute second difference in one of its rows, which noise has and a gradient has
/// not. `x` holds floats or bytes with `samples` per pixel, of which sample `at` is used.
fn grain(b: &mut Builder, x: &str, (h, w): (usize, usize), (samples, at): (usize, usize)) -> Name {
    let row = BLOCK * samples;
    let rows = b.reshape(x, &[h as i64, BLOCK as i64, (w * row) as i64]);
    let rows = b.slice(&rows, 1, 1, 2);
    let rows = b.reshape(&rows, &[(h * w) as i64, row as i64]);
    let rows = b.cast(&rows, ElementType::F32);
    const TIMES: usize = BLOCK - 2;
    let mut weights = vec![0.0; row * TIMES];
    for first in 0..TIMES {
        for (pixel, weight) in [1.0, -2.0, 1.0].into_iter().enumerate() {
            weights[((first + pixel) * samples + at) * TIMES + first] = weight;
        }
    }
    let weights = b.floats(&[row as i64, TIMES as i64], &weights);
    let differences = b.matmul(&rows, &weights);
    let differences = b.abs(&differences);
    let shares = b.floats(&[TIMES as i64, 1], &[1.0 / TIMES as f32; TIMES]);
    let grain = b.matmul(&differences, &shares);
    b.reshape(&grain, &[1, 1, h as i64, w as i64])
}

/// Planes padded at the right and bottom to whole blocks of this width and height, by repeating the edge.
fn whole(b: &mut Builder, x: &str, [across, down]: [usize; 2], size: (usize, usize)) -> Name {
    let beyond = |pixels: usize, block: usize| (pixels.next_multiple_of(block) - pixels) as i64;
    match (beyond(size.0, down), beyond(size.1, across)) {
        (0, 0) => x.into(),
        (bottom, right) => b.pad(x, "edge", &[0, 0, 0, 0, 0, 0, bottom, right]),
    }
}

/// Means of blocks of this width and height: `[1, planes, H, W]` to `[1, planes, h, w]`.
fn mean(
    b: &mut Builder,
    x: &str,
    planes: i64,
    [across, down]: [usize; 2],
    to: (usize, usize),
    scaling: Scaling,
) -> Name {
    reduce(b, x, planes, (to.0 * down, to.1 * across), to, scaling)
}

/// Codes scaled to those of 8 bits.
fn eight_bits(b: &mut Builder, planar: &Planar, codes: Name) -> Name {
    if planar.depth == Depth::BYTE {
        return codes;
    }
    b.times(&codes, (255.0 / planar.depth.max_code()) as f32)
}
