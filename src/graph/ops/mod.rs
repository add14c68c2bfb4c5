// SPDX-License-Identifier: MPL-2.0
//! Steps on float pictures of any number of channels: ranges of values, sizes, mixes of two pictures.
//! Nothing here knows the format of a frame.

pub(super) mod mix;
pub(super) mod range;
pub(super) mod resample;
pub(super) mod scale;
