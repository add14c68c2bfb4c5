// SPDX-License-Identifier: MPL-2.0
//! Graphs for providers without kernels for bytes: the same pictures, without byte tensors inside. Run on ONNX
//! Runtime's CPU provider, which has all kernels; `webgpu.rs` runs them on WebGPU.

mod common;

use std::path::Path;

use gststylize::engine::session::load;
use gststylize::engine::{Choice, Runtime};
use gststylize::graph::{
    self, Blend, Components, Depth, Effects, Format, Frame, FrameInputs, Kernels, Lowering, Matrix,
    Memory, Packed, Planar, Plane, Scaling,
};
use gststylize::model::{Model, Signature, metadata};
use gststylize::onnx::{Message, ModelProto, type_proto};
use ort::session::SessionInputValue;
use ort::value::{Tensor, TensorElementType};

const WIDTH: usize = 64;
const HEIGHT: usize = 36;

const YUV: Components = Components::Yuv {
    matrix: Matrix::Bt709,
    full: false,
    cosited: [true, false],
};

fn frame(format: Format, offsets: [usize; 3], strides: [usize; 3]) -> Frame {
    let memory = Memory { offsets, strides };
    Frame {
        format,
        width: WIDTH,
        height: HEIGHT,
        source: memory,
        target: memory,
    }
}

/// RGBA with padded rows, NV12, and I420 of 10 bits.
fn frames() -> [Frame; 3] {
    let rgb = Format::Packed(Packed {
        bytes: 4,
        rgb: [0, 1, 2],
    });
    let planar = |planes: &'static [Plane], depth| {
        Format::Planar(Planar {
            planes,
            subsampling: [2, 2],
            components: YUV,
            depth,
        })
    };
    let nv12 = planar(&[Plane::One(0), Plane::Pair([1, 2])], Depth::BYTE);
    let ten = Depth {
        bits: 10,
        upper: false,
    };
    let ten = planar(&[Plane::One(0), Plane::One(1), Plane::One(2)], ten);
    let area = WIDTH * HEIGHT;
    [
        frame(rgb, [0; 3], [WIDTH * 4 + 16, 0, 0]),
        frame(nv12, [0, area, 0], [WIDTH, WIDTH, 0]),
        frame(ten, [0, area * 2, area * 5 / 2], [WIDTH * 2, WIDTH, WIDTH]),
    ]
}

fn compile(frame: &Frame, effects: Effects, kernels: Kernels, half: bool) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starry-night.onnx");
    let model = Model::read(&file).expect("a generator");
    let conventions = metadata::conventions(&model).expect("metadata");
    let forms = Lowering {
        blend: Blend::Branch,
        scaling: Scaling::Products,
        early_pad: false,
        half,
        frame: match kernels {
            Kernels::All => FrameInputs::Two,
            Kernels::Floats | Kernels::WebGpu => FrameInputs::One,
        },
        kernels,
    };
    let signature = Signature::resolve(&model, &conventions);
    graph::compile(&model, &signature, frame, effects, forms).expect("a graph")
}

/// Runs a frame through a graph, in the layout that the graph needs.
fn paint(graph: &[u8], frame: &Frame) -> Vec<u8> {
    common::init();
    let runtime = Runtime::get(None).expect("ONNX Runtime");
    let mut session = load(&runtime, graph, &Choice::cpu()).expect("a session");
    let ten = matches!(frame.format, Format::Planar(planar) if planar.depth.bits == 10);
    let byte = |i: usize| match ten && i % 2 == 1 {
        true => (i / 37 % 4) as u8,
        false => (i * i / 53 + i % 251) as u8,
    };
    let shape = frame.shape(&frame.source);
    let bytes: Vec<u8> = (0..shape[0] * shape[1]).map(byte).collect();
    let mask: Vec<u8> = (0..WIDTH * HEIGHT).map(|i| (i % WIDTH * 4) as u8).collect();
    let inputs: Vec<(String, SessionInputValue)> = session
        .inputs()
        .iter()
        .map(|input| {
            let number = |value| Tensor::from_array(([1_usize], vec![value])).map(Tensor::upcast);
            let bytes = if input.name() == graph::MASK {
                &mask
            } else {
                &bytes
            };
            let tensor = match (input.name(), input.dtype().tensor_type()) {
                (graph::STRENGTH, _) => number(0.7_f32),
                (graph::SPLIT, _) => number(9.0),
                (_, Some(TensorElementType::Uint32)) => {
                    let (words, rest) = bytes.as_chunks::<4>();
                    assert!(rest.is_empty());
                    let words: Vec<u32> = words.iter().map(|w| u32::from_le_bytes(*w)).collect();
                    Tensor::from_array(([words.len()], words)).map(Tensor::upcast)
                }
                (graph::MASK, _) => {
                    Tensor::from_array(([1, 1, HEIGHT, WIDTH], bytes.clone())).map(Tensor::upcast)
                }
                _ => Tensor::from_array((shape, bytes.clone())).map(Tensor::upcast),
            };
            (input.name().to_string(), tensor.expect("a tensor").into())
        })
        .collect();
    let outputs = session.run(inputs).expect("a run");
    match outputs[0].try_extract_tensor::<u32>() {
        Ok((_, words)) => words.iter().flat_map(|word| word.to_le_bytes()).collect(),
        Err(_) => {
            let bytes = outputs[0].try_extract_tensor::<u8>();
            bytes.expect("bytes").1.to_vec()
        }
    }
}

