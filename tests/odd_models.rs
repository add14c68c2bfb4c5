// SPDX-License-Identifier: MPL-2.0
//! Models with constructs that few exporters use, or without conventions that they should state.

mod common;

use common::generators::{F32, NCHW, Net, int, ints, open};
use common::picture::Picture;
use gst::prelude::*;
use gststylize::engine::probe::probe;
use gststylize::engine::session::load;
use gststylize::engine::{Choice, Runtime};
use gststylize::graph::{self, Blend, Effects, Format, Frame, Lowering, Memory, Packed};
use gststylize::model::{Conventions, Model, Signature, metadata};
use gststylize::onnx::attribute_proto::AttributeType;
use gststylize::onnx::{AttributeProto, StringStringEntryProto, tensor_proto::DataLocation};
use ort::value::Tensor;

const SIZE: (usize, usize) = (96, 64);

fn info() -> gst_video::VideoInfo {
    gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, SIZE.0 as u32, SIZE.1 as u32)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .expect("video info")
}

/// Runs pictures through an element.
fn play(element: &gst::Element, pictures: &[Picture]) -> Vec<Picture> {
    let info = info();
    let mut harness = gst_check::Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_src_caps(info.to_caps().expect("caps"));
    let mut play = |(number, picture): (usize, &Picture)| {
        let stride = info.stride()[0] as usize;
        let mut buffer = picture.buffer(gst_video::VideoFormat::Rgb, "RGB", stride);
        let pts = gst::ClockTime::from_mseconds(40 * number as u64);
        buffer.get_mut().expect("fresh").set_pts(pts);
        let out = harness.push_and_pull(buffer).expect("a frame");
        Picture::read(&out, &info, "RGB")
    };
    pictures.iter().enumerate().map(&mut play).collect()
}

/// A picture of one colour, with another in a square.
fn square(ground: u8, inside: u8) -> Picture {
    let pixels = (0..SIZE.0 * SIZE.1).map(|i| {
        let (x, y) = (i % SIZE.0, i / SIZE.0);
        let value = match (16..40).contains(&x) && (16..40).contains(&y) {
            true => inside,
            false => ground,
        };
        [value, value, value, 0]
    });
    Picture {
        width: SIZE.0,
        height: SIZE.1,
        pixels: pixels.collect(),
    }
}

#[track_caller]
fn near(found: &Picture, wanted: &Picture, most: u8) {
    for (found, wanted) in found.pixels.iter().zip(&wanted.pixels) {
        for channel in 0..3 {
            let difference = found[channel].abs_diff(wanted[channel]);
            assert!(difference <= most, "{found:?}, not {wanted:?}");
        }
    }
}

#[test]
fn weights_beside_the_model_are_played() {
    let mut net =
        open(13, "0,1", 1)
            .floats("one", &[1], &[1.0])
            .node("Sub", &["one", "x"], "y", vec![]);
    let tensor = &mut net.model.graph.get_or_insert_default().initializer[0];
    let weights = std::mem::take(&mut tensor.raw_data);
    tensor.data_location = DataLocation::External.into();
    let entries = [
        ("location", "model.onnx.data"),
        ("offset", "8"),
        ("length", "4"),
    ];
    tensor.external_data = entries
        .map(|(key, value)| StringStringEntryProto {
            key: key.into(),
            value: value.into(),
        })
        .into();
    let (dir, element) = common::element(&net.bytes());
    let data = [&[0xff; 8][..], &weights].concat();
    std::fs::write(dir.path().join("model.onnx.data"), data).expect("a file");
    let found = play(&element, &[square(10, 200)]);
    near(&found[0], &square(245, 55), 0);
    // If it is missing, the error says what is expected.
    std::fs::remove_file(dir.path().join("model.onnx.data")).expect("removed");
    let error = common::refused(&element).error;
    assert!(error.matches(gst::ResourceError::OpenRead), "{error}");
    assert!(error.message().contains("model.onnx.data"), "{error}");
}

