// SPDX-License-Identifier: MPL-2.0
//! Rewrites of existing nodes. In the generator: the first padding and the final `DepthToSpace` move to ingest and
//! emit, and float32 becomes float16. In the whole graph: operators for which the provider has no kernel are replaced.

pub(super) mod bus;
pub(super) mod early_pad;
pub(super) mod half;
pub(super) mod kernels;
pub(super) mod late_shuffle;
