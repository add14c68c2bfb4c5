// SPDX-License-Identifier: MPL-2.0
//! The way out: the generator's output tensor to bytes of a frame.
//!
//! Two forms of the last steps exist, because providers differ in what they make of them. One fuses
//! the mix, the clamp and the interleaving into one pass over pixels (`mixed`); where nothing is
//! fused, every operator is a pass over memory, and the shortest chain (`full`) is taken at full
//! strength.

use super::builder::{Builder, Name};
use super::components::{from_blocks, from_rgb};
use super::effects::{self, Colour, Effects, Sizes, mix};
use super::format::{Components, Frame, Packed, Planar};
use super::ingest::{self, Ingested, Seen, per_channel};
use super::late_shuffle::{LateShuffle, SIDE};
use super::resample::resample;
use super::scale::enlarge;
use super::small::Small;
use super::stability::Past;
use super::{Blend, SOURCE, STRENGTH, Scaling, colour, guided, planes, split};
use crate::model::{ChannelOrder, ElementType, Extent, Layout, Range, Signature};

/// What the way out is built for.
pub(super) struct Job<'a> {
    pub signature: &'a Signature,
    pub frame: &'a Frame,
    pub sizes: &'a Sizes,
    pub effects: &'a Effects,
    /// The source as the generator sees it; there wherever an effect needs it.
    pub seen: Option<&'a Seen>,
    /// The generator's last step, where it is left to the way out.
    pub shuffle: Option<&'a LateShuffle>,
    pub blend: Blend,
    pub scaling: Scaling,
}

/// Builds the way from `signature.output` to `out_name` (u8).
pub(super) fn build(b: &mut Builder, job: &Job, ingested: &Ingested, out_name: &str) {
    let picture = picture(b, job);
    let past = job.effects.stability;
    let past = past.then(|| Past::new(b, job.frame, job.scaling));
    match ingested {
        Ingested::Packed(packed, planes) => {
            let (stylized, range) = match job.shuffle {
                Some(_) => (picture, job.signature.output.range),
                None => painting(b, job, picture),
            };
            let tail = Tail {
                order: job.signature.order,
                range: &range,
                frame: job.frame,
                packed,
                planes,
                stylized,
                shuffle: job.shuffle,
                scaling: job.scaling,
                effects: job.effects,
                past,
            };
            packed_rows(b, &tail, job.blend);
        }
        Ingested::Planar(planar) => {
            let components = components(b, job, planar, picture);
            planar_bytes(b, job, planar, components, past.as_ref());
        }
    }
    b.rename_last(out_name);
    let states = job.effects.states(job.frame);
    let outputs = states.iter().map(|state| state.output).chain([out_name]);
    b.drop_unread(outputs);
}

/// A packed frame, `[H, stride]`.
fn packed_rows(b: &mut Builder, tail: &Tail, blend: Blend) {
    let pixels = match blend {
        Blend::Always => tail.mixed(b),
        Blend::Branch => {
            let coverage = split::coverage(b);
            b.if_below(&coverage, 1.0, |b| tail.mixed(b), |b| tail.full(b))
        }
    };
    let (rows, row) = tail.frame.plane(0);
    let (height, row) = (rows as i64, row as i64);
    let rows = b.reshape(&pixels, &[height, row]);
    let padding = tail.frame.target.strides[0] as i64 - row;
    if padding > 0 {
        let zeros = b.zero_bytes(&[height, padding]);
        b.concat(1, &[&rows, &zeros]);
    }
}

