// SPDX-License-Identifier: MPL-2.0
//! Formats and memory layouts of frames: subgraphs from bytes to components or RGB and back.

pub(super) mod codes;
pub(super) mod components;
pub(super) mod format;
pub(super) mod interleaved;
pub(super) mod planes;
pub(super) mod sizes;
pub(super) mod tiles;
