// SPDX-License-Identifier: MPL-2.0
//! How much of this machine a model may take.

/// Most bytes that one message can have: lengths are signed 32-bit numbers in all of protobuf's
/// implementations, ONNX Runtime's among them.
pub const MOST_BYTES: usize = i32::MAX as usize;

/// Most messages within each other; protobuf's own limit, and ONNX Runtime's.
pub(super) const DEPTH: usize = 100;
/// Most memory, in bytes, for all but bytes and texts themselves. Generators take a few megabytes.
pub(super) const MEMORY: usize = 512 << 20;
