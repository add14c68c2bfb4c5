// SPDX-License-Identifier: MPL-2.0
//! Pads for the elements of this program.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gststylize::planes::{self, PlaneError};

/// Always templates of a filter's sink and source pads.
pub fn always(sink: &gst::Caps, src: &gst::Caps) -> Vec<gst::PadTemplate> {
    let templates = [
        ("sink", gst::PadDirection::Sink, sink),
        ("src", gst::PadDirection::Src, src),
    ]
    .map(|(name, direction, caps)| {
        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
    });
    templates.into_iter().filter_map(Result::ok).collect()
}

/// A sink that receives buffers and events, and a source pad, by the templates of [`always`].
pub fn sink_and_source<T: ElementImpl>(
    class: &gst::glib::Class<T::Type>,
    chain: fn(&T, gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError>,
    event: fn(&T, &gst::Pad, gst::Event) -> bool,
) -> (gst::Pad, gst::Pad)
where
    T::Type: IsA<gst::Element> + IsA<gst::glib::Object>,
{
    let pad = |name| {
        let template = class.pad_template(name);
        template.map_or_else(
            || gst::Pad::builder(gst::PadDirection::Unknown),
            |template| gst::Pad::builder_from_template(&template),
        )
    };
    let sink = pad("sink")
        .chain_function(move |_, parent, buffer| {
            T::catch_panic_pad_function(
                parent,
                || Err(gst::FlowError::Error),
                |imp| chain(imp, buffer),
            )
        })
        .event_function(move |pad, parent, arrived| {
            T::catch_panic_pad_function(parent, || false, |imp| event(imp, pad, arrived))
        })
        .build();
    (sink, pad("src").build())
}

/// Caps of the pad opposite to the one with `caps`, for a filter that changes fields in every structure; the answer of
/// `transform_caps`, limited to `filter`.
pub fn changed(
    caps: &gst::Caps,
    filter: Option<&gst::Caps>,
    change: impl Fn(&mut gst::StructureRef),
) -> gst::Caps {
    let mut other = caps.copy();
    other.make_mut().iter_mut().for_each(change);
    match filter {
        Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
        None => other,
    }
}

/// Posts the element error about a frame whose memory cannot be used.
pub fn refuse_frame<T: ElementImpl>(imp: &T, reason: &PlaneError) -> gst::FlowError
where
    T::Type: IsA<gst::Element>,
{
    gst::element_imp_error!(
        imp,
        gst::StreamError::Failed,
        ("{}", planes::unusable(reason))
    );
    gst::FlowError::Error
}

/// Adds its pads to a new element.
pub fn add(element: &impl IsA<gst::Element>, pads: [&gst::Pad; 2]) {
    for pad in pads {
        // Fails only if the element has a pad of this name, and it has none yet.
        let _ = element.add_pad(pad);
    }
}
