// SPDX-License-Identifier: MPL-2.0
//! A film that turns into a painting by and by: a pipeline in Rust, with a controller on `strength`.
//!
//! ```sh
//! cargo run --release --example controller -- in.mp4 out.mp4
//! ```
//!
//! A controller gives a property a value for every time of the stream; GStreamer asks it before each frame.

use std::error::Error;
use std::path::Path;

use gst::prelude::*;
use gst_controller::prelude::*;

/// The painting is complete after this time.
const RISE: gst::ClockTime = gst::ClockTime::from_seconds(4);

/// Paints the video of the film `input` into `output`, an MP4 file.
pub fn run(input: &Path, output: &Path) -> Result<(), Box<dyn Error>> {
    // `qos=false`: in a file, a frame that is late must not be left out.
    let pipeline = gst::parse::launch(
        "filesrc name=in ! decodebin ! videoconvert ! stylize name=paint qos=false style=starry-night \
         ! videoconvert ! x264enc pass=qual quantizer=23 vbv-buf-capacity=0 ! h264parse ! mp4mux ! filesink name=out",
    )?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let element = |name: &str| pipeline.by_name(name).expect("named above");
    // Set here and not in the text, so that file names may have any characters.
    element("in").set_property("location", input);
    element("out").set_property("location", output);

    // From the film to the painting in a straight line.
    let source = gst_controller::InterpolationControlSource::new();
    source.set_mode(gst_controller::InterpolationMode::Linear);
    source.set(gst::ClockTime::ZERO, 0.0);
    source.set(RISE, 1.0);
    let paint = element("paint");
    let binding = gst_controller::DirectControlBinding::new(&paint, "strength", &source);
    paint.add_control_binding(&binding)?;

    play(&pipeline)
}

/// Plays to the end, or to the first error.
fn play(pipeline: &gst::Pipeline) -> Result<(), Box<dyn Error>> {
    let bus = pipeline.bus().expect("every pipeline has a bus");
    // What goes wrong is on the bus, in words.
    let started = pipeline.set_state(gst::State::Playing);
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = match started {
        Ok(_) => bus.timed_pop_filtered(gst::ClockTime::NONE, &ends),
        Err(_) => bus.pop_filtered(&ends),
    };
    pipeline.set_state(gst::State::Null)?;
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(err)) => Err(err.error().into()),
        _ => Err("the pipeline does not start".into()),
    }
}

#[allow(dead_code)] // The test calls `run`.
fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    let [input, output] = &files[..] else {
        return Err("usage: controller IN OUT.mp4".into());
    };
    gst::init()?;
    // Links the plugin, so that no GST_PLUGIN_PATH is needed.
    gststylize::plugin_register_static()?;
    run(input.as_ref(), output.as_ref())
}
