// SPDX-License-Identifier: MPL-2.0
//! The element `stylize`.

mod adapt;
mod background;
mod caps;
#[cfg(fuzzing)]
pub mod fuzzing;
mod generator;
mod imp;
mod mask;
mod properties;
mod report;
mod settings;
mod stats;
mod stream;
mod style;

/**
 * SECTION:element-stylize
 * @title: stylize
 * @short_description: turns video into paintings
 * @see_also: onnxinference, queue
 *
 * Every frame goes through an ONNX generator with instance normalization, one of the built-in gallery or a
 * #GstStylize:model-file. Frames come out as they came in: format, size, colorimetry, timestamps and metas.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 v4l2src ! videoconvert ! stylize style=great-wave ! videoconvert ! autovideosink
 * ]| A camera, painted.
 * |[
 * gst-launch-1.0 videotestsrc ! stylize model-file=mosaic.onnx strength=0.7 ! autovideosink
 * ]| A generator of one's own, mixed with the source.
 *
 * ## Overlap with other elements
 * #GstStylize:split, #GstStylize:playlist and #GstStylize:interval resemble what `compositor`, `nle` and
 * `videorate` do. They are properties of this element because `split` mixes source and painting before the
 * last conversion to bytes, because a change of style must fall between two frames and be blended in the
 * generator, and because `interval` must skip inference before it happens.
 *
 * Presets: every style of the gallery, `fast`, `steady` and `broad`.
 */
use gst::glib;
use gst::prelude::*;

pub use generator::compiler::GRAPH_NAMES;
pub use settings::{Adapt, MaskKind, OnError, Order, Quality, WhileLoading, weight_of_past};

glib::wrapper! {
    /// The `stylize` element; see its page in `gst-inspect-1.0 stylize`.
    pub struct Stylize(ObjectSubclass<imp::Stylize>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object,
        @implements gst::Preset;
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
