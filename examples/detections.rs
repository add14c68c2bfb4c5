// SPDX-License-Identifier: MPL-2.0
//! Paints what a detector found, and leaves the rest alone.
//!
//! ```sh
//! cargo run --release --example detections             # until Ctrl-C
//! cargo run --release --example detections -- fakesink # any other sink
//! ```
//!
//! Detectors attach a `GstVideoRegionOfInterestMeta` to a frame for each thing they found. Here a pad probe stands for
//! the detector: it "finds" the ball of the test picture. With `mask-invert=true` the ball would be spared instead.

use std::error::Error;

use gst::prelude::*;
use gst_video::VideoRegionOfInterestMeta;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;

/// Plays `frames` frames (`None`: without an end).
pub fn run(sink: &str, frames: Option<u32>) -> Result<(), Box<dyn Error>> {
    let description = format!(
        "videotestsrc name=source pattern=ball background-color=0xff4488cc is-live={} \
         ! video/x-raw,format=RGB,width={WIDTH},height={HEIGHT},framerate=25/1 \
         ! stylize name=paint mask=roi mask-feather=6 style=great-wave ! videoconvert ! {sink}",
        frames.is_none()
    );
    let pipeline = gst::parse::launch(&description)?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let element = |name: &str| pipeline.by_name(name).expect("named above");
    if let Some(frames) = frames {
        element("source").set_property("num-buffers", i32::try_from(frames)?);
        element("paint").set_property("qos", false);
    }

    let pad = element("paint").static_pad("sink").expect("a sink pad");
    pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
        let buffer = info.buffer_mut().expect("a probe for buffers");
        if let Some([x, y, width, height]) = detect(buffer) {
            // The meta belongs to the buffer; pixels are not copied for it.
            let buffer = buffer.make_mut();
            VideoRegionOfInterestMeta::add(buffer, "ball", (x, y, width, height));
        }
        gst::PadProbeReturn::Ok
    });

    let bus = pipeline.bus().expect("every pipeline has a bus");
    pipeline.set_state(gst::State::Playing)?;
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::NONE, &ends);
    pipeline.set_state(gst::State::Null)?;
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(err)) => Err(err.error().into()),
        _ => Ok(()),
    }
}

/// The box around all that is not of the background's colour: `x`, `y`, `width`, `height`.
fn detect(buffer: &gst::Buffer) -> Option<[u32; 4]> {
    let map = buffer.map_readable().ok()?;
    let row = map.len() / HEIGHT as usize;
    let background = [0x44, 0x88, 0xcc];
    let other = |x: u32, y: u32| {
        let at = y as usize * row + x as usize * 3;
        let pixel = &map[at..at + 3];
        pixel
            .iter()
            .zip(background)
            .any(|(&a, b)| a.abs_diff(b) > 24)
    };
    let found = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
    let found = found.filter(|&(x, y)| other(x, y));
    let [left, top, right, bottom] = found.fold([WIDTH, HEIGHT, 0, 0], |all, (x, y)| {
        [
            all[0].min(x),
            all[1].min(y),
            all[2].max(x + 1),
            all[3].max(y + 1),
        ]
    });
    (left < right).then_some([
        left,
        top,
        right.saturating_sub(left),
        bottom.saturating_sub(top),
    ])
}

#[allow(dead_code)] // The test calls `run`.
fn main() -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gststylize::plugin_register_static()?;
    let sink = std::env::args().nth(1);
    run(sink.as_deref().unwrap_or("autovideosink"), None)
}
