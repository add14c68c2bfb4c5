// SPDX-License-Identifier: MPL-2.0
//! The pictures in `tests/fixtures`, pipelines that play to their end, and the last frame of a sink.

use std::path::{Path, PathBuf};

use gst::prelude::*;

use super::picture::Picture;

/// A file in `tests/fixtures`.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A pipeline that does not play yet.
pub fn pipeline(line: &str) -> gst::Pipeline {
    gst::parse::launch(line)
        .expect("a pipeline")
        .downcast::<gst::Pipeline>()
        .expect("a pipeline")
}

/// Plays to the end, which must be no error.
pub fn play_to_end(pipeline: &gst::Pipeline) {
    pipeline.set_state(gst::State::Playing).expect("playing");
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline
        .bus()
        .expect("a bus")
        .timed_pop_filtered(gst::ClockTime::from_seconds(300), &ends)
        .expect("an end");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
}

/// A PNG in `tests/fixtures` as RGB.
pub fn png(name: &str) -> Picture {
    let pipeline = pipeline(
        "filesrc name=file ! pngdec ! videoconvert ! video/x-raw,format=RGB ! fakesink name=sink",
    );
    let file = pipeline.by_name("file").expect("a source");
    file.set_property("location", path(name));
    play_to_end(&pipeline);
    let picture = last(&pipeline.by_name("sink").expect("a sink"));
    pipeline.set_state(gst::State::Null).expect("stopped");
    picture
}

/// The frame that a sink was given last.
pub fn last(sink: &gst::Element) -> Picture {
    let sample = sink
        .property::<Option<gst::Sample>>("last-sample")
        .expect("a sample");
    let caps = sample.caps().expect("caps");
    let info = gst_video::VideoInfo::from_caps(caps).expect("video");
    Picture::read(&sample.buffer_owned().expect("a buffer"), &info, "RGB")
}
