// SPDX-License-Identifier: MPL-2.0
//! The size of the picture that the generator is shown, so that frames are done in time. Knows times and
//! sizes only.

pub(super) mod cost;
pub(super) mod ladder;
pub(super) mod rungs;
