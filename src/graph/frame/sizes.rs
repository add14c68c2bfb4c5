// SPDX-License-Identifier: MPL-2.0
//! The sizes that a picture has on its way from frame to frame.

/// Sizes on a frame's way, height and width in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Of the frame.
    pub frame: (usize, usize),
    /// Of what is shown of it to the generator: the frame, or a smaller picture of it.
    pub shown: (usize, usize),
    /// Of the generator's tensors: the same, with padding where it asks for some.
    pub picture: (usize, usize),
}
