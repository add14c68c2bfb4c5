// SPDX-License-Identifier: MPL-2.0
//! *Generators*: ONNX image-to-image networks, parsed from their bytes and described by a [`Signature`].
//!
//! This module uses protobuf and GLib key files, but neither ONNX Runtime nor GStreamer elements. The conventions of a
//! generator come from four sources, in this order of precedence ([`Conventions::or`]): properties of the element, the
//! `.modelinfo` sidecar ([`modelinfo`]), ONNX metadata ([`metadata`]), the graph's shapes and a probe run.

mod conventions;
mod description;
pub(crate) mod edit;
mod error;
pub mod file;
pub(crate) mod names;
mod network;
mod noise;
mod repair;
mod signature;
pub mod styles;
mod tensor;

pub use conventions::{ChannelOrder, Conventions, DEFAULT_MINIMUM, Extent, Layout, Range};
pub use description::{metadata, modelinfo};
pub use error::ModelError;
pub use file::WeightsError;
pub use network::Model;
pub(crate) use noise::MAX_NOISE;
pub use noise::Noise;
pub use signature::{Signature, TensorSpec};
pub use styles::{StyleError, StyleInput};
pub(crate) use tensor::DeclaredTensor;
pub use tensor::ElementType;
