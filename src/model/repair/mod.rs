// SPDX-License-Identifier: MPL-2.0
//! Repairs of graphs as some exporters write them: operators of old operator sets, and sizes written as constants.

pub(super) mod legacy;
pub(super) mod unbake;
