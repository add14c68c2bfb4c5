// SPDX-License-Identifier: MPL-2.0
//! Reduces host-to-device copies, as the last rewrite of a compiled graph: the frame is uploaded once
//! instead of twice, and as u8 (or packed into u32) where the provider has only float kernels. Without
//! this, such a provider would leave the u8 operators to the CPU, and f32 would be copied, four times
//! the bytes.

use crate::onnx::tensor_proto::DataType;
use crate::onnx::{GraphProto, ValueInfoProto, type_proto, walk};

use crate::onnx::tensor_shape_proto::{Dimension, dimension::Value};

use crate::graph::names::{FRAME, MASK, OUT, SOURCE};
use crate::graph::write::builder::{Builder, Name};
use crate::model::ElementType;
use crate::model::edit::value_info;

/// ONNX's number of uint32.
const UINT32: i32 = DataType::Uint32 as i32;
/// Bytes of a u32.
const BYTES: i64 = 4;

/// Removes the input [`SOURCE`]; its readers read [`FRAME`] instead.
pub(crate) fn one_frame(graph: &mut GraphProto) {
    walk::reread(&mut graph.node, SOURCE, FRAME);
    graph.input.retain(|input| input.name != SOURCE);
}

/// Element type of the graph's u8 inputs and outputs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum IoElements {
    /// u8.
    Bytes,
    /// u32, four bytes each, little-endian, in one row. A tensor whose size is not a multiple of four bytes stays u8,
    /// and the CPU converts it.
    Words,
}

/// Adds conversions between `elements` and f32 at the graph's inputs and outputs of bytes; inside, the graph has f32
/// instead of u8. `b` is an empty builder whose names do not collide.
pub(crate) fn convert_io(elements: IoElements, graph: &mut GraphProto, mut b: Builder) {
    for name in [FRAME, SOURCE, MASK] {
        let Some(input) = graph.input.iter_mut().find(|input| input.name == name) else {
            continue;
        };
        let inside = inside(name);
        walk::reread(&mut graph.node, name, &inside);
        let dims = dims(input);
        let floats = match words_of(elements, &dims) {
            Some(words) => {
                *input = value_info(name, UINT32, Some(&[words]));
                unpack(&mut b, name, words, &dims)
            }
            None => b.cast(name, ElementType::F32),
        };
        b.name_output(&floats, &inside);
        b = b.appended_to(graph, true);
    }
    let Some(output) = graph.output.iter_mut().find(|output| output.name == OUT) else {
        return;
    };
    let inside = inside(OUT);
    let outputs = graph.node.iter_mut().flat_map(|node| &mut node.output);
    for name in outputs.filter(|name| *name == OUT) {
        name.clone_from(&inside);
    }
    let out = match words_of(elements, &dims(output)) {
        Some(words) => {
            *output = value_info(OUT, UINT32, Some(&[words]));
            pack(&mut b, &inside, words)
        }
        None => b.cast(&inside, ElementType::U8),
    };
    b.name_output(&out, OUT);
    b.append_to(graph, false);
}

/// Unpacks `words` u32 to integral floats of 0..255 in this shape.
fn unpack(b: &mut Builder, name: &str, words: i64, dims: &[i64]) -> Name {
    let column = b.reshape(name, &[words, 1]);
    // Shifts by arithmetic: a multiplication moves a byte to the top of its word, where the bytes above it
    // overflow, and a division moves it down.
    let up = constant(b, &[1 << 24, 1 << 16, 1 << 8, 1]);
    let down = constant(b, &[1 << 24]);
    let moved = b.mul(&column, &up);
    let bytes = b.div(&moved, &down);
    let floats = b.cast(&bytes, ElementType::F32);
    b.reshape(&floats, dims)
}

/// Packs integral floats of 0..255 to `words` u32.
fn pack(b: &mut Builder, x: &str, words: i64) -> Name {
    let bytes = b.reshape(x, &[words, BYTES]);
    // Floats are exact up to 24 bits, so each half of a word is summed separately.
    let weights = b.floats(&[BYTES, 2], &[1.0, 0.0, 256.0, 0.0, 0.0, 1.0, 0.0, 256.0]);
    let halves = b.matmul(&bytes, &weights);
    let halves = b.cast(&halves, UINT32);
    let places = constant(b, &[1, 1 << 16]);
    let halves = b.mul(&halves, &places);
    let [low, high] = [0, 1].map(|half| b.gather(&halves, 1, &[half]));
    let sum = b.add(&low, &high);
    b.reshape(&sum, &[words])
}

/// A u32 constant.
fn constant(b: &mut Builder, values: &[u32]) -> Name {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    b.constant(UINT32, &[values.len() as i64], bytes)
}

/// Name of the f32 tensor that replaces a u8 one inside the graph.
pub(crate) fn inside(name: &str) -> Name {
    format!("{name}/bytes")
}

/// Number of u32 of a tensor of this shape; `None` if it stays u8.
fn words_of(elements: IoElements, dims: &[i64]) -> Option<i64> {
    let bytes: i64 = dims.iter().product();
    (elements == IoElements::Words && bytes % BYTES == 0).then_some(bytes / BYTES)
}

/// Shape of an input or output of fixed size.
fn dims(value: &ValueInfoProto) -> Vec<i64> {
    let shape = match value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => tensor.shape.as_ref(),
        _ => None,
    };
    let size = |dim: &Dimension| match dim.value {
        Some(Value::DimValue(size)) => size,
        _ => 0,
    };
    let dims = shape.map(|shape| shape.dim.iter().map(size).collect());
    dims.unwrap_or_default()
}
