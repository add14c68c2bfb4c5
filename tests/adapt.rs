// SPDX-License-Identifier: MPL-2.0
//! `adapt`: the generator's input is reduced when frames are late, and enlarged again when there is time. The size of
//! frames does not change.

mod common;

use std::time::{Duration, Instant};

use common::generators::{F32, Net, negative};
use common::styled;
use gst::prelude::*;
use gst_check::Harness;

/// Time budgets: no frame is finished in 1 µs, every one in 10 s.
const HURRY: &str = "1000000/1";
const LEISURE: &str = "1/10";

const WIDTH: usize = 32;
const SOURCE: [u8; 3] = [10, 20, 40];
const NEGATIVE: [u8; 3] = [245, 235, 215];

/// Frames 32 pixels wide, one every millisecond, and their colours.
struct Stream {
    _dir: tempfile::TempDir,
    element: gst::Element,
    bus: gst::Bus,
    harness: Harness,
    height: usize,
    number: u64,
    received: u64,
}

impl Stream {
    fn new(net: &[u8], height: usize, rate: &str, properties: &[(&str, &str)]) -> Self {
        let caps = caps(height, rate);
        let (_dir, element, bus, harness) = common::stream("cpu", net, properties, &caps);
        Self {
            _dir,
            element,
            bus,
            harness,
            height,
            number: 0,
            received: 0,
        }
    }

    fn set_rate(&mut self, rate: &str) {
        self.harness.set_src_caps_str(&caps(self.height, rate));
    }

    /// Pushes a uniform frame; output frames must be complete, in order, and begin and end with one of these colours.
    #[track_caller]
    fn frame(&mut self, colours: &[[u8; 3]]) {
        let mut buffer = gst::Buffer::from_mut_slice(SOURCE.repeat(WIDTH * self.height));
        let pts = gst::ClockTime::from_mseconds(self.number);
        buffer.get_mut().expect("fresh").set_pts(pts);
        self.number += 1;
        assert_eq!(self.harness.push(buffer), Ok(gst::FlowSuccess::Ok));
        self.receive(colours);
    }

