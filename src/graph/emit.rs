// SPDX-License-Identifier: MPL-2.0
//! The way out: the generator's output tensor to bytes of a frame.
//!
//! Two forms of the last steps exist, because providers differ in what they make of them. One fuses
//! the mix, the clamp and the interleaving into one pass over pixels (`mixed`); where nothing is
//! fused, every operator is a pass over memory, and the shortest chain (`full`) is taken at full
//! strength.

use super::builder::{Builder, Name};
use super::components::from_rgb;
use super::effects::{self, mix};
use super::format::{Frame, Packed, Planar};
use super::ingest::{self, Ingested, per_channel};
use super::planes;
use super::resample::resample;
use super::{Blend, Effects, SOURCE, STRENGTH, stability};
use crate::model::{ElementType, Extent, Layout, Range, Signature};

/// Builds the way from `signature.output` to `out_name` (u8).
pub(super) fn build(
    b: &mut Builder,
    signature: &Signature,
    frame: &Frame,
    ingested: &Ingested,
    effects: Effects,
    blend: Blend,
    out_name: &str,
) {
    let mut stylized = picture(b, signature, frame);
    if effects.stability {
        stylized = stability::blend(b, frame, ingested, &stylized);
    }
    match ingested {
        Ingested::Packed(packed, planes) => {
            let tail = Tail {
                signature,
                frame,
                packed,
                planes,
                stylized,
                effects,
            };
            packed_rows(b, &tail, blend);
        }
        Ingested::Planar(planar) => {
            planar_bytes(b, signature, frame, planar, &stylized, effects, blend);
        }
    }
    b.rename_last(out_name);
}

