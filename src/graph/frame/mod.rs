// SPDX-License-Identifier: MPL-2.0
//! Formats and memory layouts of frames: from bytes to the components of a picture and back. Says
//! nothing about the order in which that is done.

pub(super) mod codes;
pub(super) mod components;
pub(super) mod format;
pub(super) mod interleaved;
pub(super) mod planes;
pub(super) mod sizes;
pub(super) mod tiles;
