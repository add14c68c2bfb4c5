// SPDX-License-Identifier: MPL-2.0
//! Conversions of numbers.

/// A count or size as `u32`, saturating.
pub(crate) fn saturating_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
