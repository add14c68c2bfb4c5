// SPDX-License-Identifier: MPL-2.0
//! A temporal blend gated by motion: where the source stays, so does the painting.
//!
//! Two tensors are handed from one frame to the next: the painting as it was shown, and the source
//! that belongs to it, averaged over blocks of [`BLOCK`] x [`BLOCK`] pixels, which takes noise down to a
//! quarter. Where a block differs from that by no more than noise does, the past keeps its weight;
//! where it differs by more, the new painting takes its place at once. Because the kept source moves
//! on with the painting's weight, slow changes add up until they count, too.
//!
//! After a cut nothing is kept: the gate is open everywhere when it is open for half of the frame.

use super::builder::{Builder, Name};
use super::effects::mix;
use super::format::{Depth, Frame, Planar};
use super::ingest::Ingested;
use super::planes;
use super::{SOURCE, STABILITY, State};
use crate::model::ElementType;

/// Side of the blocks in which the source is compared, pixels.
const BLOCK: usize = 4;
/// Differences in codes of 0..255 up to which a block stays, and from which on it is new. Noise with
/// a standard deviation of 4 moves a block's mean by 1.4, and by 6 in one of ten thousand.
const SAME: f32 = 7.0;
const NEW: f32 = 16.0;
/// Shares of the frame that are new from which a cut begins and is certain.
const CUT: (f32, f32) = (0.4, 0.5);

/// The tensors that go from one frame to the next.
pub(super) fn states(frame: &Frame) -> [State; 2] {
    let blocks = [1, components(frame), rows(frame.height), rows(frame.width)];
    [
        State {
            input: "stylize/before",
            output: "stylize/after",
            shape: [1, 3, frame.height, frame.width],
        },
        State {
            input: "stylize/blocks_before",
            output: "stylize/blocks_after",
            shape: blocks,
        },
    ]
}

fn rows(pixels: usize) -> usize {
    pixels.div_ceil(BLOCK)
}

fn components(frame: &Frame) -> usize {
    use super::format::{Components, Format};
    match frame.format {
        Format::Planar(Planar {
            components: Components::Grey { .. },
            ..
        }) => 1,
        _ => 3,
    }
}

/// The generator's picture, floats `[1, 3, H, W]`, blended with that of the frame before.
pub(super) fn blend(b: &mut Builder, frame: &Frame, ingested: &Ingested, picture: &str) -> Name {
    let [painting, kept] = states(frame);
    let blocks = blocks(b, frame, ingested);
    let moved = b.sub(&blocks, kept.input);
    let moved = b.abs(&moved);
    let moved = b.most_of_channels(&moved, components(frame) as i64);
    let offset = b.floats(&[], &[SAME]);
    let moved = b.sub(&moved, &offset);
    let scale = b.floats(&[], &[1.0 / (NEW - SAME)]);
    let moved = b.mul(&moved, &scale);
    let gate = b.clip(&moved, 0.0, 1.0);

    let share = b.mean_of_picture(&gate);
    let offset = b.floats(&[], &[CUT.0]);
    let share = b.sub(&share, &offset);
    let scale = b.floats(&[], &[1.0 / (CUT.1 - CUT.0)]);
    let share = b.mul(&share, &scale);
    let cut = b.clip(&share, 0.0, 1.0);
    // What moves covers and uncovers what is beside it.
    let gate = b.most_of_neighbours(&gate);
    let gate = b.max(&gate, &cut);
    let one = b.floats(&[], &[1.0]);
    let still = b.sub(&one, &gate);
    let weight = b.mul(&still, STABILITY);

    mix(b, &blocks, kept.input, &weight);
    b.rename_last(kept.output);
    let weight = enlarge(b, frame, &weight);
    mix(b, picture, painting.input, &weight);
    b.rename_last(painting.output);
    painting.output.into()
}

/// The source's components in codes, averaged over blocks: floats `[1, 1 or 3, h, w]`.
fn blocks(b: &mut Builder, frame: &Frame, ingested: &Ingested) -> Name {
    let (height, width) = (frame.height, frame.width);
    match ingested {
        Ingested::Packed(packed, planes) => {
            let colours = packed.rgb.map(|byte| byte as i64);
            let colours = match colours == [0, 1, 2] && packed.bytes == 3 {
                true => planes.clone(),
                false => b.gather(planes, 1, &colours),
            };
            let colours = b.cast(&colours, ElementType::F32);
            b.mean_of_blocks(&colours, [BLOCK; 2], [height, width])
        }
        Ingested::Planar(planar) => {
            let samples = planes::read(b, frame, planar, SOURCE);
            let (first, others) = samples.names();
            let mut luma = b.mean_of_blocks(first, [BLOCK; 2], [height, width]);
            luma = eight_bits(b, planar, luma);
            let Some(others) = others else {
                return luma;
            };
            let [across, down] = planar.subsampling;
            let (w, h) = frame.chroma(planar.subsampling);
            let others = b.mean_of_blocks(others, [BLOCK / down, BLOCK / across], [h, w]);
            let others = eight_bits(b, planar, others);
            b.concat(1, &[&luma, &others])
        }
    }
}

/// Codes in the units of 8-bit ones.
fn eight_bits(b: &mut Builder, planar: &Planar, codes: Name) -> Name {
    if planar.depth == Depth::BYTE {
        return codes;
    }
    let scale = b.floats(&[], &[(255.0 / planar.depth.most()) as f32]);
    b.mul(&codes, &scale)
}

/// Weights of blocks as weights of pixels, linear between the blocks' middles.
fn enlarge(b: &mut Builder, frame: &Frame, weights: &str) -> Name {
    const SIDE: i64 = BLOCK as i64;
    let triangle: Vec<f32> = (0..2 * BLOCK)
        .map(|i| 1.0 - (i as f32 + 0.5 - BLOCK as f32).abs() / BLOCK as f32)
        .collect();
    let kernel: Vec<f32> = triangle
        .iter()
        .flat_map(|v| triangle.iter().map(move |h| v * h))
        .collect();
    let kernel = b.floats(&[1, 1, 2 * SIDE, 2 * SIDE], &kernel);
    let padded = b.pad(weights, "edge", &[0, 0, 1, 1, 0, 0, 1, 1]);
    // The first pixel is `SIDE / 2 - 0.5` before the middle of the first block, which is the second
    // sample now, and whose triangle begins at `SIDE` with its middle `SIDE - 0.5` further on.
    let begin = SIDE + SIDE / 2;
    let end = |pixels: usize| {
        let blocks = rows(pixels) as i64 + 2;
        (blocks - 1) * SIDE + 2 * SIDE - begin - pixels as i64
    };
    let crop = [begin, begin, end(frame.height), end(frame.width)];
    b.conv_transpose(&padded, &kernel, None, [SIDE, SIDE], crop)
}
