// SPDX-License-Identifier: MPL-2.0
//! The two ends of a graph: from the frame to the picture shown to the generator (ingest), and from the painting to
//! the output frame (emit). The route that both take is chosen here.

pub(super) mod component_scaling;
pub(super) mod emit;
pub(super) mod ingest;
pub(super) mod packed;
pub(super) mod route;
