// SPDX-License-Identifier: MPL-2.0
//! Masks: the parts of a frame that show the painting, from pictures, regions of interest or analytics metadata.

pub(super) mod canvas;
pub(super) mod masks;

#[cfg(feature = "analytics")]
mod analytics;
#[cfg(not(feature = "analytics"))]
#[path = "no_analytics.rs"]
mod analytics;
