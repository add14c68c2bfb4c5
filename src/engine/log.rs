// SPDX-License-Identifier: MPL-2.0
//! The debug category of the engine.

use std::sync::LazyLock;

/// Debug category of the engine.
pub(crate) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "stylize-engine",
        gst::DebugColorFlags::empty(),
        Some("Stylize inference engine"),
    )
});
