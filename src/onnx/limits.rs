// SPDX-License-Identifier: MPL-2.0
//! Limits of models: size, nesting and memory.

/// Maximum size of a model, bytes: in protobuf's implementations, including ONNX Runtime's, lengths are signed 32-bit
/// numbers.
pub const MAX_BYTES: usize = i32::MAX as usize;

/// Maximum nesting of messages; the limit of protobuf and of ONNX Runtime.
pub(super) const DEPTH: usize = 100;
/// Maximum memory of the decoded messages without the contents of byte strings and texts, bytes. Generators take a few
/// megabytes.
pub(super) const MEMORY: usize = 512 << 20;
