// SPDX-License-Identifier: MPL-2.0
//! Frame formats: where the bytes of a picture lie in a frame.

/// A packed format: every pixel is `bytes` bytes, each channel one byte of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packed {
    /// Bytes per pixel, 3 or 4.
    pub bytes: usize,
    /// Byte offsets of red, green and blue in a pixel.
    pub rgb: [usize; 3],
}

impl Packed {
    /// The byte that is not a colour (alpha or padding) in a four-byte pixel.
    pub fn fourth(&self) -> Option<usize> {
        (0..self.bytes).find(|byte| !self.rgb.contains(byte))
    }
}

/// One frame's format, size and memory layout: the key of a compiled graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    pub format: Packed,
    /// Pixels.
    pub width: usize,
    pub height: usize,
    /// Bytes from one row to the next, input and output.
    pub stride: usize,
    pub out_stride: usize,
}

impl Frame {
    /// Bytes of a row that are picture.
    pub fn row(&self) -> usize {
        self.width * self.format.bytes
    }
}
