// SPDX-License-Identifier: MPL-2.0
//! Mends graphs as exporters write them, so that the rest of the plugin need not know: operators of old
//! operator sets, and sizes that were written down as constants.

pub(super) mod legacy;
pub(super) mod unbake;
