// SPDX-License-Identifier: MPL-2.0
//! Playout: styles that change at given times of the stream, and frames that need no inference.

mod common;

use common::generators::negative;
use common::styled::{bytes, close, net};
use gst::prelude::*;
use gst_check::Harness;

const CAPS: &str = "video/x-raw,format=RGB,width=32,height=16,framerate=10/1";

struct Stream {
    _dir: tempfile::TempDir,
    element: gst::Element,
    bus: gst::Bus,
    harness: Harness,
    number: u64,
}

impl Stream {
    fn new(model: &[u8], properties: &[(&str, &str)]) -> Self {
        let (_dir, element, bus, harness) = common::stream("cpu", model, properties, CAPS);
        Self {
            _dir,
            element,
            bus,
            harness,
            number: 0,
        }
    }

    /// Pushes the next frame, 0.1 s after the one before.
    fn push(&mut self, value: u8) {
        let mut buffer = gst::Buffer::from_slice(vec![value; 32 * 16 * 3]);
        let pts = gst::ClockTime::from_mseconds(100 * self.number);
        buffer.get_mut().expect("fresh").set_pts(pts);
        self.number += 1;
        assert_eq!(self.harness.push(buffer), Ok(gst::FlowSuccess::Ok));
    }

    /// Colour of the next output frame, and its time in tenths of a second.
    fn pull(&mut self) -> ([f32; 3], u64) {
        let out = self.harness.pull().expect("a frame");
        let bytes = out.map_readable().expect("bytes");
        assert!(bytes.chunks(3).all(|pixel| pixel == &bytes[..3]));
        let tenths = out.pts().expect("a time").mseconds() / 100;
        ([0, 1, 2].map(|c| f32::from(bytes[c])), tenths)
    }

    fn frame(&mut self, value: u8) -> [f32; 3] {
        self.push(value);
        self.pull().0
    }

    fn stat(&self, name: &str) -> u64 {
        let stats = self.element.property::<gst::Structure>("stats");
        stats.get(name).expect("a number")
    }
}

fn change(style: &str, transition: u64) -> gst::Event {
    let structure = gst::Structure::builder("stylize-style")
        .field("style", style)
        .field("transition", transition)
        .build();
    gst::event::CustomDownstream::new(structure)
}

#[test]
fn an_event_changes_the_style_at_its_place_in_the_stream() {
    for in_flight in ["1", "3"] {
        let properties = [("frames-in-flight", in_flight)];
        let mut stream = Stream::new(&bytes(net(&[4])), &properties);
        for _ in 0..4 {
            stream.push(40);
        }
        assert!(stream.harness.push_event(change("blue", 0)));
        for _ in 0..3 {
            stream.push(40);
        }
        stream.harness.push_event(gst::event::Eos::new());
        for number in 0..7 {
            let (colour, tenths) = stream.pull();
            assert_eq!(tenths, number);
            let wanted = match number {
                0..4 => [1.0, 0.0, 0.0, 0.0],
                _ => [0.0, 0.0, 1.0, 0.0],
            };
            close(colour, wanted);
        }
        let style = stream.element.property::<Option<String>>("style");
        assert_eq!(style.as_deref(), Some("blue"), "the property says so");
    }
}

#[test]
fn an_event_may_glide_and_what_it_gets_wrong_is_a_warning() {
    let mut stream = Stream::new(&bytes(net(&[4])), &[]);
    close(stream.frame(40), [1.0, 0.0, 0.0, 0.0]);
    stream.harness.push_event(change("green", 400_000_000));
    close(stream.frame(40), [0.75, 0.25, 0.0, 0.0]);
    close(stream.frame(40), [0.5, 0.5, 0.0, 0.0]);
    let wrong = gst::Structure::new_empty("stylize-style");
    stream
        .harness
        .push_event(gst::event::CustomDownstream::new(wrong));
    stream.harness.push_event(change("gren", 0));
    stream.frame(40);
    let mut warnings = Vec::new();
    while let Some(message) = stream.bus.pop_filtered(&[gst::MessageType::Warning]) {
        if let gst::MessageView::Warning(warning) = message.view() {
            warnings.push(warning.error().message().to_string());
        }
    }
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("has no style"), "{warnings:?}");
    assert!(
        warnings[1].contains("did you mean \"green\"?"),
        "{warnings:?}"
    );
}

