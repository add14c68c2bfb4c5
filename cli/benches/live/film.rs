// SPDX-License-Identifier: MPL-2.0
//! A film in memory, so that reading it takes nothing from what is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use gst::prelude::*;

/// So many frames, played to the end and back again: no cut, and it moves all the time.
const FRAMES: usize = 48;

/// The clip of the project's tests.
pub fn clip() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/fetch-clip.sh");
    let output = Command::new(&script).output().expect("bash");
    assert!(
        output.status.success(),
        "{} failed: {}",
        script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().into()
}

/// Frames in I420.
pub struct Film {
    pub info: gst_video::VideoInfo,
    frames: Vec<gst::Buffer>,
}

impl Film {
    pub fn new(width: u32, height: u32, fps: u32) -> Self {
        let line = format!(
            "filesrc location=\"{}\" ! decodebin ! videoconvert ! videoscale \
             ! video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1 \
             ! appsink name=out sync=false max-buffers=4",
            clip().display()
        );
        let pipeline = launch(&line);
        let out = sink(&pipeline, "out");
        pipeline.set_state(gst::State::Playing).expect("plays");
        let frames = (0..FRAMES).map(|_| {
            let sample = out.pull_sample().expect("a frame of the clip");
            sample.buffer_owned().expect("a frame")
        });
        let frames = frames.collect();
        pipeline.set_state(gst::State::Null).expect("stopped");
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height)
            .fps(gst::Fraction::new(fps as i32, 1))
            .build()
            .expect("video info");
        Self { info, frames }
    }

    /// The frame of this number, there and back, for ever.
    pub fn frame(&self, number: usize) -> &gst::Buffer {
        let last = self.frames.len() - 1;
        let at = number % (2 * last);
        &self.frames[at.min(2 * last - at)]
    }

    pub fn fps(&self) -> u32 {
        self.info.fps().numer() as u32
    }
}

pub fn launch(line: &str) -> gst::Pipeline {
    let pipeline = gst::parse::launch(line).unwrap_or_else(|err| panic!("{line}: {err}"));
    pipeline.downcast().expect("a pipeline")
}

pub fn sink(pipeline: &gst::Pipeline, name: &str) -> gst_app::AppSink {
    let sink = pipeline.by_name(name).and_downcast();
    sink.expect("an appsink")
}
