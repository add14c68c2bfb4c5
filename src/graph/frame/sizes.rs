// SPDX-License-Identifier: MPL-2.0
//! The sizes of a picture at the stages of a graph.

/// Sizes of a picture at the stages of a graph: height and width in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The frame.
    pub frame: (usize, usize),
    /// The picture shown to the generator, without padding.
    pub shown: (usize, usize),
    /// The generator's input and output tensors: `shown` with padding to the sizes that it takes.
    pub picture: (usize, usize),
}