#[test]
fn names_like_the_compilers_are_the_generators_own() {
    // Names that the compiler uses for the frame and for its first tensors.
    let mut net = Net::new(13)
        .input("stylize/frame", F32, &NCHW)
        .output("stylize/out", F32, &NCHW)
        .meta("stylize.input-range", "0,1")
        .meta("stylize.size-multiple", "1")
        .floats("stylize/constant_1", &[1], &[1.0])
        .node(
            "Sub",
            &["stylize/constant_1", "stylize/frame"],
            "stylize/source",
            vec![],
        );
    for (from, to) in [
        ("stylize/source", "stylize/cast_1"),
        ("stylize/cast_1", "stylize/out"),
    ] {
        net = net.node("Identity", &[from], to, vec![]);
    }
    for provider in common::PROVIDERS {
        let (dir, element) = common::element_on(provider, &net.bytes());
        // The sidecar has the names of the file.
        let sidecar = "[modelinfo]\nversion=1.0\n[stylize/out]\nranges=0,1\n";
        std::fs::write(dir.path().join("model.onnx.modelinfo"), sidecar).expect("a file");
        element.set_property("strength", 0.5);
        let found = play(&element, &[square(11, 201)]);
        near(&found[0], &square(127, 128), 1);
    }
}

/// Conventions that the file does not state.
fn probed(net: &Net, conventions: Conventions) -> Result<Conventions, String> {
    common::init();
    let runtime = Runtime::get(None).expect("ONNX Runtime");
    let model = Model::parse(net.bytes()).expect("a generator");
    let found = probe(
        &runtime,
        &model,
        &conventions.or(metadata::conventions(&model).expect("conventions")),
    );
    found.map_err(|err| err.to_string())
}

#[test]
fn a_stated_minimum_holds_while_the_multiple_is_looked_for() {
    // A window of 200 pixels has no place in a smaller picture.
    let net = Net::new(13)
        .input("x", F32, &NCHW)
        .output("y", F32, &NCHW)
        .floats("nothing", &[], &[0.0])
        .node(
            "MaxPool",
            &["x"],
            "windows",
            vec![ints("kernel_shape", &[200, 200])],
        )
        .node("GlobalAveragePool", &["windows"], "mean", vec![])
        .node("Mul", &["mean", "nothing"], "none", vec![])
        .node("Add", &["x", "none"], "y", vec![]);
    let unsaid = probed(&net, Conventions::default());
    assert!(unsaid.is_ok_and(|conventions| conventions.multiple == Some(256)));
    let minimum = Conventions {
        minimum: Some(200),
        ..Conventions::default()
    };
    let found = probed(&net, minimum).expect("conventions");
    assert_eq!(found.multiple, Some(1));
}

#[test]
fn multiples_above_32_are_found_and_those_above_256_named() {
    for multiple in [64, 256] {
        let net = common::conventions::blocks(13, multiple);
        let found = probed(&net, Conventions::default()).expect("conventions");
        assert_eq!(found.multiple, Some(multiple as usize));
    }
    let net = common::conventions::blocks(13, 300);
    let err = probed(&net, Conventions::default()).expect_err("no such multiple");
    assert!(err.contains("size-multiple"), "{err}");
}

#[test]
fn stability_works_in_the_oldest_operator_set() {
    for opset in [7, 8, 9] {
        let (_dir, element) = common::element(&common::generators::identity(opset).bytes());
        element.set_property("stability", 0.8);
        let scene = square(60, 160);
        // Noise is reduced, motion is not.
        let noise = square(61, 161);
        let found = play(&element, &[scene.clone(), noise, square(160, 60)]);
        near(&found[1], &scene, 0);
        near(&found[2], &square(160, 60), 1);
    }
}

#[test]
fn nan_does_not_stay_in_the_state() {
    for opset in [7, 13] {
        // Black causes 0/0.
        let net = open(opset, "0,1", 1)
            .node("Div", &["x", "x"], "one", vec![])
            .node("Mul", &["one", "x"], "y", vec![]);
        for provider in common::PROVIDERS {
            let (_dir, element) = common::element_on(provider, &net.bytes());
            element.set_property("stability", 0.8);
            let after = square(60, 160);
            let found = play(&element, &[square(60, 0), after.clone(), after.clone()]);
            for found in &found[1..] {
                near(found, &after, 1);
            }
        }
    }
}

