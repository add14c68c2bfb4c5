// SPDX-License-Identifier: MPL-2.0
//! Pads of the elements that this program brings along.

/// Templates of the two pads that a filter always has.
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
