// SPDX-License-Identifier: MPL-2.0
//! The graph compiler: a generator, a frame format and effects become one ONNX graph.
//!
//! `frame (u8) → planes → range → scale, pad → generator → crop → colour, scale back → range → mix,
//! split → clamp → frame (u8)`. Pure functions over protobuf: the result is handed to a runtime as bytes.
//! The pixel work then runs on the same execution provider as the network, fused by its compiler,
//! and only bytes cross a bus.

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
