// SPDX-License-Identifier: MPL-2.0
//! Reduces the latency of live sources: which URIs are live, and the settings of elements that `uridecodebin` adds for
//! them.

use gst::prelude::*;

/// URI schemes of live sources. Not HTTP, which also serves files.
const SCHEMES: [&str; 9] = [
    "rtmp", "rtmps", "srt", "rtsp", "rtspt", "rtsps", "rtp", "udp", "v4l2",
];
/// Jitter buffer for RTSP, ms. The default of `rtspsrc`, 2000 ms, allows for the worst networks.
const JITTER: u32 = 200;

/// Whether a URI names a live source by its scheme.
pub fn is_live(uri: &str) -> bool {
    let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
    SCHEMES.contains(&scheme)
}

/// Sets the elements that are added to this bin to low latency.
pub fn reduce_latency(bin: &gst::Bin) {
    bin.connect_deep_element_added(|_, _, element| {
        let name = element.factory().map(|factory| factory.name());
        match name.as_deref() {
            Some("rtspsrc") => element.set_property("latency", JITTER),
            Some("rtmp2src" | "rtmpsrc") => report_live(element),
            // `uridecodebin`'s buffering would post messages that ask the application to pause.
            Some("queue2") => element.set_property("use-buffering", false),
            _ => (),
        }
    });
}

/// Answers latency queries of an RTMP source as a live one; GStreamer's elements say that they are not live. In a
/// pipeline that is not live, `avdec_h264` uses frame threads, which delay each frame by their number, and the property
/// `adapt` of `stylize` has no effect.
fn report_live(source: &gst::Element) {
    let Some(pad) = source.static_pad("src") else {
        return;
    };
    let asked = gst::PadProbeType::QUERY_UPSTREAM | gst::PadProbeType::PUSH;
    pad.add_probe(asked, |_, info| {
        match info.query_mut().map(|query| query.view_mut()) {
            Some(gst::QueryViewMut::Latency(latency)) => {
                latency.set(true, gst::ClockTime::ZERO, None);
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        }
    });
}
