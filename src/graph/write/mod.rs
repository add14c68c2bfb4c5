// SPDX-License-Identifier: MPL-2.0
//! Writes ONNX nodes and attributes for the model's operator set. Independent of frames and of the generator, except
//! for its element types.

pub(super) mod attribute;
pub(super) mod builder;
