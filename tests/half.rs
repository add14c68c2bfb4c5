// SPDX-License-Identifier: MPL-2.0
//! Generators in 16-bit floats: the graph for `precision=fp16` on ONNX Runtime's CPU provider, which computes as the
//! graph says, against the same in 32 bits.

mod common;

use std::path::Path;

use common::generators::{F32, NCHW, Net, ints};
use gststylize::engine::probe::probe;
use gststylize::engine::session::load;
use gststylize::engine::{Choice, Runtime};
use gststylize::graph::{
    self, Blend, Effects, Format, Frame, GraphError, Lowering, Memory, Packed,
};
use gststylize::model::{Model, Signature, metadata};
use ort::value::Tensor;

const WIDTH: usize = 160;
const HEIGHT: usize = 96;

fn frame() -> Frame {
    let memory = Memory {
        strides: [WIDTH * 3, 0, 0],
        ..Memory::default()
    };
    Frame {
        format: Format::Packed(Packed {
            bytes: 3,
            rgb: [0, 1, 2],
        }),
        width: WIDTH,
        height: HEIGHT,
        source: memory,
        target: memory,
    }
}

/// The compiled graph of a model.
fn compile(model: &Model, half: bool) -> Result<Vec<u8>, GraphError> {
    common::init();
    let runtime = Runtime::get(None).expect("ONNX Runtime");
    let conventions = metadata::conventions(model).expect("metadata");
    let conventions = conventions.or(probe(&runtime, model, &conventions).expect("conventions"));
    let forms = Lowering {
        scaling: graph::Scaling::Products,
        blend: Blend::Branch,
        early_pad: false,
        half,
        frame: graph::FrameInputs::Two,
        kernels: graph::Kernels::All,
    };
    graph::compile(
        model,
        &Signature::resolve(model, &conventions),
        &frame(),
        Effects::default(),
        forms,
    )
}

/// Runs a frame with smooth and detailed parts through a compiled graph.
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
        agrees(&Model::read(&file).expect("a generator"), 45.0);
    }
}

/// Generators with normalization in base operators, some with a constant size. Their licences forbid redistribution, so
/// the environment names a folder with them, as in `foreign_files.rs`.
#[test]
fn other_peoples_generators_look_the_same() {
    let Some(folder) = std::env::var_os("STYLIZE_FOREIGN_MODELS") else {
        println!("skipped: STYLIZE_FOREIGN_MODELS is not set");
        return;
    };
    for name in [
        "gnsmrky_candy_nc16_128x128_onnxjs013.onnx",
        "gnsmrky_mosaic_nc8_256x256.onnx",
        "ml5_wave_nhwc.onnx",
        "winml_candy.onnx",
    ] {
        let file = Path::new(&folder).join(name);
        let model = Model::read(&file).expect("a generator");
        let [half, full] = [true, false].map(|half| compile(&model, half).expect("a graph"));
        let found = psnr(&paint(&half), &paint(&full));
        println!("{name}: {found:.1} dB");
        assert!(found >= 35.0, "{name}: {found:.1} dB");
    }
}

#[test]
fn squares_do_not_overflow() {
    // Instance normalization in base operators, of values in the thousands.
    let net = Net::new(13)
        .input("x", F32, &NCHW)
        .floats("gain", &[1], &[3000.0])
        .floats("tiny", &[1], &[1e-9])
        .floats("epsilon", &[1], &[1e-5])
        .floats("scale", &[1], &[0.2])
        .floats("shift", &[1], &[0.5])
        .integers("flat", &[1, 3, 1, -1])
        .node("Mul", &["x", "gain"], "a", vec![])
        .node("Reshape", &["a", "flat"], "rows", vec![])
        .node("ReduceMean", &["rows"], "mean", vec![ints("axes", &[3])])
        .node("Sub", &["a", "mean"], "d", vec![])
        .node("Add", &["d", "tiny"], "d2", vec![])
        .node("Mul", &["d", "d2"], "square", vec![])
        .node("Reshape", &["square", "flat"], "squares", vec![])
        .node("ReduceMean", &["squares"], "v", vec![ints("axes", &[3])])
        .node("Add", &["v", "epsilon"], "v2", vec![])
        .node("Sqrt", &["v2"], "s", vec![])
        .node("Div", &["d", "s"], "n", vec![])
        .node("Mul", &["n", "scale"], "ns", vec![])
        .node("Add", &["ns", "shift"], "y", vec![])
        .output("y", F32, &NCHW);
    let model = Model::parse(net.bytes()).expect("a generator");
    let [half, full] = [true, false].map(|half| compile(&model, half).expect("a graph"));
    let found = psnr(&paint(&half), &paint(&full));
    assert!(found >= 45.0, "{found:.1} dB");
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
    let model = Model::parse(net.bytes()).expect("a generator");
    let [half, full] = [true, false].map(|half| compile(&model, half).expect("a graph"));
    let found = psnr(&paint(&half), &paint(&full));
    assert!(found >= 45.0, "{found:.1} dB");
}