#[test]
fn a_playlist_says_which_style_when() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("channel.txt");
    let text = "0 red\n0.4 green 0\n0.6 blue 0.2\n1.0 grey 0\nloop 1.2\n";
    std::fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let mut stream = Stream::new(&bytes(net(&[4])), &[("playlist", file)]);
    let red = [1.0, 0.0, 0.0, 0.0];
    let green = [0.0, 1.0, 0.0, 0.0];
    let blue = [0.0, 0.0, 1.0, 0.0];
    let grey = [0.0, 0.0, 0.0, 1.0];
    let half = [0.0, 0.5, 0.5, 0.0];
    for wanted in [
        red, red, red, red, green, green, half, blue, blue, blue, grey, grey,
    ] {
        close(stream.frame(40), wanted);
    }
    // The loop begins again, with the property's transition: half a second.
    close(stream.frame(40), [0.2, 0.0, 0.0, 0.8]);
    // A style set by hand holds until the next line.
    stream.element.set_property("transition", 0_u64);
    stream.element.set_property("style", "blue");
    close(stream.frame(40), blue);
    close(stream.frame(40), blue);
    close(stream.frame(40), blue);
    close(stream.frame(40), green);
}

#[test]
fn a_playlist_that_is_wrong_is_an_error_at_first_and_a_warning_later() {
    let (_dir, element) = common::element(&bytes(net(&[4])));
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("channel.txt");
    std::fs::write(&file, "0 red\n5 purple\n").expect("a file");
    element.set_property("playlist", file.to_str());
    let text = common::refused(&element).error.message().to_string();
    assert!(text.contains("line 2") && text.contains("purple"), "{text}");

    let mut stream = Stream::new(&bytes(net(&[4])), &[]);
    close(stream.frame(40), [1.0, 0.0, 0.0, 0.0]);
    stream.element.set_property("playlist", file.to_str());
    // Read on a thread of its own.
    let begin = std::time::Instant::now();
    let message = loop {
        close(stream.frame(40), [1.0, 0.0, 0.0, 0.0]);
        if let Some(message) = stream.bus.pop_filtered(&[gst::MessageType::Warning]) {
            break message;
        }
        assert!(begin.elapsed().as_secs() < 120, "no warning");
    };
    let gst::MessageView::Warning(warning) = message.view() else {
        unreachable!("filtered");
    };
    assert!(warning.error().message().contains("line 2"));
}

#[test]
fn every_third_frame_is_painted_and_the_others_repeat_it() {
    for in_flight in ["1", "2"] {
        let properties = [("interval", "3"), ("frames-in-flight", in_flight)];
        let mut stream = Stream::new(&negative(13).bytes(), &properties);
        for value in 0..9 {
            stream.push(100 + value);
        }
        stream.harness.push_event(gst::event::Eos::new());
        for number in 0..9 {
            let (colour, tenths) = stream.pull();
            assert_eq!(tenths, number);
            assert_eq!(colour, [155.0 - (number / 3 * 3) as f32; 3], "{number}");
        }
        assert_eq!((stream.stat("frames"), stream.stat("held")), (3, 6));
    }
}

#[test]
fn a_source_that_stays_is_painted_once() {
    let mut stream = Stream::new(&bytes(net(&[4])), &[("reuse", "true"), ("transition", "0")]);
    for value in [40, 40, 40, 41, 41, 40] {
        close(stream.frame(value), [1.0, 0.0, 0.0, 0.0]);
    }
    assert_eq!((stream.stat("frames"), stream.stat("held")), (3, 3));
    // Another style or strength needs inference again.
    stream.element.set_property("style", "green");
    close(stream.frame(40), [0.0, 1.0, 0.0, 0.0]);
    close(stream.frame(40), [0.0, 1.0, 0.0, 0.0]);
    stream.element.set_property("strength", 0.0);
    assert_eq!(stream.frame(40), [40.0; 3]);
    assert_eq!(stream.frame(40), [40.0; 3]);
    assert_eq!((stream.stat("frames"), stream.stat("held")), (5, 5));
}
