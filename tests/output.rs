// SPDX-License-Identifier: MPL-2.0
//! Output of frames as soon as they are finished: with a variable rate, around dropped frames, and with pads that
//! refuse buffers.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::generators::negative;
use gst::prelude::*;
use gst_check::Harness;

const SIZE: usize = 64 * 48 * 3;
const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);

fn caps(rate: &str) -> String {
    format!("video/x-raw,format=RGB,width=64,height=48,framerate={rate}")
}

fn element(frames: u32) -> (tempfile::TempDir, gst::Element) {
    let (dir, element) = common::element(&negative(13).bytes());
    element.set_property("frames-in-flight", frames);
    (dir, element)
}

fn frame(number: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice([number as u8; SIZE]);
    let fresh = buffer.get_mut().expect("fresh");
    fresh.set_pts(FRAME * number);
    fresh.set_duration(FRAME);
    buffer
}

#[test]
fn at_a_variable_rate_the_last_frame_is_shown_without_another() {
    for frames in [1, 2, 5] {
        let (_dir, element) = element(frames);
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps_str(&caps("0/1"));
        for number in 0..3 {
            harness.push(frame(number)).expect("taken");
            // Waits for the next frame.
            let out = harness.pull().expect("a frame");
            assert_eq!(out.pts(), Some(FRAME * number), "{frames} in flight");
        }
    }
}

#[test]
fn the_latency_of_a_live_stream_is_what_frames_take() {
    for (rate, frames) in [("0/1", 1_u32), ("0/1", 2), ("25/1", 1)] {
        let (_dir, element) = common::element(&common::generators::slow(40).bytes());
        element.set_property("frames-in-flight", frames);
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps_str(&caps(rate).replace("64", "256").replace("48", "256"));
        let mut slowest = Vec::new();
        for number in 0..40 {
            let mut buffer = gst::Buffer::from_slice(vec![7; 256 * 256 * 3]);
            buffer.get_mut().expect("fresh").set_pts(FRAME * number);
            let begin = Instant::now();
            harness.push_and_pull(buffer).expect("a frame");
            slowest.push(begin.elapsed());
        }
        slowest.sort();
        let mut query = gst::query::Latency::new();
        assert!(element.static_pad("src").expect("a pad").query(&mut query));
        let (_, min, _) = query.result();
        let min = Duration::from(min);
        assert!(min >= slowest[10], "{rate}: {min:?}, {slowest:?}");
        let most = slowest[39] + Duration::from_millis(5);
        assert!(min <= most, "{rate}: {min:?}, {slowest:?}");
    }
}

#[test]
fn without_queued_frames_the_maximum_latency_is_unchanged() {
    let (_dir, element) = element(2);
    element.set_property("target-latency", 500_000_000_u64);
    let upstream = gst::Pad::builder(gst::PadDirection::Src)
        .query_function(|pad, parent, query| match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => {
                latency.set(true, gst::ClockTime::ZERO, FRAME);
                true
            }
            _ => gst::Pad::query_default(pad, parent, query),
        })
        .build();
    let sink = element.static_pad("sink").expect("a pad");
    upstream.link(&sink).expect("linked");
    upstream.set_active(true).expect("active");
    element.set_state(gst::State::Playing).expect("playing");
    upstream.push_event(gst::event::StreamStart::new("test"));
    let caps = caps("25/1").parse::<gst::Caps>().expect("caps");
    upstream.push_event(gst::event::Caps::new(&caps));
    let mut query = gst::query::Latency::new();
    assert!(element.static_pad("src").expect("a pad").query(&mut query));
    // The queue holds two frames, but not half a second.
    assert_eq!(
        query.result(),
        (true, 500 * gst::ClockTime::MSECOND, Some(3 * FRAME))
    );
    element.set_state(gst::State::Null).expect("stopped");
}

#[test]
fn the_frame_after_a_drop_is_marked_and_no_other() {
    for frames in [1, 3] {
        let (_dir, element) = element(frames);
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps_str(&caps("25/1"));
        for number in 0..5 {
            harness.push(frame(number)).expect("taken");
        }
        // The sink has the sixth frame.
        let late = gst::event::Qos::new(
            gst::QOSType::Underflow,
            1.0,
            FRAME.nseconds() as i64,
            FRAME * 5,
        );
        harness.push_upstream_event(late);
        for number in 5..12 {
            harness.push(frame(number)).expect("taken");
        }
        harness.push_event(gst::event::Eos::new());
        let out: Vec<(u64, bool)> = std::iter::from_fn(|| harness.try_pull())
            .map(|buffer| {
                let number = buffer.pts().expect("a time").nseconds() / FRAME.nseconds();
                (number, buffer.flags().contains(gst::BufferFlags::DISCONT))
            })
            .collect();
        let dropped = element.property::<gst::Structure>("stats");
        let dropped = dropped.get::<u64>("dropped").expect("a number");
        assert!(dropped > 0 && out.len() as u64 == 12 - dropped, "{out:?}");
        let mut last = None;
        for (number, marked) in out {
            let gap = last.is_some_and(|last| last + 1 != number);
            assert_eq!(marked, gap, "frame {number}, {frames} in flight");
            last = Some(number);
        }
    }
}

