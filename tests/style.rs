// SPDX-License-Identifier: MPL-2.0
//! Generators with many styles: names, mixes, transitions, blends, and styles from an image.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::generators::{F32, Net, ints};
use common::styled::{NAMES, bytes, close, net, painter};
use gst::prelude::*;
use gst_check::Harness;
use gst_controller::prelude::*;

const CAPS: &str = "video/x-raw,format=RGB,width=32,height=16,framerate=10/1";

fn harness(element: &gst::Element) -> Harness {
    let mut harness = Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_src_caps_str(CAPS);
    harness
}

/// Pushes the frame of this number, one every 0.1 s. Returns the colour of the output.
fn frame(harness: &mut Harness, number: u64) -> [f32; 3] {
    let mut buffer = gst::Buffer::from_slice([40_u8; 32 * 16 * 3]);
    let pts = gst::ClockTime::from_mseconds(100 * number);
    buffer.get_mut().expect("fresh").set_pts(pts);
    let out = harness.push_and_pull(buffer).expect("a frame");
    assert_eq!(out.pts(), Some(pts));
    let bytes = out.map_readable().expect("bytes");
    assert!(bytes.chunks(3).all(|pixel| pixel == &bytes[..3]));
    [0, 1, 2].map(|c| f32::from(bytes[c]))
}

fn warnings(bus: &gst::Bus) -> Vec<String> {
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning]))
        .filter_map(|message| match message.view() {
            gst::MessageView::Warning(warning) => Some(warning.error().message().to_string()),
            _ => None,
        })
        .collect()
}

/// The message of the only error of an element that does not start.
#[track_caller]
fn refused(element: &gst::Element) -> String {
    common::refused(element).error.message().to_string()
}

#[test]
fn names_numbers_and_mixes() {
    for provider in common::PROVIDERS {
        for dims in [&[4][..], &[1, 4], &[1, 4, 1, 1]] {
            let (_dir, element) = common::element_on(provider, &bytes(net(dims)));
            let names: Vec<String> = NAMES.split(',').map(Into::into).collect();
            assert_eq!(element.property::<Vec<String>>("styles"), names);
            for (style, weights) in [
                (None, [1.0, 0.0, 0.0, 0.0]),
                (Some("blue"), [0.0, 0.0, 1.0, 0.0]),
                (Some("1"), [0.0, 1.0, 0.0, 0.0]),
                (Some("red:0.7,green:0.3"), [0.7, 0.3, 0.0, 0.0]),
                (Some("grey,blue:3"), [0.0, 0.0, 0.75, 0.25]),
            ] {
                element.set_property("style", style);
                close(frame(&mut harness(&element), 0), weights);
            }
        }
    }
}

