// SPDX-License-Identifier: MPL-2.0
//! A long stream with the events of a day in short time: changes of size, format and style, reconnections, restarts.
//! Checks that no frame is lost or late against the sound, and that memory does not grow.
//!
//! `STYLIZE_SOAK=100000 cargo test --release --test soak` sets the number of frames; the default is small.

mod common;

use common::memory::resident;
use common::styled;
use gst::prelude::*;

const FRAMES: u64 = 20_000;
/// Duration of a frame.
const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);
/// Number of frames between two events.
const STYLE: u64 = 97;
const CAPS: u64 = 211;
/// Caps that are used in turn.
const COMBINATIONS: u64 = 20;
const RECONNECTION: u64 = 1009;
const RESTART: u64 = 9973;
/// Allowed growth of memory after all events have occurred, as a share, and in MiB for events that a short run has not
/// had.
const GROWTH: f64 = 0.02;
const SHORT: f64 = 24.0;

fn info(number: u64) -> gst_video::VideoInfo {
    use gst_video::VideoFormat::{I420, Nv12, Rgb, Rgba};
    let formats = [Rgb, I420, Nv12, Rgba];
    let sizes = [(64, 36), (128, 72), (96, 54), (33, 47), (256, 144)];
    let format = formats[(number % 4) as usize];
    let (width, height) = sizes[(number % 5) as usize];
    gst_video::VideoInfo::builder(format, width, height)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .expect("video info")
}

#[test]
fn a_day_in_a_stream_loses_nothing_and_keeps_its_memory() {
    common::init();
    let frames = std::env::var("STYLIZE_SOAK").map_or(FRAMES, |n| n.parse().expect("a number"));
    let properties = [("transition", "200000000"), ("stability", "0.5")];
    let caps = info(0).to_caps().expect("caps").to_string();
    let net = styled::bytes(styled::net(&[4]));
    let (_dir, element, bus, mut harness) = common::stream("cpu", &net, &properties, &caps);
    let mut current = info(0);
    let mut memory = Vec::new();
    for number in 0..frames {
        let turn = |every: u64| (number > 0 && number % every == 0).then_some(number / every);
        if let Some(turn) = turn(STYLE) {
            let names: Vec<&str> = styled::NAMES.split(',').collect();
            let mix = format!(
                "{}:0.6,{}:0.4",
                names[turn as usize % 4],
                names[(turn as usize + 1) % 4]
            );
            element.set_property("style", mix);
        }
        if turn(RESTART).is_some() {
            harness.set_src_caps(current.to_caps().expect("caps"));
            element.set_state(gst::State::Null).expect("stopped");
            harness.play();
            harness.push_event(gst::event::StreamStart::new("soak"));
            harness.set_src_caps(current.to_caps().expect("caps"));
        }
        if turn(RECONNECTION).is_some() {
            assert!(harness.push_event(gst::event::FlushStart::new()));
            assert!(harness.push_event(gst::event::FlushStop::new(true)));
        }
        if turn(RESTART).or(turn(RECONNECTION)).is_some() {
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            assert!(harness.push_event(gst::event::Segment::new(&segment)));
        }
        if let Some(turn) = turn(CAPS) {
            current = info(turn);
            harness.set_src_caps(current.to_caps().expect("caps"));
        }
        let mut frame = gst::Buffer::with_size(current.size()).expect("memory");
        let fresh = frame.get_mut().expect("fresh");
        fresh.set_pts(FRAME * number);
        fresh.set_duration(FRAME);
        fresh
            .map_writable()
            .expect("mapped")
            .fill((number % 200) as u8);
        let painted = harness.push_and_pull(frame).expect("a frame");
        // Timestamps, on which the synchronization with the sound depends.
        assert_eq!(painted.pts(), Some(FRAME * number));
        assert_eq!(painted.duration(), Some(FRAME));
        assert_eq!(painted.size(), current.size());
        while let Some(event) = harness.try_pull_event() {
            drop(event);
        }
        while let Some(message) = bus.pop() {
            let bad = [gst::MessageType::Error, gst::MessageType::Warning];
            assert!(!bad.contains(&message.type_()), "{number}: {message:?}");
        }
        // Always with the same caps.
        if number % (CAPS * COMBINATIONS) == CAPS * COMBINATIONS - 1 {
            memory.push(resident());
        }
    }
    assert!(harness.try_pull().is_none());
    let quarter = memory.len() / 4;
    assert!(quarter > 0, "too few frames to judge memory by");
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let quarters: Vec<f64> = memory.chunks_exact(quarter).map(mean).collect();
    println!("{frames} frames; MiB in each quarter, in the mean: {quarters:.1?}");
    let (before, growth) = (quarters[2], quarters[3] - quarters[2]);
    let short = if frames < 100_000 { SHORT } else { 0.0 };
    let limit = before * GROWTH + short;
    assert!(growth < limit, "{growth} MiB of {limit}");
}
