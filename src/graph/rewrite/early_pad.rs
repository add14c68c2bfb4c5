// SPDX-License-Identifier: MPL-2.0
//! Moves a generator's first padding in front of the conversion from bytes to float.
//!
//! Most generators pad the picture first. Reflection and edge padding commute with the conversion to float, before
//! which the pixels are interleaved bytes. Then no operator remains between the conversion and the first convolution,
//! so a compiler can write the pixels in the layout that the convolution reads, and reorders them once instead of
//! twice.

use crate::onnx::{GraphProto, NodeProto, TensorProto, walk};

use crate::model::{ElementType, Extent, Layout, Signature};

/// Oldest operator set in which `Pad` takes u8.
const BYTES_SINCE: i64 = 11;
/// Number of inputs of a `Pad` that can be moved: data and pads, without a value or axes.
const INPUTS: usize = 2;

/// A padding that was removed from the graph.
pub(crate) struct EarlyPad {
    /// ONNX's `mode`: "reflect" or "edge".
    pub mode: String,
    /// Pixels added at the top, left, bottom and right.
    pub border: [i64; 4],
    /// The tensor that the rest of the graph reads.
    pub output: String,
}

/// Removes the first node of the generator if it is a padding that can be moved.
pub(crate) fn take(graph: &mut GraphProto, signature: &Signature, opset: i64) -> Option<EarlyPad> {
    let input = &signature.input;
    if opset < BYTES_SINCE
        || input.element != ElementType::F32
        || input.layout != Layout::Nchw
        || !matches!(signature.extent, Extent::Any { .. })
    {
        return None;
    }
    let mut readers = graph
        .node
        .iter()
        .enumerate()
        .filter(|(_, node)| walk::reads(node).any(|name| name == input.name));
    let ((index, node), None) = (readers.next()?, readers.next()) else {
        return None;
    };
    let mode = mode(node)?;
    let border = border(graph, node)?;
    let output = node.output.first()?.clone();
    graph.node.remove(index);
    Some(EarlyPad {
        mode,
        border,
        output,
    })
}

/// The mode of a `Pad` that copies pixels; a constant's value would have to be converted as well.
fn mode(node: &NodeProto) -> Option<String> {
    let mode = node.attribute.iter().find(|a| a.name == "mode")?;
    let mode = String::from_utf8(mode.s.clone()).ok()?;
    (node.operator() == "Pad" && ["reflect", "edge"].contains(&mode.as_str())).then_some(mode)
}

/// The padding at the top, left, bottom and right, if it is a constant and only of height and width.
fn border(graph: &GraphProto, node: &NodeProto) -> Option<[i64; 4]> {
    let extra = node.input.get(INPUTS..).unwrap_or_default();
    if extra.iter().any(|name| !name.is_empty()) {
        return None;
    }
    let name = node.input.get(1)?;
    let pads = graph.initializer.iter().find(|tensor| tensor.name == *name);
    match integers(pads?)[..] {
        [0, 0, top, left, 0, 0, bottom, right]
            if [top, left, bottom, right].iter().all(|p| *p >= 0) =>
        {
            Some([top, left, bottom, right])
        }
        _ => None,
    }
}

/// Values of an int64 tensor, from `int64_data` or `raw_data`.
fn integers(tensor: &TensorProto) -> Vec<i64> {
    if tensor.raw_data.is_empty() {
        return tensor.int64_data.clone();
    }
    let chunks = tensor.raw_data.chunks_exact(8);
    chunks
        .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::write::attribute;
    use crate::model::{Conventions, Model};
    use crate::onnx::{Bytes, ModelProto, OperatorSetIdProto, ValueInfoProto};

    fn node(op: &str, domain: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: op.into(),
            domain: domain.into(),
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: vec![output.into()],
            attribute: vec![attribute::text("mode", "reflect")],
            ..NodeProto::default()
        }
    }

    /// Whether the padding is taken out of a graph that begins with it and has `more` nodes.
    fn taken(domain: &str, more: Vec<NodeProto>) -> bool {
        let value =
            |name| crate::model::edit::value_info(name, ElementType::F32, Some(&[1, 3, -1, -1]));
        let pads: Vec<u8> = [0_i64, 0, 1, 1, 0, 0, 1, 1]
            .iter()
            .flat_map(|pad| pad.to_le_bytes())
            .collect();
        let mut graph = GraphProto {
            node: vec![node("Pad", domain, &["x", "pads"], "y")],
            initializer: vec![TensorProto {
                name: "pads".into(),
                data_type: 7,
                dims: vec![8],
                raw_data: Bytes::from(pads),
                ..TensorProto::default()
            }],
            input: vec![value("x")],
            output: vec![value("y")],
            ..GraphProto::default()
        };
        graph.node.extend(more);
        let model = ModelProto {
            opset_import: vec![OperatorSetIdProto {
                version: 13,
                ..OperatorSetIdProto::default()
            }],
            graph: Some(graph.clone()),
            ..ModelProto::default()
        };
        let bytes = crate::onnx::write(&model).expect("bytes");
        let model = Model::parse(bytes).expect("a generator");
        let signature = Signature::resolve(&model, &Conventions::default());
        take(&mut graph, &signature, 13).is_some()
    }

    /// A branch that reads these.
    fn branch(nodes: Vec<NodeProto>, output: &str) -> NodeProto {
        let graph = GraphProto {
            node: nodes,
            output: vec![ValueInfoProto {
                name: output.into(),
                ..ValueInfoProto::default()
            }],
            ..GraphProto::default()
        };
        NodeProto {
            attribute: vec![attribute::graph("then_branch", graph)],
            ..node("If", "", &["condition"], "z")
        }
    }

    #[test]
    fn a_padding_stays_if_other_nodes_read_its_input() {
        assert!(taken("", vec![]));
        assert!(!taken("", vec![node("Relu", "", &["x"], "z")]));
        let reads = vec![node("Relu", "", &["x"], "inner")];
        assert!(!taken("", vec![branch(reads, "inner")]));
        let inner = branch(vec![node("Relu", "", &["x"], "a")], "a");
        assert!(!taken("", vec![branch(vec![inner], "z")]));
        assert!(!taken("", vec![branch(vec![], "x")]));
        assert!(taken("", vec![branch(vec![], "y")]));
    }

    #[test]
    fn operators_of_other_domains_are_not_moved() {
        assert!(taken("ai.onnx", vec![]));
        assert!(!taken("com.example", vec![]));
    }
}
