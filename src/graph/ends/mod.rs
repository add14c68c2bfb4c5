// SPDX-License-Identifier: MPL-2.0
//! The two ends of a graph: from the frame to the picture that the generator is shown, and from the
//! painting to the frame that leaves. Each route through them is chosen here.

pub(super) mod component_scaling;
pub(super) mod emit;
pub(super) mod ingest;
pub(super) mod packed;
pub(super) mod route;