/// A packed frame, `[H, stride]`.
fn packed_rows(b: &mut Builder, tail: &Tail, blend: Blend) {
    let pixels = match blend {
        Blend::Always => tail.mixed(b),
        Blend::Branch => b.if_below(STRENGTH, 1.0, |b| tail.mixed(b), |b| tail.full(b)),
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

/// A frame of planes, `[1, size]`. Limited to 0..255 before it is taken apart, so that no component
/// holds what red, green and blue cannot.
fn planar_bytes(
    b: &mut Builder,
    signature: &Signature,
    frame: &Frame,
    planar: &Planar,
    stylized: &str,
    effects: Effects,
    blend: Blend,
) {
    let range = &signature.output.range;
    let (rgb, scale) = match range.plain_scale() {
        Some(scale) => (stylized.to_string(), scale),
        None => (to_byte_range(b, stylized, range), 1.0),
    };
    let rgb = b.clip(&rgb, 0.0, 255.0 * scale);
    let (first, others) = from_rgb(b, frame, planar, &rgb, signature.order, scale);
    let depth = planar.depth;
    let bytes = |b: &mut Builder, mix: bool| {
        let source = mix.then(|| planes::read(b, frame, planar, SOURCE));
        let of = source.as_ref().map(planes::Samples::names);
        let (strength, of_others) = match effects.mask {
            true => masked_strengths(b, frame, planar),
            false => (STRENGTH.into(), STRENGTH.into()),
        };
        let source = of.map(|(first, _)| (first, strength.as_str()));
        let first = planes::mixed(b, depth, &first, source);
        let others = others.as_ref().map(|painted| {
            let source = of.and_then(|(_, others)| Some((others?, of_others.as_str())));
            planes::mixed(b, depth, painted, source)
        });
        planes::write(b, frame, planar, &first, others.as_ref())
    };
    let all = match blend {
        Blend::Always => bytes(b, true),
        Blend::Branch => b.if_below(STRENGTH, 1.0, |b| bytes(b, true), |b| bytes(b, false)),
    };
    // The last node must be one of ours, to carry the output's name.
    b.reshape(&all, &[1, frame.size(&frame.target) as i64]);
}

/// The strength of the mix for each sample of the first component and of the others.
fn masked_strengths(b: &mut Builder, frame: &Frame, planar: &Planar) -> (Name, Name) {
    let full = effects::masked_strength(b);
    let [across, down] = planar.subsampling;
    let others = match [across, down] {
        [1, 1] => full.clone(),
        _ => b.mean_of_blocks(&full, [down, across], [frame.height, frame.width]),
    };
    (full, others)
}

/// The generator's picture at the frame's size as float planes in its own range, not yet clamped.
fn picture(b: &mut Builder, signature: &Signature, frame: &Frame) -> Name {
    let output = &signature.output;
    let mut x = output.name.clone();
    if output.element != ElementType::F32 {
        x = b.cast(&x, ElementType::F32);
    }
    if output.layout == Layout::Nhwc {
        x = b.transpose(&x, &[0, 3, 1, 2]);
    }
    let size = (frame.height, frame.width);
    let (width, height) = signature.picture_size(frame.width, frame.height);
    match signature.extent {
        Extent::Fixed { .. } => x = resample(b, &x, (height, width), size),
        Extent::Any { .. } => {
            if height != frame.height {
                x = b.slice(&x, 2, 0, frame.height as i64);
            }
            if width != frame.width {
                x = b.slice(&x, 3, 0, frame.width as i64);
            }
        }
    }
    x
}

/// The last steps: `[1, 3, H, W]` floats to `[1, H, W, bytes]` u8.
struct Tail<'a> {
    signature: &'a Signature,
    frame: &'a Frame,
    packed: &'a Packed,
    planes: &'a str,
    stylized: Name,
    effects: Effects,
}

impl Tail<'_> {
    /// For each byte of a pixel the generator's channel that goes there; `None` for the fourth.
    fn channels(&self) -> Vec<Option<i64>> {
        let order = ingest::colour_indices(self.packed, self.signature.order);
        let channel = |byte| order.iter().position(|at| *at == byte);
        (0..self.packed.bytes as i64)
            .map(|byte| channel(byte).map(|c| c as i64))
            .collect()
    }

    /// Mixed with the source frame at any strength, on interleaved pixels. The fourth byte takes
    /// part at strength 0, which gives the source's exactly.
    fn mixed(&self, b: &mut Builder) -> Name {
        let range = &self.signature.output.range;
        let mut x = self.stylized.clone();
        if range.plain_scale().is_none() {
            x = to_byte_range(b, &x, range);
        }
        let channels = self.channels();
        if channels != [Some(0), Some(1), Some(2)] {
            let order: Vec<i64> = channels.iter().map(|c| c.unwrap_or(0)).collect();
            x = b.gather(&x, 1, &order);
        }
        x = b.transpose(&x, &[0, 2, 3, 1]);
        if let Some(scale) = range.plain_scale()
            && scale != 1.0
        {
            let inverse = b.floats(&[], &[1.0 / scale]);
            x = b.mul(&x, &inverse);
        }
        let mut strength = STRENGTH.to_string();
        if self.effects.mask {
            let (height, width) = (self.frame.height as i64, self.frame.width as i64);
            strength = effects::masked_strength(b);
            strength = b.reshape(&strength, &[1, height, width, 1]);
        }
        if channels.contains(&None) {
            let mask: Vec<f32> = channels
                .iter()
                .map(|c| f32::from(u8::from(c.is_some())))
                .collect();
            let mask = b.floats(&[mask.len() as i64], &mask);
            strength = b.mul(&strength, &mask);
        }
        let source = ingest::pixels(b, self.frame, self.packed, SOURCE);
        let source = b.cast(&source, ElementType::F32);
        let mixed = mix(b, &source, &x, &strength);
        b.round_to_bytes(&mixed)
    }

    /// The stylized picture alone: floats become bytes first, so that what moves is small.
    fn full(&self, b: &mut Builder) -> Name {
        let range = &self.signature.output.range;
        let mut x = match range.plain_scale() {
            Some(scale) => b.quantize(&self.stylized, scale),
            None => {
                let x = to_byte_range(b, &self.stylized, range);
                b.quantize(&x, 1.0)
            }
        };
        let channels = self.channels();
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
