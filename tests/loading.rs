// SPDX-License-Identifier: MPL-2.0
//! Generators that are replaced while frames flow, and frames that cannot be stylized.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::generators::{F32, NCHW, Net, fragile, negative, rotate_channels};
use gst::prelude::*;
use gst_check::Harness;

const CAPS: &str = "video/x-raw,format=RGB,width=32,height=16,framerate=10/1";

type Colour = [u8; 3];
const SOURCE: Colour = [10, 20, 40];
const NEGATIVE: Colour = [245, 235, 215];
const ROTATED: Colour = [20, 40, 10];

struct Stream {
    _dir: tempfile::TempDir,
    element: gst::Element,
    bus: gst::Bus,
    harness: Harness,
    number: u64,
}

impl Stream {
    fn new(net: &Net, properties: &[(&str, &str)]) -> Self {
        let (_dir, element, bus, harness) = common::stream("cpu", &net.bytes(), properties, CAPS);
        Self {
            _dir,
            element,
            bus,
            harness,
            number: 0,
        }
    }

    fn push(&mut self, colour: Colour) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut buffer = gst::Buffer::from_mut_slice(colour.repeat(32 * 16));
        let pts = gst::ClockTime::from_mseconds(100 * self.number);
        buffer.get_mut().expect("fresh").set_pts(pts);
        self.number += 1;
        self.harness.push(buffer)
    }

    fn pull(&mut self) -> Colour {
        let out = self.harness.pull().expect("a frame");
        let bytes = out.map_readable().expect("bytes");
        assert!(bytes.chunks(3).all(|pixel| pixel == &bytes[..3]));
        [bytes[0], bytes[1], bytes[2]]
    }

    fn frame(&mut self, colour: Colour) -> Colour {
        self.push(colour).expect("taken");
        self.pull()
    }

    /// Pushes frames until one looks like this; the others must look like `before`.
    #[track_caller]
    fn until(&mut self, before: Colour, after: Colour) -> u64 {
        let begin = Instant::now();
        let mut frames = 0;
        loop {
            assert!(begin.elapsed() < Duration::from_secs(120), "never");
            let seen = self.frame(SOURCE);
            if seen == after {
                return frames;
            }
            assert_eq!(seen, before);
            frames += 1;
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn stat(&self, name: &str) -> u64 {
        let stats = self.element.property::<gst::Structure>("stats");
        stats.get(name).expect("a count")
    }

    /// States of the `stylize-loading` messages, and texts of the warnings.
    fn said(&self) -> (Vec<String>, Vec<String>) {
        let (mut states, mut warnings) = (Vec::new(), Vec::new());
        while let Some(message) = self.bus.pop() {
            match message.view() {
                gst::MessageView::Element(element) => {
                    let structure = element.structure().expect("a structure");
                    match structure.name().as_str() {
                        "stylize-loading" => {
                            states.push(structure.get("state").expect("a state"));
                        }
                        name => assert_eq!(name, "stylize-provider"),
                    }
                }
                gst::MessageView::Warning(warning) => {
                    warnings.push(warning.error().message().to_string());
                }
                gst::MessageView::Error(error) => panic!("{error:?}"),
                _ => (),
            }
        }
        (states, warnings)
    }
}

fn file(dir: &Path, name: &str, net: &Net) -> String {
    let file = dir.join(name);
    std::fs::write(&file, net.bytes()).expect("a file");
    file.to_str().expect("UTF-8").into()
}

#[test]
fn frames_wait_for_the_generator_unless_told_otherwise() {
    let mut stream = Stream::new(&negative(13), &[]);
    assert_eq!(stream.frame(SOURCE), NEGATIVE);
    assert_eq!(stream.stat("passed"), 0);
    let (states, warnings) = stream.said();
    assert_eq!(states, ["loading", "loaded", "compiling", "compiled"]);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn frames_pass_while_the_generator_is_loaded_and_compiled() {
    for frames in ["1", "3"] {
        for how in ["passthrough", "hold"] {
            let properties = [("while-loading", how), ("frames-in-flight", frames)];
            let mut stream = Stream::new(&negative(13), &properties);
            let mut seen = Vec::new();
            let begin = Instant::now();
            while seen.last() != Some(&NEGATIVE) {
                assert!(begin.elapsed() < Duration::from_secs(120), "never");
                stream.push(SOURCE).expect("taken");
                let ready = stream.harness.buffers_in_queue();
                seen.extend((0..ready).map(|_| stream.pull()));
            }
            assert_eq!(seen[0], SOURCE);
            assert!(seen.is_sorted_by_key(|colour| *colour == NEGATIVE));
            stream.harness.push_event(gst::event::Eos::new());
            let frames = stream.number;
            assert_eq!(u64::from(stream.harness.buffers_received()), frames);
            assert_eq!(stream.stat("passed") + stream.stat("frames"), frames);
            let (states, warnings) = stream.said();
            assert_eq!(states, ["loading", "loaded", "compiling", "compiled"]);
            assert!(warnings.is_empty(), "{warnings:?}");
        }
    }
}

#[test]
fn properties_of_the_start_hold_until_the_next_one() {
    let properties = [
        ("while-loading", "passthrough"),
        ("on-error", "passthrough"),
    ];
    let mut stream = Stream::new(&negative(13), &properties);
    stream
        .element
        .set_property_from_str("while-loading", "block");
    stream.element.set_property_from_str("on-error", "fail");
    stream.element.set_property("interval", 5_u32);
    stream.until(SOURCE, NEGATIVE);
    for _ in 0..10 {
        stream.frame(SOURCE);
    }
    assert_eq!(stream.stat("held"), 0, "interval is of the next start");
    assert!(common::errors(&stream.bus).is_empty());
    // The property reads as it was set.
    let set = stream.element.property_value("while-loading");
    assert_eq!(
        set.get::<gststylize::stylize::WhileLoading>(),
        Ok(gststylize::stylize::WhileLoading::Block)
    );
}

#[test]
fn a_generator_that_cannot_be_loaded_later_is_one_error() {
    common::init();
    let element = gst::ElementFactory::make("stylize")
        .property("model-file", "/nowhere/model.onnx")
        .property_from_str("while-loading", "passthrough")
        .build()
        .expect("stylize");
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str(CAPS);
    let begin = Instant::now();
    let frame = || gst::Buffer::from_slice([9; 32 * 16 * 3]);
    while harness.push(frame()).is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(120), "never");
    }
    let errors = common::errors(&bus);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].error.message().contains("/nowhere/model.onnx"));
}

