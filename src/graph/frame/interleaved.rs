// SPDX-License-Identifier: MPL-2.0
//! Packed frames: rows, pixels, and the order of the colours in a pixel.

use super::format::{Frame, Packed};
use crate::graph::write::builder::{Builder, Name};
use crate::model::ChannelOrder;

/// Pixels per row of a matrix product: products with fewer columns are not faster.
const TOGETHER: usize = 4;

/// Byte offsets of the colours in a pixel, in the generator's channel order.
pub(crate) fn colour_indices(format: &Packed, order: ChannelOrder) -> [i64; 3] {
    let [r, g, b] = format.rgb.map(|byte| byte as i64);
    match order {
        ChannelOrder::Rgb => [r, g, b],
        ChannelOrder::Bgr => [b, g, r],
    }
}

/// The generator's channel for each byte of a pixel; `None` for alpha or padding.
pub(crate) fn channels(packed: &Packed, order: ChannelOrder) -> Vec<Option<i64>> {
    let order = colour_indices(packed, order);
    let channel = |byte| order.iter().position(|at| *at == byte);
    (0..packed.bytes as i64)
        .map(|byte| channel(byte).map(|c| c as i64))
        .collect()
}

/// The rows of a packed frame without padding, `[H, W · bytes]` u8.
pub(crate) fn rows(b: &mut Builder, frame: &Frame, frame_name: &str) -> Name {
    let (_, row) = frame.plane(0);
    match frame.source.strides[0] == row {
        true => frame_name.into(),
        false => b.slice(frame_name, 1, 0, row as i64),
    }
}

/// The pixels of a packed frame, `[1, H, W, bytes]` u8.
pub(crate) fn pixels(b: &mut Builder, frame: &Frame, packed: &Packed, frame_name: &str) -> Name {
    let x = rows(b, frame, frame_name);
    let (height, width) = (frame.height as i64, frame.width as i64);
    b.reshape(&x, &[1, height, width, packed.bytes as i64])
}

/// Number of pixels in one row of a matrix product over `pixels` pixels.
pub(crate) fn together(pixels: usize) -> usize {
    match pixels.is_multiple_of(TOGETHER) {
        true => TOGETHER,
        false => 1,
    }
}
