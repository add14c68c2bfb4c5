// SPDX-License-Identifier: MPL-2.0
//! The bytes of an interleaved frame: rows, pixels, and which byte is which colour.

use super::format::{Frame, Packed};
use crate::graph::write::builder::{Builder, Name};
use crate::model::ChannelOrder;

/// Pixels per row of a matrix product: one with fewer columns is not faster.
const TOGETHER: usize = 4;

/// Axis positions of the frame's channels in the generator's order.
pub(crate) fn colour_indices(format: &Packed, order: ChannelOrder) -> [i64; 3] {
    let [r, g, b] = format.rgb.map(|byte| byte as i64);
    match order {
        ChannelOrder::Rgb => [r, g, b],
        ChannelOrder::Bgr => [b, g, r],
    }
}

/// For each byte of a pixel the generator's channel that goes there; `None` for the fourth.
pub(crate) fn channels(packed: &Packed, order: ChannelOrder) -> Vec<Option<i64>> {
    let order = colour_indices(packed, order);
    let channel = |byte| order.iter().position(|at| *at == byte);
    (0..packed.bytes as i64)
        .map(|byte| channel(byte).map(|c| c as i64))
        .collect()
}

/// The rows of a packed frame without their padding, `[H, W · bytes]` u8.
pub(crate) fn rows(b: &mut Builder, frame: &Frame, frame_name: &str) -> Name {
    let (_, row) = frame.plane(0);
    match frame.source.strides[0] == row {
        true => frame_name.into(),
        false => b.slice(frame_name, 1, 0, row as i64),
    }
}

/// The same as pixels, `[1, H, W, bytes]`.
pub(crate) fn pixels(b: &mut Builder, frame: &Frame, packed: &Packed, frame_name: &str) -> Name {
    let x = rows(b, frame, frame_name);
    let (height, width) = (frame.height as i64, frame.width as i64);
    b.reshape(&x, &[1, height, width, packed.bytes as i64])
}

/// How many of `count` pixels go into one row of a matrix product.
pub(crate) fn together(pixels: usize) -> usize {
    match pixels.is_multiple_of(TOGETHER) {
        true => TOGETHER,
        false => 1,
    }
}
