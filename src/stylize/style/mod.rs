// SPDX-License-Identifier: MPL-2.0
//! Which style a frame has: names, weights and pictures, transitions from one to another, playlists.

pub(super) mod playlist;
pub(super) mod styling;
pub(super) mod transition;
