// SPDX-License-Identifier: MPL-2.0
//! The element `stylize`.

mod adapt;
mod background;
mod caps;
mod generator;
mod imp;
mod mask;
mod properties;
mod report;
mod settings;
mod stats;
mod stream;
mod style;

use gst::glib;
use gst::prelude::*;

pub use settings::{Adapt, MaskKind, OnError, Order, Quality, WhileLoading};

glib::wrapper! {
    /// The `stylize` element; see its page in `gst-inspect-1.0 stylize`.
    pub struct Stylize(ObjectSubclass<imp::Stylize>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the element with the plugin.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use crate::engine::{Optimization, Precision, Provider};
    use crate::graph::{Colour, Upscale};
    for enumeration in [
        Provider::static_type(),
        Precision::static_type(),
        Optimization::static_type(),
        Quality::static_type(),
        MaskKind::static_type(),
        Adapt::static_type(),
        Order::static_type(),
        WhileLoading::static_type(),
        OnError::static_type(),
        Upscale::static_type(),
        Colour::static_type(),
    ] {
        enumeration.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(
        Some(plugin),
        "stylize",
        gst::Rank::NONE,
        Stylize::static_type(),
    )
}
