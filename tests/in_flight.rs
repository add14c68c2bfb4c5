// SPDX-License-Identifier: MPL-2.0
//! Several frames in flight: the same pictures in the same order, without losses.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use common::generators::{negative, slow};
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
fn frames_come_out_in_order_when_they_are_done() {
    for provider in common::PROVIDERS {
        for frames in [1, 2, 3, 7] {
            let (_dir, element, mut harness) = harness(provider, frames);
            for i in 0..20 {
                harness.push(numbered(i)).expect("taken");
            }
            // All of them are output without another input frame.
            for i in 0..20 {
                assert_eq!(number(&harness.pull().expect("a frame")), i);
            }
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
        // A fast machine outputs some of them before the flush, and none after it.
        let before = all(&mut harness);
        assert!([0, 1, 2].starts_with(&before), "{before:?}");
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

/// A frame's bytes, counted while a reference exists.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Frames that take half a second or more, in one operator, which cannot be cancelled.
struct Endless {
    _dir: tempfile::TempDir,
    element: gst::Element,
    harness: Harness,
    held: Arc<AtomicUsize>,
}

impl Endless {
    const SIDE: usize = 512;

    /// With this number of steps. Elements with the same number share a session, and wait for each other.
    fn new(steps: usize) -> Self {
        let (dir, element) = common::element_on("openvino", &slow(steps).bytes());
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        let side = Self::SIDE;
        harness.set_src_caps_str(&format!(
            "video/x-raw,format=RGB,width={side},height={side},framerate=25/1"
        ));
        let mut endless = Self {
            _dir: dir,
            element,
            harness,
            held: Arc::default(),
        };
        // Everything has been loaded and compiled after that.
        endless.paint();
        endless
    }

    /// Pushes a frame and waits for the output.
    fn paint(&mut self) {
        let frame = self.frame();
        let out = self.harness.push_and_pull(frame).expect("a painting");
        let bytes = out.map_readable().expect("bytes");
        assert!(bytes.iter().all(|byte| *byte == 77));
    }

    fn frame(&self) -> gst::Buffer {
        self.held.fetch_add(1, Ordering::SeqCst);
        let bytes = vec![77; Self::SIDE * Self::SIDE * 3];
        gst::Buffer::from_slice(Counted(bytes, self.held.clone()))
    }

    /// Pushes a frame, calls `end` while it is in the generator, and returns the push's result.
    fn push_until(
        &mut self,
        end: impl FnOnce(&gst::Element),
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let frame = self.frame();
        let (started, start) = mpsc::channel();
        std::thread::scope(|scope| {
            let harness = &mut self.harness;
            let push = scope.spawn(move || {
                let _ = started.send(());
                harness.push(frame)
            });
            start.recv().expect("started");
            std::thread::sleep(std::time::Duration::from_millis(200));
            end(&self.element);
            push.join().expect("no panic")
        })
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }
}

/// Number of tries of tests in which a frame must not be finished before another action; on a busy machine it may be.
const TRIES: usize = 5;

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "OpenVINO is of x86-64")]
fn a_flush_does_not_wait_for_an_operator() {
    let mut endless = Endless::new(800);
    let frames = |endless: &Endless| {
        let stats = endless.element.property::<gst::Structure>("stats");
        stats.get::<u64>("frames").expect("a number")
    };
    for _ in 0..TRIES {
        let before = frames(&endless);
        let flow = endless.push_until(|element| {
            let pad = element.static_pad("sink").expect("a pad");
            assert!(pad.send_event(gst::event::FlushStart::new()));
        });
        let held = endless.held();
        let harness = &mut endless.harness;
        harness.push_event(gst::event::FlushStop::new(true));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        harness.push_event(gst::event::Segment::new(&segment));
        if flow.is_ok() || held == 0 {
            while harness.try_pull().is_some() {}
            continue;
        }
        assert_eq!(flow, Err(gst::FlowError::Flushing));
        assert_eq!(held, 1, "a reference to the frame remains");
        // The stream goes on while the old frame is still painted, which is not counted.
        endless.paint();
        assert_eq!(frames(&endless), before + 1);
        return;
    }
    panic!("it waits until the frame is painted");
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "OpenVINO is of x86-64")]
fn all_buffers_are_back_after_a_stop() {
    for _ in 0..TRIES {
        let mut endless = Endless::new(801);
        let flow = endless.push_until(|element| {
            element.set_state(gst::State::Null).expect("stopped");
        });
        assert_eq!(endless.held(), 0, "a thread goes on after the stop");
        if flow.is_ok() {
            continue;
        }
        assert_eq!(flow, Err(gst::FlowError::Flushing));
        return;
    }
    panic!("no stop came before the frame was painted");
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
