// SPDX-License-Identifier: MPL-2.0
//! What files say of a generator's conventions beside its graph: the model's own metadata and a sidecar.

pub(super) mod entry;
pub mod metadata;
pub mod modelinfo;
