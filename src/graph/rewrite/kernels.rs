// SPDX-License-Identifier: MPL-2.0
//! Replaces operators and element types for which a provider has no kernel, because ONNX Runtime would
//! place those nodes on the CPU; and works around kernels that compute wrong results.

use std::collections::{HashMap, HashSet};

use crate::onnx::{GraphProto, NodeProto, TensorProto};

use super::bus::{IoElements, convert_io, inside};
use crate::graph::lowering::Kernels;
use crate::graph::names::{FRAME, MASK, SOURCE};
use crate::graph::write::builder::{Builder, Name, is_ours};
use crate::model::{ElementType, Signature};

/// Rewrites a graph for a provider with these kernels. `b` is an empty builder whose names do not
/// collide.
pub(crate) fn rewrite(kernels: Kernels, graph: &mut GraphProto, signature: &Signature, b: Builder) {
    match kernels {
        Kernels::All => (),
        Kernels::Floats => {
            let b = bytes_to_floats(graph, signature, b);
            convert_io(IoElements::Bytes, graph, b);
        }
        Kernels::WebGpu => {
            let b = pad_channels(graph, b);
            let b = bytes_to_floats(graph, signature, b);
            let b = without_round_and_max(graph, b);
            convert_io(IoElements::Words, graph, b);
        }
    }
}

/// WebGPU (1.27) computes convolutions of 6, 9, 15, 18 and more channels into a multiple of four as if there
/// were three of them (onnxruntime issue 29651), so they get channels of zeros up to a multiple of four.
fn pad_channels(graph: &mut GraphProto, mut b: Builder) -> Builder {
    let tensors = graph.initializer.iter();
    let tensors = tensors.map(|tensor| (tensor.name.clone(), tensor.dims.clone()));
    let constants = graph
        .node
        .iter()
        .filter(|node| node.operator() == "Constant");
    let constants = constants.filter_map(|node| {
        let value = node.attribute.iter().find_map(|a| a.t.as_ref())?;
        Some((node.output.first()?.clone(), value.dims.clone()))
    });
    let dims: HashMap<Name, Vec<i64>> = tensors.chain(constants).collect();
    for mut node in std::mem::take(&mut graph.node) {
        let missing = (node.operator() == "Conv")
            .then(|| node.input.get(1).and_then(|weights| dims.get(weights)))
            .flatten()
            .and_then(|dims| missing_channels(&node, dims));
        if let Some(missing) = missing {
            for name in &mut node.input[..2] {
                let pads = [0, 0, 0, 0, 0, missing, 0, 0];
                *name = b.pad(name, "constant", &pads);
            }
            b = b.appended_to(graph, false);
        }
        graph.node.push(node);
    }
    b
}

/// Number of channels to add to a convolution with weights of this shape; `None` if it is not affected.
fn missing_channels(node: &NodeProto, dims: &[i64]) -> Option<i64> {
    let &[to, from, high, wide] = dims else {
        return None;
    };
    let group = node.attribute.iter().find(|a| a.name == "group");
    let affected = group.is_none_or(|group| group.i == 1)
        && [high, wide] != [1, 1]
        && to % 4 == 0
        && from % 3 == 0
        && from % 4 != 0
        && from != 3;
    affected.then(|| 4 - from % 4)
}

/// Turns all u8 tensors between nodes of the compiler into f32 with the same values. Graph inputs and outputs are left
/// to [`convert_io`]. Returns a builder whose names do not collide.
fn bytes_to_floats(graph: &mut GraphProto, signature: &Signature, mut b: Builder) -> Builder {
    let mut bytes: HashSet<Name> = [FRAME, SOURCE, MASK].map(Name::from).into();
    for tensor in graph.initializer.iter_mut().filter(|t| is_ours(&t.name)) {
        if tensor.data_type == ElementType::U8.to_onnx() {
            bytes.insert(tensor.name.clone());
            *tensor = floats(tensor);
        }
    }
    let given = &signature.input;
    for mut node in std::mem::take(&mut graph.node) {
        if !is_ours(&node.name) {
            graph.node.push(node);
            continue;
        }
        let quantizes = node.op_type == "QuantizeLinear";
        let makes_bytes = match node.op_type.as_str() {
            "Cast" => casts_to_bytes(&mut node),
            _ => quantizes || node.input.iter().any(|name| bytes.contains(name)),
        };
        let mut wanted = None;
        for name in node.output.iter_mut().filter(|_| makes_bytes) {
            if *name == given.name && given.element == ElementType::U8 {
                // The generator's own input is u8.
                wanted = Some(std::mem::replace(name, inside(&given.name)));
            } else {
                bytes.insert(name.clone());
            }
        }
        if quantizes {
            let x = b.div(&node.input[0], &node.input[1]);
            let rounded = b.round(&x, 255.0);
            b.name_output(&rounded, &node.output[0]);
            b = b.appended_to(graph, false);
            // The zero point, which no other node reads.
            let zero = node.input.get(2);
            graph.initializer.retain(|t| zero != Some(&t.name));
        } else {
            graph.node.push(node);
        }
        if let Some(name) = wanted {
            let bytes = b.cast(&inside(&name), ElementType::U8);
            b.name_output(&bytes, &name);
            b = b.appended_to(graph, false);
        }
    }
    b
}

/// Whether a `Cast` is to u8; if so, it is changed to f32.
fn casts_to_bytes(node: &mut NodeProto) -> bool {
    let to = node.attribute.iter_mut().find(|a| a.name == "to");
    let to = to.filter(|to| to.i == i64::from(ElementType::U8.to_onnx()));
    let Some(to) = to else {
        return false;
    };
    to.i = ElementType::F32.to_onnx().into();
    true
}

/// Replaces the compiler's `Round` and `Max`, which WebGPU (1.27) does not have, by `Floor` and comparisons.
fn without_round_and_max(graph: &mut GraphProto, mut b: Builder) -> Builder {
    for node in std::mem::take(&mut graph.node) {
        let made = match node.op_type.as_str() {
            "Round" if is_ours(&node.name) => b.round_half_up(&node.input[0]),
            "Max" if is_ours(&node.name) && b.opset() >= 9 => {
                let (first, others) = node.input.split_at(1);
                let mut most = first.concat();
                for other in others {
                    most = b.max_by_comparison(&most, other);
                }
                most
            }
            _ => {
                graph.node.push(node);
                continue;
            }
        };
        b.name_output(&made, &node.output[0]);
        b = b.appended_to(graph, false);
    }
    b
}

/// A u8 constant as f32.
fn floats(bytes: &TensorProto) -> TensorProto {
    let values = bytes.raw_data.iter().map(|byte| f32::from(*byte));
    TensorProto {
        data_type: ElementType::F32.to_onnx(),
        raw_data: values.flat_map(f32::to_le_bytes).collect(),
        ..bytes.clone()
    }
}