/// The largest difference of codes.
fn off(frame: &Frame, a: &[u8], b: &[u8]) -> u16 {
    assert_eq!(a.len(), b.len());
    let codes = |bytes: &[u8]| -> Vec<u16> {
        match frame.format {
            Format::Planar(planar) if planar.depth.bits > 8 => {
                let pairs = bytes.as_chunks::<2>().0.iter();
                pairs.map(|pair| u16::from_le_bytes(*pair)).collect()
            }
            _ => bytes.iter().map(|byte| u16::from(*byte)).collect(),
        }
    };
    let pairs = codes(a).into_iter().zip(codes(b));
    pairs.map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0)
}

#[test]
fn pictures_are_the_same() {
    for frame in frames() {
        for mask in [false, true] {
            let effects = Effects {
                mask,
                ..Effects::default()
            };
            let wanted = paint(&compile(&frame, effects, Kernels::All, false), &frame);
            for kernels in [Kernels::Floats, Kernels::WebGpu] {
                let got = paint(&compile(&frame, effects, kernels, false), &frame);
                let off = off(&frame, &got, &wanted);
                assert!(off <= 1, "{kernels:?} {mask} {frame:?}: off by {off}");
            }
        }
    }
}

/// SwiftShader, on which WebGPU is tested, has no 16-bit floats.
#[test]
fn so_they_are_in_half_precision() {
    for frame in frames() {
        let paint = |kernels| {
            let graph = compile(&frame, Effects::default(), kernels, true);
            paint(&graph, &frame)
        };
        let off = off(&frame, &paint(Kernels::WebGpu), &paint(Kernels::All));
        assert!(off <= 1, "{frame:?}: off by {off}");
    }
}

/// TensorRT supports bytes only at the ends of a graph, into and out of a conversion.
#[test]
fn bytes_are_at_the_ends_only() {
    const BYTES: i64 = 2;
    for frame in frames() {
        for mask in [false, true] {
            let effects = Effects {
                mask,
                stability: true,
                ..Effects::default()
            };
            let graph = compile(&frame, effects, Kernels::Floats, false);
            let graph = ModelProto::decode(&graph[..])
                .expect("a graph")
                .graph
                .expect("a graph");
            let types = graph.input.iter().filter(|value| {
                let tensor = match value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) {
                    Some(type_proto::Value::TensorType(tensor)) => tensor,
                    _ => panic!("{value:?}"),
                };
                i64::from(tensor.elem_type) == BYTES
            });
            let given: Vec<&String> = types.map(|value| &value.name).collect();
            let expected = if mask { 3 } else { 1 };
            assert_eq!(given.len(), expected, "{given:?}");
            for node in &graph.node {
                if node.input.iter().any(|name| given.contains(&name)) {
                    assert_eq!(node.op_type, "Cast");
                }
                let to = node.attribute.iter().find(|a| a.name == "to");
                let makes = node.op_type == "Cast" && to.is_some_and(|to| to.i == BYTES);
                let last = node.output.iter().any(|name| name == graph::OUT);
                assert_eq!(makes, last, "{node:?}");
                assert_ne!(node.op_type, "QuantizeLinear");
            }
            let constants = graph.initializer.iter();
            let bytes = constants.filter(|t| i64::from(t.data_type) == BYTES);
            assert_eq!(bytes.count(), 0);
        }
    }
}