/// A painting's components in codes, as [`from_rgb`] gives them. Limited to 0..255 before it is taken
/// apart, so that no component holds what red, green and blue cannot.
fn components(b: &mut Builder, job: &Job, planar: &Planar, picture: Name) -> (Name, Option<Name>) {
    let Job {
        signature, frame, ..
    } = *job;
    let limited = |b: &mut Builder, x: &str, range: &Range| {
        let (rgb, scale) = match range.plain_scale() {
            Some(scale) => (x.to_string(), scale),
            None => (to_byte_range(b, x, range), 1.0),
        };
        (b.clip(&rgb, 0.0, 255.0 * scale), scale)
    };
    let order = signature.order;
    let Some(small) = Small::of(frame, signature, job.sizes, job.scaling) else {
        if let Some(shuffle) = job.shuffle {
            let (blocks, scale) = limited(b, &picture, &signature.output.range);
            return from_blocks(b, frame, planar, (&blocks, shuffle), order, scale);
        }
        let (x, range) = painting(b, job, picture);
        let (rgb, scale) = limited(b, &x, &range);
        return from_rgb(b, frame, planar, &rgb, order, scale);
    };
    let (rgb, scale) = limited(b, &picture, &signature.output.range);
    let (first, others) = match job.shuffle {
        Some(shuffle) => small.components_of_blocks(b, (&rgb, shuffle), order, scale),
        None => small.components_of(b, &rgb, order, scale),
    };
    let others = others.map(|others| small.others_enlarged(b, &others));
    let first = match job.seen {
        Some(Seen::Luma(shown)) if job.effects.is_guided(job.sizes) => {
            let full = planes::read(b, frame, planar, SOURCE).first;
            small.first_enlarged(b, &first, Some((shown, &full)))
        }
        _ => small.first_enlarged(b, &first, None),
    };
    (first, others)
}

/// A frame of planes, `[1, size]`, from a painting's components.
fn planar_bytes(
    b: &mut Builder,
    job: &Job,
    planar: &Planar,
    (mut first, mut others): (Name, Option<Name>),
    past: Option<&Past>,
) {
    let frame = job.frame;
    let yuv = matches!(planar.components, Components::Yuv { .. });
    let colour = job.effects.colour;
    let keeps_chroma = colour == Colour::Source && yuv;
    let mut source = None;
    if colour != Colour::Style {
        let samples = planes::read(b, frame, planar, SOURCE);
        (first, others) = colour::of_planes(b, frame, planar, colour, (first, others), &samples);
        source = Some(samples);
    }
    if let Some(past) = past {
        first = past.blend_first(b, &first);
        others = others.map(|others| past.blend_others(b, &others, planar.subsampling));
    }
    let depth = planar.depth;
    let bytes = |b: &mut Builder, mix: bool| {
        let read = (mix && source.is_none()).then(|| planes::read(b, frame, planar, SOURCE));
        let of = source
            .as_ref()
            .or(read.as_ref())
            .map(planes::Samples::names);
        let mixed = |b: &mut Builder, painted: &str, source: Option<&str>, step: [usize; 2]| {
            let strength = source.filter(|_| mix).map(|_| strength(b, job, step));
            planes::mixed(b, depth, painted, source.zip(strength.as_deref()))
        };
        let first = mixed(b, &first, of.map(|(first, _)| first), [1, 1]);
        let others = others.as_ref().map(|painted| {
            match (of.and_then(|(_, others)| others), keeps_chroma) {
                // To the code.
                (Some(source), true) => planes::mixed(b, depth, source, None),
                (source, _) => mixed(b, painted, source, planar.subsampling),
            }
        });
        planes::write(b, frame, planar, &first, others.as_ref())
    };
    let all = match job.blend {
        Blend::Always => bytes(b, true),
        Blend::Branch => {
            let coverage = split::coverage(b);
            b.if_below(&coverage, 1.0, |b| bytes(b, true), |b| bytes(b, false))
        }
    };
    // The last node must be one of ours, to carry the output's name.
    b.reshape(&all, &[1, frame.size(&frame.target) as i64]);
}

/// The strength of the mix for each sample of a plane, of which there is one for so many pixels across
/// and down.
fn strength(b: &mut Builder, job: &Job, [across, down]: [usize; 2]) -> Name {
    let size = [job.frame.height, job.frame.width];
    let right = split::right(b, size[1].div_ceil(across), across, None);
    if !job.effects.mask {
        return b.mul(&right, STRENGTH);
    }
    let mut masked = effects::masked_strength(b);
    if [across, down] != [1, 1] {
        masked = b.mean_of_blocks(&masked, [down, across], size);
    }
    b.mul(&masked, &right)
}

