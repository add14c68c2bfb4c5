// SPDX-License-Identifier: MPL-2.0
//! Writes ONNX nodes and attributes, whatever they compute. Knows operator sets; knows no frames, and
//! nothing of generators but the types of their tensors.

pub(super) mod attribute;
pub(super) mod builder;
