// SPDX-License-Identifier: MPL-2.0
//! What a *generator* is: an ONNX image-to-image network, read from its bytes and described by a
//! [`Signature`].
//!
//! This room knows protobuf and GLib key files; it knows neither ONNX Runtime nor GStreamer
//! elements. The conventions of a generator are read in four places and believed in this order
//! ([`Conventions::or`]): properties of the element, the `.modelinfo` sidecar ([`modelinfo`]), ONNX
//! metadata ([`metadata`]), then the graph's own shapes and a probe run.

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
pub(crate) use noise::MOST as MOST_NOISE;
pub use noise::Noise;
pub use signature::{Signature, TensorSpec};
pub use styles::{StyleError, StyleInput};
pub(crate) use tensor::DeclaredTensor;
pub use tensor::ElementType;
