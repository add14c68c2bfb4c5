// SPDX-License-Identifier: MPL-2.0
//! Several frames in flight: the same pictures in the same order, nothing lost, nothing overtaken.

mod common;

use common::generators::negative;
use gst::prelude::*;
use gst_check::Harness;

const CAPS: &str = "video/x-raw,format=RGB,width=64,height=48,framerate=25/1";
const SIZE: usize = 64 * 48 * 3;
const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);

fn harness(provider: &str, frames: u32) -> (tempfile::TempDir, gst::Element, Harness) {
    let (dir, element) = common::element_on(provider, &negative(13).bytes());
    element.set_property("frames-in-flight", frames);
    element.set_property("threads", 0_u32);
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str(CAPS);
    (dir, element, harness)
}

/// A frame that is filled with its number.
fn numbered(number: u8) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice([number; SIZE]);
    let fresh = buffer.get_mut().expect("fresh");
    fresh.set_pts(FRAME * u64::from(number));
    fresh.set_duration(FRAME);
    buffer
}

/// The number of a frame that came out as its negative.
fn number(buffer: &gst::Buffer) -> u8 {
    let bytes = buffer.map_readable().expect("bytes");
    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
    let number = 255 - bytes[0];
    assert_eq!(buffer.pts(), Some(FRAME * u64::from(number)));
    number
}

fn all(harness: &mut Harness) -> Vec<u8> {
    std::iter::from_fn(|| harness.try_pull())
        .map(|buffer| number(&buffer))
        .collect()
}

#[test]
fn frames_come_out_in_order_and_all_of_them_at_the_end() {
    for provider in common::PROVIDERS {
        for frames in [1, 2, 3, 7] {
            let (_dir, element, mut harness) = harness(provider, frames);
            for i in 0..20 {
                harness.push(numbered(i)).expect("taken");
            }
            // All but those in flight.
            assert_eq!(harness.buffers_received(), 20 - (frames - 1));
            harness.push_event(gst::event::Eos::new());
            assert_eq!(all(&mut harness), (0..20).collect::<Vec<_>>());
            let stats = element.property::<gst::Structure>("stats");
            assert_eq!(stats.get::<u64>("frames"), Ok(20));
            assert_eq!(stats.get::<u32>("frames-in-flight"), Ok(frames));
        }
    }
}

#[test]
fn a_first_frame_that_is_marked_as_such_holds_nothing_up() {
    let (_dir, _element, mut harness) = harness("cpu", 3);
    for i in 0..10 {
        let mut buffer = numbered(i);
        if i == 0 || i == 5 {
            let fresh = buffer.get_mut().expect("fresh");
            fresh.set_flags(gst::BufferFlags::DISCONT);
        }
        harness.push(buffer).expect("taken");
    }
    // Those before the gap have left; of those behind it, two are in flight.
    assert_eq!(harness.buffers_received(), 8);
    harness.push_event(gst::event::Eos::new());
    let marked = std::iter::from_fn(|| harness.try_pull());
    let marked = marked.filter(|buffer| buffer.flags().contains(gst::BufferFlags::DISCONT));
    assert_eq!(marked.map(|b| number(&b)).collect::<Vec<_>>(), [0, 5]);
}

#[test]
fn nothing_in_the_stream_overtakes_a_frame() {
    let (_dir, _element, mut harness) = harness("cpu", 3);
    for i in 0..2 {
        harness.push(numbered(i)).expect("taken");
    }
    assert_eq!(harness.buffers_received(), 0);
    let mark = gst::Structure::new_empty("mark");
    harness.push_event(gst::event::CustomDownstream::new(mark));
    assert_eq!(all(&mut harness), [0, 1]);

    harness.push(numbered(2)).expect("taken");
    harness.set_src_caps_str("video/x-raw,format=RGB,width=32,height=48,framerate=25/1");
    assert_eq!(all(&mut harness), [2]);
}

#[test]
fn a_flush_forgets_what_is_in_flight() {
    let (_dir, _element, mut harness) = harness("cpu", 4);
    for round in 0..50 {
        for i in 0..3 {
            harness.push(numbered(i)).expect("taken");
        }
        harness.push_event(gst::event::FlushStart::new());
        harness.push_event(gst::event::FlushStop::new(true));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        harness.push_event(gst::event::Segment::new(&segment));
        harness.push(numbered(9)).expect("taken");
        harness.push_event(gst::event::CustomDownstream::new(
            gst::Structure::new_empty("mark"),
        ));
        assert_eq!(all(&mut harness), [9], "round {round}");
    }
}

#[test]
fn stopping_with_frames_in_flight_ends_at_once_and_starts_again() {
    let (_dir, element, mut harness) = harness("cpu", 4);
    for _ in 0..50 {
        for i in 0..3 {
            harness.push(numbered(i)).expect("taken");
        }
        element.set_state(gst::State::Null).expect("stopped");
        element.set_state(gst::State::Playing).expect("playing");
        harness.set_src_caps_str(CAPS);
        while harness.try_pull().is_some() {}
    }
    harness.push(numbered(5)).expect("taken");
    harness.push_event(gst::event::Eos::new());
    assert_eq!(all(&mut harness), [5]);
}

#[test]
fn the_delay_is_reported() {
    for (frames, delay) in [(0, 0), (1, 0), (4, 3)] {
        let (_dir, element, mut harness) = harness("cpu", frames);
        harness.push(numbered(0)).expect("taken");
        let mut query = gst::query::Latency::new();
        assert!(element.static_pad("src").expect("a pad").query(&mut query));
        let (_live, min, _max) = query.result();
        assert_eq!(min, FRAME * delay);
    }
}
