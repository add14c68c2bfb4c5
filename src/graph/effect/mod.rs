// SPDX-License-Identifier: MPL-2.0
//! Effects around the generator: guided upscaling, colour transfer, temporal blend. Each is a property of the
//! element.

pub(super) mod colour;
pub(super) mod effects;
pub(super) mod guided;
pub(super) mod stability;
