// SPDX-License-Identifier: MPL-2.0
//! Operations on float pictures of any number of channels: value ranges, scaling, mixes. Independent of frame formats.

pub(super) mod mix;
pub(super) mod range;
pub(super) mod resample;
pub(super) mod scale;