/// Runs a picture through a compiled graph.
fn painted(model: &Model, half: bool) -> Vec<u8> {
    common::init();
    let runtime = Runtime::get(None).expect("ONNX Runtime");
    let conventions = metadata::conventions(model).expect("metadata");
    let memory = Memory {
        strides: [SIZE.0 * 3, 0, 0],
        ..Memory::default()
    };
    let frame = Frame {
        format: Format::Packed(Packed {
            bytes: 3,
            rgb: [0, 1, 2],
        }),
        width: SIZE.0,
        height: SIZE.1,
        source: memory,
        target: memory,
    };
    let forms = Lowering {
        scaling: graph::Scaling::Products,
        blend: Blend::Branch,
        early_pad: false,
        half,
        frame: graph::FrameInputs::Two,
        kernels: graph::Kernels::All,
    };
    let signature = Signature::resolve(model, &conventions);
    let graph = graph::compile(model, &signature, &frame, Effects::default(), forms);
    let graph = graph.expect("a graph");
    let mut session = load(&runtime, &graph, &Choice::cpu()).expect("a session");
    let picture = Picture::varied(SIZE.0, SIZE.1);
    let bytes: Vec<u8> = picture
        .pixels
        .iter()
        .flat_map(|p| p[..3].to_vec())
        .collect();
    let shape = [SIZE.1, SIZE.0 * 3];
    let tensor = |bytes: &[u8]| Tensor::from_array((shape, bytes.to_vec())).expect("a tensor");
    let number = |value: f32| Tensor::from_array(([1_usize], vec![value])).expect("a tensor");
    let outputs = session
        .run(ort::inputs![
            graph::FRAME => tensor(&bytes),
            graph::SOURCE => tensor(&bytes),
            graph::STRENGTH => number(1.0),
            graph::SPLIT => number(0.0),
        ])
        .expect("a run");
    let (_, bytes) = outputs[0].try_extract_tensor::<u8>().expect("bytes");
    bytes.to_vec()
}

#[test]
fn constants_and_second_outputs_survive_half_precision() {
    let attribute = |name: &str, kind: AttributeType| AttributeProto {
        name: name.into(),
        r#type: kind.into(),
        f: 0.5,
        floats: vec![0.25],
        ..AttributeProto::default()
    };
    let gain = AttributeProto {
        floats: vec![],
        ..attribute("value_float", AttributeType::Float)
    };
    let shift = AttributeProto {
        f: 0.0,
        ..attribute("value_floats", AttributeType::Floats)
    };
    let mut net = open(13, "0,1", 1)
        .node("Constant", &[], "gain", vec![gain])
        .node("Constant", &[], "shift", vec![shift])
        .node("Mul", &["x", "gain"], "a", vec![])
        .node("Add", &["a", "shift"], "b", vec![])
        .node("Dropout", &["b"], "c", vec![])
        .node("MaxPool", &["c"], "d", vec![ints("kernel_shape", &[1, 1])]);
    let graph = net.model.graph.get_or_insert_default();
    graph.node[4].output.push("kept".into());
    graph.node[5].output.push("places".into());
    // The second outputs are used: integers and booleans.
    let net = net
        .integers("none", &[0])
        .node("Mul", &["places", "none"], "zeros", vec![])
        .node("Cast", &["zeros"], "zero", vec![int("to", 1)])
        .node("Cast", &["kept"], "one", vec![int("to", 1)])
        .node("Mul", &["d", "one"], "e", vec![])
        .node("Add", &["e", "zero"], "y", vec![]);
    let model = Model::parse(net.bytes()).expect("a generator");
    let (half, full) = (painted(&model, true), painted(&model, false));
    let most = half.iter().zip(&full).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(most <= Some(1), "{most:?}");
}
