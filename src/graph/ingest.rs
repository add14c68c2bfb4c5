// SPDX-License-Identifier: MPL-2.0
//! The way in: bytes of a frame to the generator's input tensor.

use super::builder::{Builder, Name};
use super::early_pad::EarlyPad;
use super::format::{Frame, Packed};
use super::resample::resample;
use crate::model::{ChannelOrder, ElementType, Extent, Layout, Range, Signature, StyleInput};

/// What the way out needs from the way in.
pub(super) struct Ingested {
    /// All bytes of the frame as planes, `[1, 3 or 4, H, W]` u8, in the frame's own channel order.
    pub planes: Name,
}

/// Axis positions of the frame's channels in the generator's order.
pub(super) fn colour_indices(format: &Packed, order: ChannelOrder) -> [i64; 3] {
    let [r, g, b] = format.rgb.map(|byte| byte as i64);
    match order {
        ChannelOrder::Rgb => [r, g, b],
        ChannelOrder::Bgr => [b, g, r],
    }
}

/// Builds the way from `frame_name` (u8) to `signature.input`, or, with the generator's first
/// padding done early, to that padding's output.
pub(super) fn build(
    b: &mut Builder,
    signature: &Signature,
    frame: &Frame,
    frame_name: &str,
    early_pad: Option<&EarlyPad>,
) -> Ingested {
    let pixels = pixels(b, frame, frame_name);
    let planes = b.transpose(&pixels, &[0, 3, 1, 2]);
    match early_pad {
        Some(pad) => {
            through_pixels(b, signature, frame, &pixels, pad);
            b.rename_last(&pad.output);
        }
        None => {
            through_planes(b, signature, frame, &planes);
            b.rename_last(&signature.input.name);
        }
    }
    Ingested { planes }
}

/// The values of a style input in the shape that the generator gives it.
pub(super) fn style(b: &mut Builder, style: &StyleInput, name: &str) {
    b.reshape(name, &style.dims);
    b.rename_last(&style.name);
}

/// Padded as interleaved bytes, converted, and put into planes at last.
fn through_pixels(
    b: &mut Builder,
    signature: &Signature,
    frame: &Frame,
    pixels: &str,
    pad: &EarlyPad,
) {
    let (size, target) = sizes(signature, frame);
    let mut x = colours(b, frame, signature.order, pixels, 3);
    x = b.pad_reflect(&x, 1, size, target);
    let [top, left, bottom, right] = pad.border;
    x = b.pad(&x, &pad.mode, &[0, top, left, 0, 0, bottom, right, 0]);
    x = to_range(b, &x, &signature.input.range, 3);
    b.transpose(&x, &[0, 3, 1, 2]);
}

/// Planes of bytes, converted, and scaled or padded as the generator needs them.
fn through_planes(b: &mut Builder, signature: &Signature, frame: &Frame, planes: &str) {
    let (size, target) = sizes(signature, frame);
    let input = &signature.input;
    let mut x = colours(b, frame, signature.order, planes, 1);
    if input.element != ElementType::U8 || size != target {
        x = to_range(b, &x, &input.range, 1);
        x = match signature.extent {
            Extent::Any { .. } => b.pad_reflect(&x, 2, size, target),
            Extent::Fixed { .. } => resample(b, &x, size, target),
        };
        x = match input.element {
            ElementType::F32 => x,
            ElementType::F16 => b.cast(&x, ElementType::F16),
            ElementType::U8 => b.quantize(&x, 1.0),
        };
    }
    let (height, width) = target;
    // The last node must be one of ours, to carry the input's name.
    match input.layout {
        Layout::Nhwc => b.transpose(&x, &[0, 2, 3, 1]),
        Layout::Nchw => b.reshape(&x, &[1, 3, height as i64, width as i64]),
    };
}

/// Height and width of the frame and of the picture that the generator is given.
fn sizes(signature: &Signature, frame: &Frame) -> ((usize, usize), (usize, usize)) {
    let (width, height) = signature.picture_size(frame.width, frame.height);
    ((frame.height, frame.width), (height, width))
}

/// The frame's pixels without the padding of its rows, `[1, H, W, bytes]` u8.
pub(super) fn pixels(b: &mut Builder, frame: &Frame, frame_name: &str) -> Name {
    let mut x = frame_name.to_string();
    if frame.stride != frame.row() {
        x = b.slice(&x, 1, 0, frame.row() as i64);
    }
    let (height, width) = (frame.height as i64, frame.width as i64);
    b.reshape(&x, &[1, height, width, frame.format.bytes as i64])
}

/// The colours in the generator's order, u8; `axis` is that of the channels.
fn colours(b: &mut Builder, frame: &Frame, order: ChannelOrder, x: &str, axis: i64) -> Name {
    let indices = colour_indices(&frame.format, order);
    if frame.format.bytes == 3 && indices == [0, 1, 2] {
        return x.to_string();
    }
    b.gather(x, axis, &indices)
}

/// Bytes to the generator's values: `x · scale + offset`, leaving out what does nothing.
fn to_range(b: &mut Builder, x: &str, range: &Range, axis: usize) -> Name {
    if let Some(scale) = range.plain_scale() {
        return b.dequantize(x, scale);
    }
    let (scale, offset) = range.scale_offset();
    let x = b.cast(x, ElementType::F32);
    let scale = per_channel(b, &scale, axis);
    let x = b.mul(&x, &scale);
    let offset = per_channel(b, &offset, axis);
    b.add(&x, &offset)
}

/// A constant that broadcasts over pictures with the channels on `axis`; a scalar when all agree.
pub(super) fn per_channel(b: &mut Builder, values: &[f32; 3], axis: usize) -> Name {
    if values.iter().all(|v| *v == values[0]) {
        return b.floats(&[], &values[..1]);
    }
    let mut dims = [1; 4];
    dims[axis] = 3;
    b.floats(&dims, values)
}
