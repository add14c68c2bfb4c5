// SPDX-License-Identifier: MPL-2.0
//! Chooses the size of the picture shown to the generator so that frames are painted in time. Depends on times
//! and sizes only, not on GStreamer or the engine.

pub(super) mod cost;
pub(super) mod ladder;
pub(super) mod rungs;
