// SPDX-License-Identifier: MPL-2.0
//! Conversions of numbers that every room needs.

/// A count or size as `u32`, the largest one if it has no room.
pub(crate) fn saturating_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