/// The generator's picture as float planes in its own range, not yet clamped: of the size of what it
/// was shown, or in blocks.
fn picture(b: &mut Builder, job: &Job) -> Name {
    let output = &job.signature.output;
    let mut x = match job.shuffle {
        Some(shuffle) => shuffle.blocks.clone(),
        None => output.name.clone(),
    };
    if output.element != ElementType::F32 {
        x = b.cast(&x, ElementType::F32);
    }
    if output.layout == Layout::Nhwc {
        x = b.transpose(&x, &[0, 3, 1, 2]);
    }
    let (shown, picture) = (job.sizes.shown, job.sizes.picture);
    if picture.0 != shown.0 {
        x = b.slice(&x, 2, 0, shown.0 as i64);
    }
    if picture.1 != shown.1 {
        x = b.slice(&x, 3, 0, shown.1 as i64);
    }
    x
}

/// The picture at the frame's size, and the range of its values.
fn painting(b: &mut Builder, job: &Job, picture: Name) -> (Name, Range) {
    let Job {
        signature,
        sizes,
        effects,
        ..
    } = *job;
    let (mut x, mut in_range) = (picture, signature.output.range);
    match (job.seen, signature.extent) {
        (Some(Seen::Rgb { full, shown }), _) if effects.is_guided(sizes) => {
            x = to_byte_range(b, &x, &in_range);
            in_range = Range::BYTE;
            let luma = colour::luma(job.frame, signature.order);
            let (weights, offset) = of_byte_range(&signature.input.range, &luma);
            let mut guide = |planes: &str, size: (usize, usize)| {
                let guide = b.weighted(planes, &[weights], size);
                if offset == 0.0 {
                    return guide;
                }
                let offset = b.floats(&[], &[offset]);
                b.add(&guide, &offset)
            };
            let small = guide(shown, sizes.shown);
            let full = guide(full, sizes.frame);
            let guides = (small.as_str(), full.as_str());
            x = guided::enlarge_along(b, &x, guides, &luma, sizes, job.scaling);
        }
        (_, Extent::Fixed { .. }) => x = resample(b, &x, sizes.shown, sizes.frame),
        (_, Extent::Any { .. }) => x = enlarge(b, &x, 3, sizes.shown, sizes.frame, job.scaling),
    }
    (x, in_range)
}

/// The last steps: `[1, 3, H, W]` floats, or the blocks of a shuffle, to `[1, H, W, bytes]` u8.
struct Tail<'a> {
    order: ChannelOrder,
    /// Of the values of `stylized`.
    range: &'a Range,
    frame: &'a Frame,
    packed: &'a Packed,
    planes: &'a str,
    stylized: Name,
    shuffle: Option<&'a LateShuffle>,
    scaling: Scaling,
    effects: &'a Effects,
    past: Option<Past<'a>>,
}