#[test]
fn another_generator_takes_over_between_two_frames() {
    let mut stream = Stream::new(&negative(13), &[]);
    assert_eq!(stream.frame(SOURCE), NEGATIVE);
    let dir = tempfile::tempdir().expect("a folder");
    let rotated = file(dir.path(), "rotate.onnx", &rotate_channels(13));
    stream.said();
    stream.element.set_property("model-file", &rotated);
    stream.until(NEGATIVE, ROTATED);
    assert_eq!(stream.said().0, ["loading", "loaded"]);
    assert_eq!(stream.stat("frames"), stream.number);
    let stats = stream.element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<String>("model").as_ref(), Ok(&rotated));
}

#[test]
fn a_generator_that_fails_leaves_the_old_one_in_place() {
    let mut stream = Stream::new(&negative(13), &[]);
    stream.frame(SOURCE);
    stream.said();
    stream
        .element
        .set_property("model-file", "/nowhere/model.onnx");
    let begin = Instant::now();
    let (mut states, mut warnings) = (Vec::new(), Vec::new());
    while warnings.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(120), "no warning");
        assert_eq!(stream.frame(SOURCE), NEGATIVE);
        let (more_states, more_warnings) = stream.said();
        states.extend(more_states);
        warnings.extend(more_warnings);
    }
    assert_eq!(states, ["loading", "failed"]);
    assert!(warnings[0].contains("/nowhere/model.onnx"), "{warnings:?}");
    // Loading is not tried again.
    assert_eq!(stream.frame(SOURCE), NEGATIVE);
    assert!(stream.said().0.is_empty());
}

