// SPDX-License-Identifier: MPL-2.0
//! Rewrites of existing nodes. Of the generator: its first padding and last `DepthToSpace` move to the frame's
//! side, and float32 becomes float16. Of the whole graph: what a provider has no kernel for is replaced.

pub(super) mod bus;
pub(super) mod early_pad;
pub(super) mod half;
pub(super) mod kernels;
pub(super) mod late_shuffle;