impl Tail<'_> {
    /// For each byte of a pixel the generator's channel that goes there; `None` for the fourth.
    fn channels(&self) -> Vec<Option<i64>> {
        let order = ingest::colour_indices(self.packed, self.order);
        let channel = |byte| order.iter().position(|at| *at == byte);
        (0..self.packed.bytes as i64)
            .map(|byte| channel(byte).map(|c| c as i64))
            .collect()
    }

    /// Mixed with the source frame at any strength, on interleaved pixels. The fourth byte takes
    /// part at strength 0, which gives the source's exactly.
    fn mixed(&self, b: &mut Builder) -> Name {
        let range = self.range;
        let channels = self.channels();
        let mut x = match self.shuffle {
            Some(shuffle) => self.pixels_of_blocks(b, shuffle, &self.stylized, &channels),
            None => self.interleaved(b, &channels),
        };
        if let Some(scale) = range.plain_scale()
            && scale != 1.0
        {
            let inverse = b.floats(&[], &[1.0 / scale]);
            x = b.mul(&x, &inverse);
        }
        let bytes = ingest::pixels(b, self.frame, self.packed, SOURCE);
        let source = b.cast(&bytes, ElementType::F32);
        let colour = self.effects.colour;
        if colour != Colour::Style {
            // What is compared is what would be seen.
            x = b.clip(&x, 0.0, 255.0);
            x = colour::of_pixels(b, self.frame, self.packed, colour, &x, (&source, &bytes));
        }
        if let Some(past) = &self.past {
            // Colours beyond what a byte holds would stay on.
            x = b.clip(&x, 0.0, 255.0);
            x = past.blend_pixels(b, &x);
        }
        let taking_part: Vec<bool> = channels.iter().map(Option::is_some).collect();
        let right = split::right(b, self.frame.width, 1, Some(&taking_part));
        let mut strength = STRENGTH.to_string();
        if self.effects.mask {
            let (height, width) = (self.frame.height as i64, self.frame.width as i64);
            strength = effects::masked_strength(b);
            strength = b.reshape(&strength, &[1, height, width, 1]);
        }
        let strength = b.mul(&right, &strength);
        let mixed = mix(b, &source, &x, &strength);
        b.round_to_bytes(&mixed)
    }

    /// Planes of floats as pixels, in codes unless the range is a plain scale of them.
    fn interleaved(&self, b: &mut Builder, channels: &[Option<i64>]) -> Name {
        let mut x = self.stylized.clone();
        if self.range.plain_scale().is_none() {
            x = to_byte_range(b, &x, self.range);
        }
        if channels != [Some(0), Some(1), Some(2)] {
            let order: Vec<i64> = channels.iter().map(|c| c.unwrap_or(0)).collect();
            x = b.gather(&x, 1, &order);
        }
        b.transpose(&x, &[0, 2, 3, 1])
    }

    /// The stylized picture alone: floats become bytes first, so that what moves is small.
    fn full(&self, b: &mut Builder) -> Name {
        let range = self.range;
        let channels = self.channels();
        let mut x = match (self.shuffle, self.packed.fourth()) {
            // The fourth is no channel of a block.
            (Some(shuffle), Some(_)) => shuffle.done(b, &self.stylized),
            _ => self.stylized.clone(),
        };
        x = match range.plain_scale() {
            Some(scale) => b.quantize(&x, scale),
            None => {
                let x = to_byte_range(b, &x, range);
                b.quantize(&x, 1.0)
            }
        };
        if let (Some(shuffle), None) = (self.shuffle, self.packed.fourth()) {
            return self.pixels_of_blocks(b, shuffle, &x, &channels);
        }
        let order: Vec<i64> = channels.iter().map(|c| c.unwrap_or(3)).collect();
        if let Some(fourth) = self.packed.fourth() {
            let plane = b.slice(self.planes, 1, fourth as i64, fourth as i64 + 1);
            x = b.concat(1, &[&x, &plane]);
        }
        if !order.is_sorted() {
            x = b.gather(&x, 1, &order);
        }
        b.transpose(&x, &[0, 2, 3, 1])
    }

    /// Blocks, `[1, 12, H/2, W/2]`, to pixels, `[1, H, W, bytes]`: first all bytes of a block side by
    /// side, then the lower half of each behind the upper.
    fn pixels_of_blocks(
        &self,
        b: &mut Builder,
        shuffle: &LateShuffle,
        blocks: &str,
        channels: &[Option<i64>],
    ) -> Name {
        let mut order = Vec::new();
        for pixel in 0..SIDE * SIDE {
            let place = [pixel % SIDE, pixel / SIDE];
            let channel = |c: &Option<i64>| c.map_or(0, |c| shuffle.channel(place, c as usize));
            order.extend(channels.iter().map(|c| channel(c) as i64));
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
            // One pass for a compiler; a kernel copies whole rows faster than it reorders.
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

/// Inverse of [`Range::scale_offset`]: tensor values to 0..255, not yet clamped.
fn to_byte_range(b: &mut Builder, x: &str, range: &Range) -> Name {
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

/// Weights and offset that make of tensor values what `weights` make of 0..255.
fn of_byte_range(range: &Range, weights: &[f32; 3]) -> ([f32; 3], f32) {
    let (scale, offset) = range.scale_offset();
    let weights = [0, 1, 2].map(|c| weights[c] / scale[c]);
    let offset = (0..3).map(|c| -weights[c] * offset[c]).sum();
    (weights, offset)
}
