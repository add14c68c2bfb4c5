// SPDX-License-Identifier: MPL-2.0
//! Where a frame shows the painting: shapes, pictures, and what other elements found in the frame.

pub(super) mod canvas;
pub(super) mod masks;

#[cfg(feature = "analytics")]
mod analytics;
#[cfg(not(feature = "analytics"))]
#[path = "no_analytics.rs"]
mod analytics;
