// SPDX-License-Identifier: MPL-2.0
//! Conventions of a generator in files: the model's metadata and its sidecar.

pub(super) mod entry;
pub mod metadata;
pub mod modelinfo;
