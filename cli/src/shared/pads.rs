// SPDX-License-Identifier: MPL-2.0
//! Pad templates for the elements of this program.

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