/// A generator of two styles: the first is an identity, the second paints `colour`.
fn painter(names: &str, colour: [f32; 3]) -> Net {
    Net::new(13)
        .input("x", F32, &NCHW)
        .input("mix", F32, &[2])
        .output("y", F32, &NCHW)
        .meta("stylize.styles", names)
        .meta("stylize.input-range", "0,255")
        .meta("stylize.size-multiple", "1")
        .meta("stylize.size-minimum", "1")
        .integers("first", &[0])
        .integers("second", &[1])
        .floats("paint", &[1, 3, 1, 1], &colour)
        .node("Gather", &["mix", "first"], "share", vec![])
        .node("Gather", &["mix", "second"], "rest", vec![])
        .node("Mul", &["x", "share"], "kept", vec![])
        .node("Mul", &["paint", "rest"], "painted", vec![])
        .node("Add", &["kept", "painted"], "y", vec![])
}

#[test]
fn a_generator_and_its_style_change_together() {
    let net = painter("clear,red", [255.0, 0.0, 0.0]);
    let mut stream = Stream::new(&net, &[("style", "red"), ("transition", "0")]);
    assert_eq!(stream.frame(SOURCE), [255, 0, 0]);
    let dir = tempfile::tempdir().expect("a folder");
    let blue = painter("none,blue", [0.0, 0.0, 255.0]);
    let blue = file(dir.path(), "blue.onnx", &blue);
    stream.element.set_property("model-file", blue);
    // The new generator is loaded with a style that it does not have.
    assert_eq!(stream.frame(SOURCE), [255, 0, 0]);
    stream.element.set_property("style", "blue");
    stream.until([255, 0, 0], [0, 0, 255]);
    assert!(stream.said().1.is_empty());
}

fn fragile_stream(on_error: &str) -> Stream {
    let properties = [("transition", "0"), ("on-error", on_error)];
    Stream::new(&fragile(), &properties)
}

#[test]
fn a_frame_that_cannot_be_stylized_is_an_error_unless_told_otherwise() {
    let mut stream = fragile_stream("fail");
    assert_eq!(stream.frame(SOURCE), SOURCE);
    stream.element.set_property("style", "broken");
    stream.said();
    assert_eq!(stream.push(SOURCE), Err(gst::FlowError::Error));
    let errors = common::errors(&stream.bus);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].error.message().contains("failed on a frame"));
}

#[test]
fn a_painting_that_failed_does_for_no_other_frame() {
    for frames in ["1", "3"] {
        let mut stream = fragile_stream("hold");
        stream.element.set_state(gst::State::Null).expect("stopped");
        stream.element.set_property("reuse", true);
        stream
            .element
            .set_property_from_str("frames-in-flight", frames);
        stream
            .element
            .set_state(gst::State::Playing)
            .expect("playing");
        stream.harness.set_src_caps_str(CAPS);
        assert_eq!(stream.frame(SOURCE), SOURCE);
        stream.element.set_property("style", "broken");
        for failed in 1..4 {
            // The same source: the last painting is of another one, so this one is tried again.
            assert_eq!(stream.frame([3, 2, 1]), SOURCE);
            assert_eq!(stream.stat("failed"), failed);
        }
    }
}

#[test]
fn a_substitute_is_shown_and_counted() {
    for (on_error, shown, counter) in [
        ("passthrough", [3, 2, 1], "passed"),
        ("hold", SOURCE, "held"),
    ] {
        let mut stream = fragile_stream(on_error);
        stream.element.set_property("style", "broken");
        assert_eq!(stream.frame([9, 9, 9]), [9, 9, 9], "nothing to hold yet");
        stream.element.set_property("style", "sound");
        assert_eq!(stream.frame(SOURCE), SOURCE);
        assert_eq!(stream.said().1.len(), 1);
        stream.element.set_property("style", "broken");
        for _ in 0..3 {
            assert_eq!(stream.frame([3, 2, 1]), shown);
        }
        let warnings = stream.said().1;
        assert_eq!(warnings.len(), 1, "one for a row: {warnings:?}");
        stream.element.set_property("style", "sound");
        assert_eq!(stream.frame([3, 2, 1]), [3, 2, 1]);
        assert_eq!(stream.stat("failed"), 4);
        assert_eq!(stream.stat("frames"), 2);
        let others = if counter == "held" { 1 } else { 0 };
        assert_eq!(stream.stat(counter), 4 - others);
    }
}
