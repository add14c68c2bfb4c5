// SPDX-License-Identifier: MPL-2.0
//! What a live source need not wait for.

use gst::prelude::*;

/// Schemes of what plays by its own clock. What comes by HTTP may be a film as well.
const SCHEMES: [&str; 9] = [
    "rtmp", "rtmps", "srt", "rtsp", "rtspt", "rtsps", "rtp", "udp", "v4l2",
];
/// Of packets that come by RTSP, ms: GStreamer's two seconds are for the worst of networks.
const JITTER: u32 = 200;

/// Whether its pictures are as new as they can be when they come.
pub fn is_live(uri: &str) -> bool {
    let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
    SCHEMES.contains(&scheme)
}

/// Makes what plugs itself into this bin wait no longer than it has to.
pub fn hasten(bin: &gst::Bin) {
    bin.connect_deep_element_added(|_, _, element| {
        let name = element.factory().map(|factory| factory.name());
        match name.as_deref() {
            Some("rtspsrc") => element.set_property("latency", JITTER),
            Some("rtmp2src" | "rtmpsrc") => call_live(element),
            // It asks for a pause while its store is not full.
            Some("queue2") => element.set_property("use-buffering", false),
            _ => (),
        }
    });
}

/// GStreamer takes RTMP for a download. Then decoders work at several frames at once, each as many frames late
/// as there are threads, and `stylize` takes its time.
fn call_live(source: &gst::Element) {
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
