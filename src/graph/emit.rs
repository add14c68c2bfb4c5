// SPDX-License-Identifier: MPL-2.0
//! The way out: the generator's output tensor to bytes of a frame.

use super::builder::{Builder, Name};
use super::effects::mix;
use super::format::Frame;
use super::ingest::{self, Ingested, per_channel};
use super::resample::resample;
use super::{Blend, STRENGTH};
use crate::model::{ElementType, Extent, Layout, Range, Signature};

/// Builds the way from `signature.output` to `out_name` (u8).
pub(super) fn build(
    b: &mut Builder,
    signature: &Signature,
    frame: &Frame,
    ingested: &Ingested,
    blend: Blend,
    out_name: &str,
) {
    let stylized = picture(b, signature, frame);
    let range = &signature.output.range;
    let planes = &ingested.planes;
    let mixed = |b: &mut Builder| {
        let colours = ingest::colours(b, frame, signature.order, planes);
        let source = b.from_bytes(&colours, 1.0);
        let stylized = to_byte_range(b, &stylized, range);
        let mixed = mix(b, &source, &stylized, STRENGTH);
        b.to_bytes(&mixed, 1.0)
    };
    let bytes = match blend {
        Blend::Always => mixed(b),
        Blend::Branch => b.if_below(STRENGTH, 1.0, mixed, |b| match range.plain_scale() {
            Some(scale) => b.to_bytes(&stylized, scale),
            None => {
                let x = to_byte_range(b, &stylized, range);
                b.to_bytes(&x, 1.0)
            }
        }),
    };
    pixels(b, signature, frame, planes, &bytes, out_name);
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

/// Inverse of [`Range::scale_offset`]: tensor values to 0..255, not yet clamped.
fn to_byte_range(b: &mut Builder, x: &str, range: &Range) -> Name {
    let (scale, offset) = range.scale_offset();
    let mut x = x.to_string();
    if offset != [0.0; 3] {
        let offset = per_channel(b, &offset);
        x = b.sub(&x, &offset);
    }
    if scale != [1.0; 3] {
        let inverse = per_channel(b, &scale.map(|s| 1.0 / s));
        x = b.mul(&x, &inverse);
    }
    x
}

/// Colour planes in the generator's order, and the frame's own fourth plane, to rows of pixels.
fn pixels(
    b: &mut Builder,
    signature: &Signature,
    frame: &Frame,
    planes: &str,
    colours: &str,
    out_name: &str,
) {
    let format = &frame.format;
    let mut x = colours.to_string();
    let mut channels = ingest::colour_indices(format, signature.order).to_vec();
    if let Some(fourth) = format.fourth() {
        let plane = b.slice(planes, 1, fourth as i64, fourth as i64 + 1);
        x = b.concat(1, &[&x, &plane]);
        channels.push(fourth as i64);
    }
    // `channels[i]` is the byte that plane i goes to; invert it.
    let order: Vec<i64> = (0..format.bytes as i64)
        .filter_map(|byte| channels.iter().position(|c| *c == byte))
        .map(|plane| plane as i64)
        .collect();
    if !order.iter().enumerate().all(|(i, plane)| i as i64 == *plane) {
        x = b.gather(&x, 1, &order);
    }
    x = b.transpose(&x, &[0, 2, 3, 1]);
    let (height, row) = (frame.height as i64, frame.row() as i64);
    x = b.reshape(&x, &[height, row]);
    let padding = frame.out_stride as i64 - row;
    if padding > 0 {
        let zeros = b.zero_bytes(&[height, padding]);
        b.concat(1, &[&x, &zeros]);
    }
    b.rename_last(out_name);
}
