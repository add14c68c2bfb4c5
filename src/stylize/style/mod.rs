// SPDX-License-Identifier: MPL-2.0
//! The style of each frame: lookup of names, mixes and paintings, transitions, playlists.

pub(super) mod playlist;
pub(super) mod styling;
pub(super) mod transition;