/// An element between two pads of the test; the second returns the given flow result.
struct Refusing {
    _dir: tempfile::TempDir,
    element: gst::Element,
    bus: gst::Bus,
    upstream: gst::Pad,
    received: Arc<AtomicUsize>,
}

impl Refusing {
    fn new(frames: u32, answer: gst::FlowError) -> Self {
        let (dir, element) = element(frames);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let received = Arc::<AtomicUsize>::default();
        let count = received.clone();
        let downstream = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, _| {
                count.fetch_add(1, Ordering::SeqCst);
                Err(answer)
            })
            .event_function(|_, _, _| true)
            .build();
        let upstream = gst::Pad::builder(gst::PadDirection::Src).build();
        let pad = |name| element.static_pad(name).expect("a pad");
        upstream.link(&pad("sink")).expect("linked");
        pad("src").link(&downstream).expect("linked");
        for pad in [&upstream, &downstream] {
            pad.set_active(true).expect("active");
        }
        element.set_state(gst::State::Playing).expect("playing");
        upstream.push_event(gst::event::StreamStart::new("test"));
        let caps = caps("25/1").parse::<gst::Caps>().expect("caps");
        upstream.push_event(gst::event::Caps::new(&caps));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        upstream.push_event(gst::event::Segment::new(&segment));
        Self {
            _dir: dir,
            element,
            bus,
            upstream,
            received,
        }
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.element.set_state(gst::State::Null).expect("stopped");
    }
}

#[test]
fn upstream_is_told_what_downstream_says() {
    for frames in [1, 2, 4] {
        for answer in [
            gst::FlowError::Eos,
            gst::FlowError::NotLinked,
            gst::FlowError::Error,
        ] {
            let stream = Refusing::new(frames, answer);
            let told = (0..100).find_map(|number| {
                std::thread::sleep(Duration::from_millis(2));
                stream.upstream.push(frame(number)).err()
            });
            assert_eq!(told, Some(answer), "{frames} in flight");
            // Nothing more went down after the refusal until upstream tried again.
            assert_eq!(stream.received.load(Ordering::SeqCst), 1);
            assert!(
                common::errors(&stream.bus).is_empty(),
                "who refuses says why"
            );
        }
    }
}

#[test]
fn a_refused_last_frame_is_an_error() {
    let stream = Refusing::new(2, gst::FlowError::NotLinked);
    stream.upstream.push(frame(0)).expect("taken");
    stream.upstream.push_event(gst::event::Eos::new());
    let errors = common::errors(&stream.bus);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].error.matches(gst::StreamError::Failed),
        "{errors:?}"
    );
}

#[test]
fn frames_come_sooner_at_a_higher_rate() {
    for rate in [1.0, 2.0, 0.5, -1.0, -4.0] {
        let (_dir, element) = element(3);
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps_str(&caps("25/1"));
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_rate(rate);
        segment.set_stop(gst::ClockTime::from_seconds(10));
        harness.push_event(gst::event::Segment::new(&segment));
        harness.push_and_pull(frame(0)).expect("a painting");
        harness.push_and_pull(frame(1)).expect("a painting");
        let mut query = gst::query::Latency::new();
        assert!(element.static_pad("src").expect("a pad").query(&mut query));
        let two_frames = FRAME.nseconds() as f64 * 2.0 / f64::abs(rate);
        assert_eq!(
            query.result().1.nseconds() as f64,
            two_frames,
            "at rate {rate}"
        );
    }
}

#[test]
fn a_sink_that_waits_adds_nothing_to_the_latency() {
    for frames in [1, 3] {
        let (_dir, element) = element(frames);
        let downstream = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(|_, _, _| {
                // As if it waited for the frame's time.
                std::thread::sleep(Duration::from_millis(60));
                Ok(gst::FlowSuccess::Ok)
            })
            .event_function(|_, _, _| true)
            .build();
        let upstream = gst::Pad::builder(gst::PadDirection::Src)
            .query_function(|pad, parent, query| match query.view_mut() {
                gst::QueryViewMut::Latency(latency) => {
                    latency.set(true, gst::ClockTime::ZERO, gst::ClockTime::NONE);
                    true
                }
                _ => gst::Pad::query_default(pad, parent, query),
            })
            .build();
        let pad = |name| element.static_pad(name).expect("a pad");
        upstream.link(&pad("sink")).expect("linked");
        pad("src").link(&downstream).expect("linked");
        for pad in [&upstream, &downstream] {
            pad.set_active(true).expect("active");
        }
        element.set_state(gst::State::Playing).expect("playing");
        upstream.push_event(gst::event::StreamStart::new("test"));
        let caps = caps("0/1").parse::<gst::Caps>().expect("caps");
        upstream.push_event(gst::event::Caps::new(&caps));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        upstream.push_event(gst::event::Segment::new(&segment));
        for number in 0..40 {
            upstream.push(frame(number)).expect("taken");
        }
        let mut query = gst::query::Latency::new();
        assert!(pad("src").query(&mut query));
        let min = query.result().1;
        assert!(
            min < 60 * gst::ClockTime::MSECOND,
            "{frames} in flight: {min}"
        );
        element.set_state(gst::State::Null).expect("stopped");
    }
}