#[test]
fn a_sidecar_names_the_styles() {
    let mut net = net(&[4]);
    net.model
        .metadata_props
        .retain(|p| p.key != "stylize.styles");
    let (dir, element) = common::element(&bytes(net));
    assert_eq!(
        element.property::<Vec<String>>("styles"),
        ["0", "1", "2", "3"]
    );
    let sidecar = "[modelinfo]\nversion=1.0\n[stylize]\nstyles=a,b,c,d\n";
    std::fs::write(dir.path().join("model.onnx.modelinfo"), sidecar).expect("a file");
    assert_eq!(
        element.property::<Vec<String>>("styles"),
        ["a", "b", "c", "d"]
    );
    element.set_property("style", "c");
    close(frame(&mut harness(&element), 0), [0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn a_change_glides_frame_by_frame_without_a_new_graph() {
    let (_dir, element) = common::element(&bytes(net(&[4])));
    element.set_property("transition", 400_000_000_u64);
    let mut harness = harness(&element);
    close(frame(&mut harness, 0), [1.0, 0.0, 0.0, 0.0]);
    element.set_property("style", "green");
    close(frame(&mut harness, 1), [0.75, 0.25, 0.0, 0.0]);
    close(frame(&mut harness, 2), [0.5, 0.5, 0.0, 0.0]);
    // A change during a transition starts from its current mix.
    element.set_property("style", "blue:1,grey:1");
    close(frame(&mut harness, 3), [0.375, 0.375, 0.125, 0.125]);
    for (number, share) in [(4, 0.5), (5, 0.75), (6, 1.0), (7, 1.0)] {
        let rest = (1.0 - share) / 2.0;
        close(
            frame(&mut harness, number),
            [rest, rest, share / 2.0, share / 2.0],
        );
    }
    element.set_property("transition", 0_u64);
    element.set_property("style", None::<&str>);
    close(frame(&mut harness, 8), [1.0, 0.0, 0.0, 0.0]);
    let stats = element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("compiled-graphs"), Ok(1));
}

#[test]
fn a_flush_ends_a_glide() {
    let (_dir, element) = common::element(&bytes(net(&[4])));
    let mut harness = harness(&element);
    close(frame(&mut harness, 100), [1.0, 0.0, 0.0, 0.0]);
    element.set_property("style", "green");
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<
        gst::ClockTime,
    >::new()));
    close(frame(&mut harness, 0), [0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn the_blend_is_driven_by_hand() {
    let (_dir, element) = common::element(&bytes(net(&[4])));
    element.set_property("style", "grey");
    element.set_property("style-b", "blue");
    let control = gst_controller::InterpolationControlSource::new();
    control.set_property("mode", gst_controller::InterpolationMode::Linear);
    let binding = gst_controller::DirectControlBinding::new(&element, "style-mix", &control);
    element.add_control_binding(&binding).expect("controllable");
    assert!(control.set(gst::ClockTime::ZERO, 0.0));
    assert!(control.set(gst::ClockTime::SECOND, 1.0));
    let mut harness = harness(&element);
    for number in [0, 3, 5, 10] {
        let share = number as f32 / 10.0;
        close(frame(&mut harness, number), [0.0, 0.0, share, 1.0 - share]);
    }
    // A new end of the blend, which takes effect at once.
    assert!(control.set(gst::ClockTime::SECOND, 0.5));
    element.set_property("style-a", "red:1,green:1");
    close(frame(&mut harness, 11), [0.25, 0.25, 0.5, 0.0]);
    element.set_property("style-b", None::<&str>);
    close(frame(&mut harness, 12), [0.5, 0.5, 0.0, 0.0]);
    element.set_property("style-a", None::<&str>);
    close(frame(&mut harness, 13), [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn an_unknown_style_is_an_error_at_first_and_a_warning_later() {
    let (_dir, element) = common::element(&bytes(net(&[4])));
    for name in ["style", "style-a", "style-b"] {
        element.set_property(name, "gren");
        let text = refused(&element);
        assert!(text.contains("did you mean \"green\"?"), "{text}");
        assert!(text.contains("red, green, blue, grey"), "{text}");
        element.set_property(name, None::<&str>);
    }
    let mut harness = harness(&element);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    close(frame(&mut harness, 0), [1.0, 0.0, 0.0, 0.0]);
    element.set_property("style", "purple");
    for number in 1..4 {
        close(frame(&mut harness, number), [1.0, 0.0, 0.0, 0.0]);
    }
    let warned = warnings(&bus);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("purple"), "{warned:?}");
    assert!(common::errors(&bus).is_empty());
}

#[test]
fn a_generator_of_one_style_has_a_name() {
    let net = common::generators::identity(13).meta("stylize.name", "mirror");
    let (_dir, element) = common::element(&net.bytes());
    assert_eq!(element.property::<Vec<String>>("styles"), ["mirror"]);
    element.set_property("style", "mirror");
    assert_eq!(frame(&mut harness(&element), 0), [40.0; 3]);
    element.set_property("style", "window");
    assert!(refused(&element).contains("The styles are: mirror."));
    element.set_property("style", None::<&str>);
    element.set_property("style-image", "painting.jpg");
    assert!(refused(&element).contains("style-image"));
}

/// A generator with a predictor: the mean colour of an image, and a generator that paints in it.
fn two_networks() -> (tempfile::TempDir, gst::Element) {
    let predictor = Net::new(13)
        .input("painting", F32, &[1, 8, 8, 3])
        .output("vector", F32, &[1, 1, 1, 3])
        .node(
            "ReduceMean",
            &["painting"],
            "vector",
            vec![ints("axes", &[1, 2])],
        );
    let generator = painter(&[1, 1, 1, 3]).node("Identity", &["mix"], "colour", vec![]);
    let mut generator = generator;
    let graph = generator.model.graph.get_or_insert_default();
    graph.node.rotate_right(1);
    let (dir, element) = common::element(&generator.bytes());
    std::fs::write(dir.path().join("predictor.onnx"), predictor.bytes()).expect("a file");
    for (name, colour) in [("dusk", [200, 100, 50]), ("dawn", [50, 150, 250])] {
        let painting = image::RgbImage::from_pixel(20, 20, image::Rgb(colour));
        let file = dir.path().join(name).with_extension("png");
        painting.save(file).expect("a file");
    }
    (dir, element)
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().expect("UTF-8").into()
}

#[test]
fn a_painting_is_a_style() {
    let (dir, element) = two_networks();
    element.set_property("style-predictor", path(dir.path(), "predictor.onnx"));
    element.set_property("style-image", path(dir.path(), "dusk.png"));
    element.set_property("transition", 400_000_000_u64);
    assert!(element.property::<Vec<String>>("styles").is_empty());
    let mut harness = harness(&element);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert_eq!(frame(&mut harness, 0), [200.0, 100.0, 50.0]);

    // Predicted in the background; the transition is in running time.
    element.set_property("style-image", path(dir.path(), "dawn.png"));
    let begin = Instant::now();
    let mut number = 1;
    let mut seen = frame(&mut harness, number);
    while seen == [200.0, 100.0, 50.0] {
        assert!(begin.elapsed() < Duration::from_secs(120), "never");
        std::thread::sleep(Duration::from_millis(5));
        number += 1;
        seen = frame(&mut harness, number);
    }
    let near = |a: f32, b: f32| (a - b).abs() <= 1.0;
    assert!(near(seen[0], 162.5) && near(seen[2], 100.0), "{seen:?}");
    for step in 1..4 {
        seen = frame(&mut harness, number + step);
    }
    assert_eq!(seen, [50.0, 150.0, 250.0]);

    // A file that is not an image changes nothing.
    element.set_property("style-image", path(dir.path(), "predictor.onnx"));
    let mut warned = Vec::new();
    while warned.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(120), "no warning");
        std::thread::sleep(Duration::from_millis(5));
        number += 1;
        assert_eq!(frame(&mut harness, number + 3), [50.0, 150.0, 250.0]);
        warned = warnings(&bus);
    }
    assert!(warned[0].contains("predictor.onnx"), "{warned:?}");
}

#[test]
fn what_a_painting_needs_is_said() {
    let (dir, element) = two_networks();
    assert!(refused(&element).contains("Set style-predictor"));
    let sidecar = "[modelinfo]\nversion=1.0\n[stylize]\nstyle-predictor=predictor.onnx\n";
    std::fs::write(dir.path().join("model.onnx.modelinfo"), sidecar).expect("a file");
    assert!(refused(&element).contains("Set style-image"));
    element.set_property("style-image", path(dir.path(), "none.png"));
    assert!(refused(&element).contains("none.png"));
    element.set_property("style-image", path(dir.path(), "dawn.png"));
    element.set_property("style", "dawn");
    assert!(refused(&element).contains("takes its style from a painting"));
    element.set_property("style", None::<&str>);
    element.set_property("style-predictor", path(dir.path(), "model.onnx"));
    assert!(refused(&element).contains("style predictor has one"));
    element.set_property("style-predictor", None::<&str>);
    assert_eq!(frame(&mut harness(&element), 0), [50.0, 150.0, 250.0]);
}

/// Resident memory of this process, bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_usize) * 4096
}

#[test]
fn a_thousand_changes_in_a_live_pipeline_lose_nothing() {
    const FRAMES: u64 = 400;
    let (dir, element) = common::element(&bytes(net(&[4])));
    element.set_property("transition", 30_000_000_u64);
    let source = gst::ElementFactory::make("videotestsrc")
        .property("is-live", true)
        .property("num-buffers", FRAMES as i32)
        .build()
        .expect("a source");
    let caps = "video/x-raw,format=RGB,width=64,height=48,framerate=100/1";
    let sink = gst_app::AppSink::builder()
        .caps(&caps.parse().expect("caps"))
        .sync(false)
        .build();
    let pipeline = gst::Pipeline::new();
    let elements = [&source, &element, sink.upcast_ref()];
    pipeline.add_many(elements).expect("elements");
    gst::Element::link_many(elements).expect("links");
    pipeline.set_state(gst::State::Playing).expect("plays");

    let latency = || {
        let mut query = gst::query::Latency::new();
        assert!(pipeline.query(&mut query));
        query.result()
    };
    let first = sink.pull_sample().expect("a frame");
    let before = latency();
    let changer = {
        let element = element.clone();
        std::thread::spawn(move || {
            // Gaps of 0 to 6 ms without a regular pattern.
            let mut state = 1_u32;
            let mut halfway = 0;
            for change in 0..1000 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (a, b) = (state >> 30, (state >> 28) & 3);
                let share = f64::from(state >> 8 & 0xff) / 255.0;
                let mix = format!("{a}:{share},{b}:{}", 1.0 - share);
                element.set_property("style", mix);
                std::thread::sleep(Duration::from_micros(u64::from(state >> 12 & 0x3ff) * 6));
                if change == 500 {
                    halfway = resident();
                }
            }
            halfway
        })
    };
    let mut samples = vec![first];
    while let Ok(sample) = sink.pull_sample() {
        samples.push(sample);
    }
    assert!(sink.is_eos());
    let (_, min, _) = latency();
    // The latency is measured, and reported in steps.
    let most = before.1 + gst::ClockTime::from_mseconds(20);
    assert!(min <= most, "{min} and {before:?}");
    let halfway = changer.join().expect("changes");
    let grown = resident().saturating_sub(halfway);
    pipeline.set_state(gst::State::Null).expect("stopped");
    drop(dir);

    assert_eq!(samples.len() as u64, FRAMES);
    let pts = |sample: &gst::Sample| sample.buffer().and_then(|buffer| buffer.pts());
    let mut moved = 0;
    let mut last = [0; 3];
    for (number, sample) in samples.iter().enumerate() {
        let since = pts(sample)
            .zip(pts(&samples[0]))
            .map(|(pts, first)| pts - first);
        assert_eq!(
            since,
            Some(gst::ClockTime::from_mseconds(10 * number as u64))
        );
        let buffer = sample.buffer().expect("a buffer");
        let bytes = buffer.map_readable().expect("bytes");
        let colour = [bytes[0], bytes[1], bytes[2]];
        // In every mix the weights sum to 1.
        let sum: i32 = colour.iter().map(|v| i32::from(*v)).sum();
        assert!((sum - 255).abs() <= 3, "{colour:?}");
        moved += usize::from(colour != last);
        last = colour;
    }
    assert!(moved > FRAMES as usize / 2, "only {moved} frames moved");
    let stats = element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("compiled-graphs"), Ok(1));
    assert_eq!(stats.get::<u64>("dropped"), Ok(0));
    assert!(grown < 16 << 20, "{grown} bytes more");
}
