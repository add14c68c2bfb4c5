// SPDX-License-Identifier: MPL-2.0
//! The real clip, decoded, stylized, encoded and decoded again; and the shipped generator's picture.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::fixture::{self, last, png};
use common::picture::Picture;
use gst::prelude::*;

/// The demo clip, fetched if it is not there yet.
fn clip() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/fetch-clip.sh");
    let output = Command::new(script).output().expect("the script runs");
    assert!(
        output.status.success(),
        "the clip could not be fetched: {output:?}"
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

fn play(line: &str) -> gst::Pipeline {
    let pipeline = fixture::pipeline(line);
    fixture::play_to_end(&pipeline);
    pipeline
}

/// The content of a file.
#[derive(Debug, PartialEq)]
struct Content {
    frames: u64,
    size: (i32, i32),
    /// End of the last frame and of the last sound buffer, milliseconds.
    video_end: u64,
    sound_end: u64,
    sound_bytes: u64,
}

fn content(file: &Path) -> Content {
    let pipeline = play(&format!(
        "filesrc location={} ! qtdemux name=demux \
         demux.video_0 ! queue max-size-time=0 max-size-bytes=0 ! h264parse ! avdec_h264 ! fakesink name=video sync=false \
         demux.audio_0 ! queue max-size-time=0 max-size-bytes=0 ! aacparse ! fakesink name=sound sync=false",
        file.display()
    ));
    let sink = |name: &str| pipeline.by_name(name).expect("a sink");
    let rendered = |name: &str| {
        let stats = sink(name).property::<gst::Structure>("stats");
        stats.get::<u64>("rendered").expect("a count")
    };
    let end = |name: &str| {
        let sample = sink(name)
            .property::<Option<gst::Sample>>("last-sample")
            .expect("a sample");
        let buffer = sample.buffer().expect("a buffer");
        let end = buffer.pts().expect("pts") + buffer.duration().unwrap_or_default();
        end.mseconds()
    };
    let caps = sink("video")
        .static_pad("sink")
        .and_then(|pad| pad.current_caps())
        .expect("caps");
    let structure = caps.structure(0).expect("a structure");
    let content = Content {
        frames: rendered("video"),
        size: (
            structure.get("width").expect("width"),
            structure.get("height").expect("height"),
        ),
        video_end: end("video"),
        sound_end: end("sound"),
        sound_bytes: rendered("sound"),
    };
    pipeline.set_state(gst::State::Null).expect("stopped");
    content
}

#[test]
fn the_real_clip_keeps_frames_size_duration_and_sound() {
    common::init();
    let clip = clip();
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("out.mp4");
    let pipeline = play(&format!(
        "filesrc location={} ! qtdemux name=demux \
         demux.video_0 ! queue ! h264parse ! avdec_h264 ! videoconvert ! stylize name=stylize qos=false ! videoconvert \
         ! x264enc speed-preset=ultrafast ! h264parse ! queue max-size-time=0 max-size-bytes=0 ! mux.video_0 \
         demux.audio_0 ! queue max-size-time=0 max-size-bytes=0 ! aacparse ! mux.audio_0 \
         mp4mux name=mux ! filesink location={}",
        clip.display(),
        out.display()
    ));
    let stats = pipeline
        .by_name("stylize")
        .expect("stylize")
        .property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).expect("stopped");
    let (before, after) = (content(&clip), content(&out));
    assert_eq!(stats.get::<u64>("frames"), Ok(before.frames));
    assert_eq!((after.frames, after.size), (before.frames, before.size));
    assert_eq!(
        after.sound_bytes, before.sound_bytes,
        "the sound is the same packets"
    );
    assert!(
        after.video_end.abs_diff(before.video_end) <= 50,
        "{before:?} {after:?}"
    );
    assert!(
        after.sound_end.abs_diff(before.sound_end) <= 50,
        "{before:?} {after:?}"
    );
}

/// Mean structural similarity of the luma over 8x8 windows (Wang et al. 2004, eq. 13).
fn ssim(a: &Picture, b: &Picture) -> f64 {
    let luma = |p: &Picture, x: usize, y: usize| {
        let [r, g, b, _] = p.pixels[y * p.width + x].map(f64::from);
        0.299 * r + 0.587 * g + 0.114 * b
    };
    let (c1, c2) = ((0.01_f64 * 255.0).powi(2), (0.03_f64 * 255.0).powi(2));
    let (mut sum, mut windows) = (0.0, 0.0);
    for top in (0..a.height - 7).step_by(4) {
        for left in (0..a.width - 7).step_by(4) {
            let (mut ma, mut mb, mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (y, x) in (0..64).map(|i| (top + i / 8, left + i % 8)) {
                let (va, vb) = (luma(a, x, y), luma(b, x, y));
                ma += va / 64.0;
                mb += vb / 64.0;
                aa += va * va / 64.0;
                bb += vb * vb / 64.0;
                ab += va * vb / 64.0;
            }
            let (sa, sb, cov) = (aa - ma * ma, bb - mb * mb, ab - ma * mb);
            sum += (2.0 * ma * mb + c1) * (2.0 * cov + c2)
                / ((ma * ma + mb * mb + c1) * (sa + sb + c2));
            windows += 1.0;
        }
    }
    sum / windows
}

#[test]
fn the_shipped_generators_paint_their_pictures() {
    common::init();
    let source = png("frame.png");
    let cases = [
        ("quick", "cpu"),
        ("lite", "cpu"),
        ("lite", "auto"),
        ("full", "cpu"),
    ];
    for (quality, provider) in cases {
        let golden = png(&format!("starry-night-{quality}.png"));
        let unlike = ssim(&source, &golden);
        assert!(
            unlike < 0.8,
            "the golden picture is not the source: {unlike}"
        );
        let pipeline = play(&format!(
            "filesrc location={} ! pngdec ! videoconvert ! video/x-raw,format=RGB \
             ! stylize quality={quality} execution-provider={provider} ! fakesink name=sink",
            fixture::path("frame.png").display()
        ));
        let painted = last(&pipeline.by_name("sink").expect("a sink"));
        pipeline.set_state(gst::State::Null).expect("stopped");
        let alike = ssim(&painted, &golden);
        assert!(alike > 0.97, "{quality} {provider}: {alike}");
    }
}
