// SPDX-License-Identifier: MPL-2.0
//! Generators in 16-bit floats: the graph that is compiled for `precision=fp16`, run on ONNX
//! Runtime's CPU provider, which computes what the graph says, against the same in 32 bits.

mod common;

use std::path::Path;

use common::generators::{F32, NCHW, Net};
use gststylize::engine::session::load;
use gststylize::engine::{Choice, Runtime};
use gststylize::graph::{self, Blend, Forms, Frame, GraphError, Packed};
use gststylize::model::{Facts, Model, Signature, metadata};
use ort::value::Tensor;

const WIDTH: usize = 160;
const HEIGHT: usize = 96;

fn frame() -> Frame {
    Frame {
        format: Packed {
            bytes: 3,
            rgb: [0, 1, 2],
        },
        width: WIDTH,
        height: HEIGHT,
        stride: WIDTH * 3,
        out_stride: WIDTH * 3,
    }
}

/// The compiled graph of a model.
fn compile(model: &Model, half: bool) -> Result<Vec<u8>, GraphError> {
    let facts = metadata::facts(model).expect("metadata");
    let facts = facts.or(Facts {
        multiple: Some(1),
        ..Facts::default()
    });
    let forms = Forms {
        blend: Blend::Branch,
        early_pad: false,
        half,
    };
    graph::compile(model, &Signature::resolve(model, &facts), &frame(), forms)
}

/// A frame of smooth and busy parts through a compiled graph.
fn paint(graph: &[u8]) -> Vec<u8> {
    common::init();
    let runtime = Runtime::get(None).expect("ONNX Runtime");
    let mut session = load(&runtime, graph, &Choice::cpu()).expect("a session");
    let shape = [HEIGHT, WIDTH * 3];
    let picture = common::picture::Picture::varied(WIDTH, HEIGHT);
    let bytes: Vec<u8> = picture
        .pixels
        .iter()
        .flat_map(|p| p[..3].to_vec())
        .collect();
    let tensor = |bytes: &[u8]| Tensor::from_array((shape, bytes.to_vec())).expect("a tensor");
    let strength = Tensor::from_array(([1_usize], vec![1.0_f32])).expect("a tensor");
    let outputs = session
        .run(ort::inputs![
            graph::FRAME => tensor(&bytes),
            graph::SOURCE => tensor(&bytes),
            graph::STRENGTH => strength,
        ])
        .expect("a run");
    let (_, bytes) = outputs[0].try_extract_tensor::<u8>().expect("bytes");
    bytes.to_vec()
}

/// Peak signal-to-noise ratio in decibels.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let error = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let mean = a.iter().zip(b).map(error).sum::<f64>() / a.len() as f64;
    10.0 * (255.0_f64.powi(2) / mean.max(1e-9)).log10()
}

#[track_caller]
fn agrees(model: &Model, least: f64) {
    let [half, full] = [true, false].map(|half| compile(model, half).expect("a graph"));
    assert!(half.len() < full.len() * 3 / 4, "weights of half the size");
    let found = psnr(&paint(&half), &paint(&full));
    assert!(found >= least, "{found:.1} dB");
}

#[test]
fn the_shipped_generators_look_the_same() {
    for name in ["starry-night", "great-wave"] {
        let file = format!("models/{name}.onnx");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let bytes = Model::read(&file).expect("a model");
        agrees(&Model::parse(&bytes).expect("a generator"), 45.0);
    }
}

#[test]
fn weights_that_are_used_in_both_precisions_exist_in_both() {
    // y = x · w + (mean(x) + w − w), with the mean in single precision.
    let net = Net::new(13)
        .input("x", F32, &NCHW)
        .floats("w", &[1], &[0.5])
        .node("ReduceMean", &["x"], "m", vec![])
        .node("Add", &["m", "w"], "mw", vec![])
        .node("Sub", &["mw", "w"], "same", vec![])
        .node("Mul", &["x", "w"], "xw", vec![])
        .node("Add", &["xw", "same"], "y", vec![])
        .output("y", F32, &NCHW);
    let model = Model::parse(&net.bytes()).expect("a generator");
    let [half, full] = [true, false].map(|half| compile(&model, half).expect("a graph"));
    let found = psnr(&paint(&half), &paint(&full));
    assert!(found >= 45.0, "{found:.1} dB");
}