    #[track_caller]
    fn receive(&mut self, colours: &[[u8; 3]]) {
        while let Some(out) = self.harness.try_pull() {
            let pts = gst::ClockTime::from_mseconds(self.received);
            assert_eq!(out.pts(), Some(pts));
            self.received += 1;
            let bytes = out.map_readable().expect("bytes");
            assert_eq!(bytes.len(), WIDTH * self.height * 3);
            let pixel = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2]];
            for seen in [pixel(0), pixel(bytes.len() - 3)] {
                assert!(colours.contains(&seen), "{seen:?}");
            }
        }
    }

    /// Pushes frames until the generator's input has this height.
    #[track_caller]
    fn until(&mut self, lines: u32, colours: &[[u8; 3]]) {
        let begin = Instant::now();
        while self.stat::<u32>("inference-height") != lines {
            assert!(begin.elapsed() < Duration::from_secs(120), "never");
            self.frame(colours);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn stat<T>(&self, name: &str) -> T
    where
        T: for<'a> gst::glib::value::FromValue<'a> + gst::glib::value::ValueType,
    {
        let stats = self.element.property::<gst::Structure>("stats");
        stats.get(name).expect("a field of the type")
    }

    /// Steps since the last call: heights before and after, and the reason.
    fn steps(&self) -> Vec<(u32, u32, String)> {
        steps(&self.bus)
    }

    fn latency(&self) -> gst::ClockTime {
        let mut query = gst::query::Latency::new();
        let pad = self.element.static_pad("src").expect("a pad");
        assert!(pad.query(&mut query));
        query.result().1
    }
}

fn caps(height: usize, rate: &str) -> String {
    format!("video/x-raw,format=RGB,width={WIDTH},height={height},framerate={rate}")
}

fn steps(bus: &gst::Bus) -> Vec<(u32, u32, String)> {
    let mut steps = Vec::new();
    while let Some(message) = bus.pop() {
        match message.view() {
            gst::MessageView::Element(element) => {
                let structure = element.structure().expect("a structure");
                if structure.has_name("stylize-adapt") {
                    let lines = |name: &str| structure.get::<u32>(name).expect("lines");
                    let reason = structure.get("reason").expect("a reason");
                    steps.push((lines("from"), lines("to"), reason));
                    assert!(structure.get::<u64>("time").is_ok());
                    assert!(structure.get::<u64>("budget").is_ok());
                }
            }
            gst::MessageView::Warning(warning) => panic!("{warning:?}"),
            gst::MessageView::Error(error) => panic!("{error:?}"),
            _ => (),
        }
    }
    steps
}

fn step(from: u32, to: u32, reason: &str) -> (u32, u32, String) {
    (from, to, reason.into())
}

#[test]
fn the_size_goes_down_at_once_and_up_step_by_step_and_frames_stay_as_they_are() {
    let mixed: &[[u8; 3]] = &[SOURCE, NEGATIVE];
    let (source, painted) = mixed.split_at(1);
    for (name, value, colours) in [
        ("strength", "1", painted),
        ("upscale", "guided", painted),
        ("stability", "0.8", painted),
        ("split", "0.5", mixed),
        // No frame has a region of interest.
        ("mask", "roi", source),
        ("frames-in-flight", "3", painted),
    ] {
        let properties = [("adapt", "resolution"), (name, value)];
        let net = negative(13).bytes();
        let mut stream = Stream::new(&net, 256, HURRY, &properties);
        stream.until(64, colours);
        assert_eq!(stream.steps(), [step(256, 64, "slow")], "{name}");
        assert_eq!(stream.stat::<u32>("adapt-rung"), 4);
        // There is no lower step.
        for _ in 0..30 {
            stream.frame(colours);
        }
        assert_eq!(stream.steps(), []);
        let quick = stream.number;

        stream.set_rate(LEISURE);
        stream.until(256, colours);
        let up = [(64, 96), (96, 128), (128, 192), (192, 256)];
        assert_eq!(stream.steps(), up.map(|(from, to)| step(from, to, "room")));
        assert_eq!(stream.stat::<u64>("adapt-steps"), 5);
        assert_eq!(stream.stat::<u32>("adapt-rung"), 0);
        let slow = stream.number - quick;
        assert!(slow > 4 * 60, "down after {quick} frames, up after {slow}");

        stream.harness.push_event(gst::event::Eos::new());
        stream.receive(colours);
        assert_eq!(stream.received, stream.number);
        assert_eq!(stream.stat::<u64>("frames"), stream.number);
        assert_eq!(stream.stat::<u64>("dropped"), 0);
        assert_eq!(stream.stat::<u32>("frame-height"), 256);
    }
}

#[test]
fn it_begins_at_the_height_asked_for_and_what_changes_goes_on_from_there() {
    let properties = [("adapt", "resolution"), ("inference-height", "200")];
    let mut stream = Stream::new(&negative(13).bytes(), 256, LEISURE, &properties);
    let colours = [NEGATIVE, [226, 236, 255]];
    for _ in 0..200 {
        stream.frame(&colours);
    }
    assert_eq!(stream.steps(), []);
    assert_eq!(stream.stat::<u32>("inference-height"), 200);
    stream.set_rate(HURRY);
    stream.until(75, &colours);
    assert_eq!(stream.steps(), [step(200, 75, "slow")]);
    // Loaded again in the background, and as small as before from its first frame on.
    stream.element.set_property_from_str("color", "source");
    let begin = Instant::now();
    while stream.stat::<String>("color") != "source" {
        assert!(begin.elapsed() < Duration::from_secs(120), "never");
        stream.frame(&colours);
    }
    assert_eq!(stream.stat::<u32>("inference-height"), 75);
    // Another height: its first step that is no higher.
    stream.element.set_property("inference-height", 180_u32);
    stream.until(68, &colours);
    assert_eq!(stream.steps(), []);
    // Another size of frames.
    stream.height = 128;
    stream.set_rate(HURRY);
    stream.frame(&colours);
    assert_eq!(stream.stat::<u32>("inference-height"), 64);
}

#[test]
fn switched_off_while_playing_it_goes_back_to_the_height_asked_for() {
    let mut stream = Stream::new(&negative(13).bytes(), 128, HURRY, &[]);
    for _ in 0..100 {
        stream.frame(&[NEGATIVE]);
    }
    assert_eq!(stream.steps(), [], "off by default");
    stream.element.set_property_from_str("adapt", "resolution");
    stream.until(64, &[NEGATIVE]);
    stream.element.set_property_from_str("adapt", "off");
    stream.until(128, &[NEGATIVE]);
    for _ in 0..100 {
        stream.frame(&[NEGATIVE]);
    }
    assert_eq!(
        stream.steps(),
        [step(128, 64, "slow"), step(64, 128, "off")]
    );
}

#[test]
fn paintings_of_an_earlier_size_are_not_reused() {
    let properties = [
        ("adapt", "resolution"),
        ("stability", "1"),
        ("transition", "0"),
    ];
    let net = styled::bytes(styled::net(&[4]));
    let mut stream = Stream::new(&net, 96, HURRY, &properties);
    let (red, blue) = ([255, 0, 0], [0, 0, 255]);
    stream.until(72, &[red]);
    stream.element.set_property("style", "blue");
    stream.set_rate(LEISURE);
    stream.until(96, &[blue]);
    stream.frame(&[blue]);
    assert_eq!(stream.stat::<u64>("compiled-graphs"), 2, "both were kept");
}

#[test]
fn elements_share_the_session_of_each_size() {
    // A graph that no other test has.
    let net = negative(13).meta("stylize.name", "shared").bytes();
    let properties = [("adapt", "resolution")];
    let mut streams = [(); 2].map(|()| Stream::new(&net, 128, HURRY, &properties));
    for stream in &mut streams {
        stream.until(64, &[NEGATIVE]);
    }
    for stream in &mut streams {
        stream.frame(&[NEGATIVE]);
        assert_eq!(stream.stat::<u32>("session-holders"), 2);
    }
}

#[test]
fn without_a_frame_rate_the_target_is_the_budget() {
    let properties = [("adapt", "resolution")];
    let mut stream = Stream::new(&negative(13).bytes(), 128, "0/1", &properties);
    for _ in 0..100 {
        stream.frame(&[NEGATIVE]);
    }
    assert_eq!(stream.steps(), []);
    stream.element.set_property("target-latency", 1000_u64);
    stream.until(64, &[NEGATIVE]);
    assert_eq!(stream.steps(), [step(128, 64, "slow")]);
}

#[test]
fn the_budget_is_shorter_at_a_higher_rate() {
    for (rate, budget) in [(1.0, 1000_u64), (4.0, 250), (0.5, 2000), (-2.0, 500)] {
        let (net, height) = (negative(15).bytes(), 256);
        let mut stream = Stream::new(&net, height, HURRY, &[("adapt", "resolution")]);
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_rate(rate);
        segment.set_stop(gst::ClockTime::from_seconds(10));
        stream
            .harness
            .push_event(gst::event::Segment::new(&segment));
        let begin = Instant::now();
        let step = loop {
            assert!(begin.elapsed() < Duration::from_secs(120), "never");
            stream.frame(&[NEGATIVE]);
            let message = stream.bus.pop_filtered(&[gst::MessageType::Element]);
            let structure = message.and_then(|m| m.structure().map(ToOwned::to_owned));
            if let Some(step) = structure.filter(|s| s.has_name("stylize-adapt")) {
                break step;
            }
        };
        assert_eq!(step.get::<u64>("budget"), Ok(budget), "at rate {rate}");
    }
}

#[test]
fn a_generator_of_one_size_is_a_warning() {
    let net = Net::new(13)
        .input("x", F32, &[1, 3, 128, 128])
        .output("y", F32, &[1, 3, 128, 128])
        .meta("stylize.input-range", "0,1")
        .meta("stylize.output-range", "0,1")
        .floats("one", &[1], &[1.0])
        .integers("row", &[1, 3, 128 * 128])
        .integers("shape", &[1, 3, 128, 128])
        .node("Reshape", &["x", "row"], "pixels", vec![])
        .node("Reshape", &["pixels", "shape"], "picture", vec![])
        .node("Sub", &["one", "picture"], "y", vec![]);
    let properties = [("adapt", "resolution")];
    let mut stream = Stream::new(&net.bytes(), 256, HURRY, &properties);
    for _ in 0..50 {
        stream.frame(&[NEGATIVE]);
    }
    let warnings = std::iter::from_fn(|| stream.bus.pop_filtered(&[gst::MessageType::Warning]));
    let warnings: Vec<_> = warnings.collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let gst::MessageView::Warning(warning) = warnings[0].view() else {
        unreachable!("filtered");
    };
    assert!(warning.error().message().contains("one size only"));
}

#[test]
fn the_latency_is_the_target_at_every_size() {
    const MS: gst::ClockTime = gst::ClockTime::MSECOND;
    let net = negative(13).bytes();
    for (frames, automatic) in [("1", 40 * MS), ("3", 120 * MS)] {
        let properties = [("frames-in-flight", frames)];
        let mut stream = Stream::new(&net, 128, "25/1", &properties);
        let count: u64 = frames.parse().expect("a number");
        stream.frame(&[NEGATIVE]);
        assert_eq!(stream.latency(), 40 * MS * (count - 1));
        while stream.bus.pop().is_some() {}
        stream.element.set_property_from_str("adapt", "resolution");
        stream.frame(&[NEGATIVE]);
        assert_eq!(stream.latency(), automatic);
        let news = || stream.bus.pop_filtered(&[gst::MessageType::Latency]);
        assert!(news().is_some() && news().is_none(), "told once");
        // A latency of 1 µs is impossible: the minimum with this number of frames in flight.
        stream.element.set_property("target-latency", 1000_u64);
        stream.until(64, &[NEGATIVE]);
        let least = 40 * MS * (count - 1);
        assert_eq!(stream.latency(), least.max(gst::ClockTime::USECOND));
        stream
            .element
            .set_property("target-latency", 500_000_000_u64);
        stream.frame(&[NEGATIVE]);
        assert_eq!(stream.latency(), 500 * MS);
        // A larger latency of the sink does not change the budget of a frame.
        stream.until(128, &[NEGATIVE]);
        stream.set_rate(HURRY);
        stream.until(64, &[NEGATIVE]);
        assert_eq!(stream.latency(), 500 * MS);
        stream.element.set_property_from_str("adapt", "off");
        stream.frame(&[NEGATIVE]);
        assert_eq!(stream.latency(), 500 * MS);
    }
}
