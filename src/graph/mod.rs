// SPDX-License-Identifier: MPL-2.0
//! The graph compiler: compiles a generator, a frame format and effects into one ONNX graph.
//!
//! `frame (u8) → planes → range → scale, pad → generator → crop → colour, scale back → range → mix,
//! split → clamp → frame (u8)`. All functions are pure and work on protobuf messages; the result is a serialized
//! model. Conversions and effects thus run on the same execution provider as the network, fused by its compiler,
//! and only the frame's bytes are copied to and from the device.

mod compile;
mod effect;
mod ends;
mod error;
mod frame;
mod lowering;
mod names;
mod ops;
mod rewrite;
mod write;

pub use compile::compile;
pub use effect::effects::{Colour, Effects, Upscale};
pub use effect::stability::State;
pub use error::GraphError;
pub use frame::format::{
    Components, Depth, Format, Frame, Matrix, Memory, PLANES, Packed, Planar, Plane,
};
pub use frame::sizes::Sizes;
pub use lowering::{Blend, FrameInputs, Kernels, Lowering, Scaling};
pub use names::{FRAME, MASK, OUT, SOURCE, SPLIT, STABILITY, STRENGTH, STYLE};
