// SPDX-License-Identifier: MPL-2.0
//! Effects that change while frames flow, compiled graphs on disk, and the cost of effects that are off.

mod common;

use std::time::{Duration, Instant};

use common::generators::{identity, negative};
use gst::prelude::*;
use gst_check::Harness;
use gst_controller::prelude::*;
use gststylize::graph::{self, Blend, Effects, Format, Frame, Lowering, Memory, Packed, Scaling};
use gststylize::model::{Conventions, Model, Range, Signature};
use gststylize::onnx::{Message, ModelProto};

const CAPS: &str = "video/x-raw,format=RGB,width=64,height=48,framerate=10/1";
const SOURCE: [u8; 3] = [10, 20, 40];
const NEGATIVE: [u8; 3] = [245, 235, 215];

struct Stream {
    _dir: tempfile::TempDir,
    element: gst::Element,
    bus: gst::Bus,
    harness: Harness,
    number: u64,
}

impl Stream {
    fn new(properties: &[(&str, &str)]) -> Self {
        let (_dir, element, bus, harness) =
            common::stream("cpu", &negative(13).bytes(), properties, CAPS);
        Self {
            _dir,
            element,
            bus,
            harness,
            number: 0,
        }
    }

    /// The first and the last pixel of the next frame.
    fn frame(&mut self) -> [[u8; 3]; 2] {
        let mut buffer = gst::Buffer::from_mut_slice(SOURCE.repeat(64 * 48));
        let pts = gst::ClockTime::from_mseconds(100 * self.number);
        buffer.get_mut().expect("fresh").set_pts(pts);
        self.number += 1;
        let out = self.harness.push_and_pull(buffer).expect("a frame");
        assert_eq!(out.pts(), Some(pts));
        let bytes = out.map_readable().expect("bytes");
        let pixel = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2]];
        [pixel(0), pixel(bytes.len() - 3)]
    }

    fn stats(&self) -> gst::Structure {
        self.element.property("stats")
    }

    /// Pushes frames until the statistics satisfy a condition; each must be one of these paintings.
    #[track_caller]
    fn until(&mut self, field: &str, value: &str, colours: &[[u8; 3]]) {
        let begin = Instant::now();
        loop {
            let [seen, _] = self.frame();
            assert!(colours.contains(&seen), "{seen:?}");
            let stats = self.stats();
            let now = stats.value(field).expect("a field").transform::<String>();
            if now.expect("text").get::<String>().as_deref() == Ok(value) {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "never");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(self.stats().get::<u64>("frames"), Ok(self.number));
    }

    fn warnings(&self) -> Vec<String> {
        std::iter::from_fn(|| self.bus.pop())
            .filter_map(|message| match message.view() {
                gst::MessageView::Warning(warning) => Some(warning.error().message().to_string()),
                gst::MessageView::Error(error) => panic!("{error:?}"),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn size_upscaling_and_colour_change_between_two_frames() {
    let mut stream = Stream::new(&[]);
    assert_eq!(stream.frame()[0], NEGATIVE);
    stream.element.set_property("inference-height", 24_u32);
    stream.until("inference-height", "24", &[NEGATIVE]);
    stream.element.set_property_from_str("upscale", "guided");
    stream.until("upscale", "guided", &[NEGATIVE]);
    stream.element.set_property_from_str("color", "source");
    // 10, 20, 40 plus the difference between the luma of 245, 235, 215 and theirs.
    stream.until("color", "source", &[NEGATIVE, [226, 236, 255]]);
    assert_eq!(stream.frame()[0], [226, 236, 255]);
    stream.element.set_property_from_str("color", "match");
    stream.until("color", "match", &[[226, 236, 255], SOURCE]);
    // A uniform picture has the mean of the source.
    assert_eq!(stream.frame()[0], SOURCE);
    assert_eq!(stream.stats().get::<u64>("passed"), Ok(0));
    assert!(stream.warnings().is_empty());
}

#[test]
fn the_split_moves_with_every_frame_and_compiles_nothing() {
    let mut stream = Stream::new(&[]);
    for (split, wanted) in [
        (0.0, [NEGATIVE, NEGATIVE]),
        (0.5, [SOURCE, NEGATIVE]),
        (1.0, [SOURCE, SOURCE]),
        (0.01, [SOURCE, NEGATIVE]),
        (0.0, [NEGATIVE, NEGATIVE]),
    ] {
        stream.element.set_property("split", split);
        assert_eq!(stream.frame(), wanted, "{split}");
    }
    assert_eq!(stream.stats().get::<u64>("compiled-graphs"), Ok(1));
}

#[test]
fn the_split_follows_a_controller() {
    let mut stream = Stream::new(&[]);
    let source = gst_controller::InterpolationControlSource::new();
    source.set_mode(gst_controller::InterpolationMode::Linear);
    source.set(gst::ClockTime::ZERO, 0.0);
    source.set(gst::ClockTime::from_mseconds(200), 1.0);
    let binding = gst_controller::DirectControlBinding::new(&stream.element, "split", &source);
    stream.element.add_control_binding(&binding).expect("bound");
    assert_eq!(stream.frame(), [NEGATIVE, NEGATIVE]);
    assert_eq!(stream.frame(), [SOURCE, NEGATIVE]);
    assert_eq!(stream.frame(), [SOURCE, SOURCE]);
}

#[test]
fn graphs_are_dumped_whole_and_a_bad_path_is_a_warning() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("graph.onnx");
    let path = file.to_str().expect("UTF-8");
    let mut stream = Stream::new(&[("dump-graph", path)]);
    stream.frame();
    let read = || ModelProto::decode(&std::fs::read(&file).expect("a file")[..]);
    let inputs = read().expect("a graph").graph.expect("a graph").input.len();
    assert_eq!(inputs, 4);
    // Again, while playing.
    std::fs::remove_file(&file).expect("removed");
    stream.element.set_property_from_str("color", "source");
    stream.until("color", "source", &[NEGATIVE, [226, 236, 255]]);
    assert!(read().is_ok());
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
    assert!(stream.warnings().is_empty());

    let mut stream = Stream::new(&[("dump-graph", "/nowhere/graph.onnx")]);
    assert_eq!(stream.frame()[0], NEGATIVE);
    let warnings = stream.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("/nowhere/graph.onnx") && warnings[0].contains("dump-graph"));
}

/// Operators of the graph for RGB frames of 64x48 around an identity.
fn operators(effects: &Effects, blend: Blend, scaling: Scaling) -> Vec<String> {
    let model = Model::parse(identity(17).bytes()).expect("a model");
    let conventions = Conventions {
        input_range: Some(Range::UNIT),
        minimum: Some(1),
        ..Conventions::default()
    };
    let memory = Memory {
        strides: [192, 0, 0],
        ..Memory::default()
    };
    let frame = Frame {
        format: Format::Packed(Packed {
            bytes: 3,
            rgb: [0, 1, 2],
        }),
        width: 64,
        height: 48,
        source: memory,
        target: memory,
    };
    let forms = Lowering {
        blend,
        scaling,
        early_pad: false,
        half: false,
        frame: graph::FrameInputs::Two,
        kernels: graph::Kernels::All,
    };
    let signature = Signature::resolve(&model, &conventions);
    let graph = graph::compile(&model, &signature, &frame, *effects, forms).expect("a graph");
    let graph = ModelProto::decode(&graph[..])
        .expect("a graph")
        .graph
        .expect("a graph");
    graph.node.iter().map(|node| node.op_type.clone()).collect()
}

#[test]
fn effects_that_are_off_leave_nothing_in_the_graph() {
    // Input and generator, then output. The operators of the split process one row of pixels (Sub, Clip, Reshape, Mul),
    // or one number (Sub).
    let mixed = "Reshape Mul Cast Sub Clip Reshape Mul Sub Mul Add Clip Round Cast";
    let always = format!("Reshape Transpose Cast Mul Reshape Identity Transpose {mixed}");
    let branch = "Reshape Transpose Cast Mul Reshape Identity Sub Less If";
    let kernels = Scaling::Kernels;
    let off = Effects::default();
    let words = |text: &str| {
        text.split_whitespace()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(operators(&off, Blend::Always, kernels), words(&always));
    assert_eq!(operators(&off, Blend::Branch, kernels), words(branch));
    // The height of the frame: not scaled.
    let high = Effects {
        inference_height: 48,
        upscale: graph::Upscale::Guided,
        ..off
    };
    assert_eq!(operators(&high, Blend::Branch, kernels), words(branch));
    let small = Effects {
        inference_height: 24,
        ..off
    };
    let branch = branch.replace(
        "Mul Reshape Identity",
        "AveragePool Mul Reshape Identity Resize",
    );
    assert_eq!(operators(&small, Blend::Branch, kernels), words(&branch));
    // Tiles: only whole rows are concatenated.
    let row = "Pad Conv Transpose Reshape";
    let tiles = format!(
        "Reshape Cast Transpose Conv Mul Mul Reshape Identity {row} {row} Concat Reshape {mixed}"
    );
    let products = Scaling::Products;
    assert_eq!(operators(&small, Blend::Always, products), words(&tiles));
}

#[test]
fn effects_go_together() {
    // All effects together: left of the split is the source, in each frame.
    let mut stream = Stream::new(&[
        ("inference-height", "24"),
        ("upscale", "guided"),
        ("color", "match"),
        ("stability", "0.8"),
        ("split", "0.5"),
    ]);
    for _ in 0..3 {
        assert_eq!(stream.frame(), [SOURCE, SOURCE]);
    }
    stream.element.set_property_from_str("color", "style");
    stream.until("color", "style", &[SOURCE]);
    assert_eq!(stream.frame(), [SOURCE, NEGATIVE]);
    // Repeated paintings must not use a source buffer that has been released.
    let mut stream = Stream::new(&[("interval", "3"), ("split", "0.5")]);
    for _ in 0..3 {
        assert_eq!(stream.frame(), [SOURCE, NEGATIVE]);
    }
    assert_eq!(stream.stats().get::<u64>("frames"), Ok(3));
}
