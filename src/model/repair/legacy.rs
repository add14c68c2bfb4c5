// SPDX-License-Identifier: MPL-2.0
//! Replaces experimental operators that ONNX has removed.
//!
//! The first converters from Core ML wrote `ImageScaler`, `Crop` and `Affine`. ONNX Runtime's CPU provider still has
//! them; other providers leave these nodes to the CPU in the middle of the graph, or (OpenVINO) fail because shapes
//! after them cannot be inferred.

use crate::onnx::{
    AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType,
};

/// Replaces every such node of a graph with this operator set.
pub(crate) fn modernize(graph: &mut GraphProto, opset: i64) {
    let is_old = |node: &NodeProto| matches!(node.operator(), "ImageScaler" | "Crop" | "Affine");
    if !graph.node.iter().any(is_old) {
        return;
    }
    let mut constants = Vec::new();
    let nodes = std::mem::take(&mut graph.node);
    for node in nodes {
        let replacement = match is_old(&node) {
            true => replacement(&node, opset, &mut constants),
            false => None,
        };
        match replacement {
            Some(nodes) => graph.node.extend(nodes),
            None => graph.node.push(node),
        }
    }
    graph.initializer.extend(constants);
}

/// The nodes that compute the same as `node`; `None` if its attributes are not as expected.
fn replacement(
    node: &NodeProto,
    opset: i64,
    constants: &mut Vec<TensorProto>,
) -> Option<Vec<NodeProto>> {
    let (input, output) = (node.input.first()?, node.output.first()?);
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let number = |name: &str, default: f32| attribute(name).map_or(default, |a| a.f);
    // `x · factor + offset`, the offset once or per channel.
    let mut linear = |factor: f32, offset: &[f32], dims: &[i64]| {
        let [factor_name, offset_name, scaled] =
            ["factor", "offset", "scaled"].map(|part| format!("{output}/{part}"));
        constants.push(floats(&factor_name, &[], &[factor]));
        constants.push(floats(&offset_name, dims, offset));
        vec![
            operator("Mul", &[input, &factor_name], &scaled, vec![]),
            operator("Add", &[&scaled, &offset_name], output, vec![]),
        ]
    };
    match node.op_type.as_str() {
        "Affine" => Some(linear(number("alpha", 1.0), &[number("beta", 0.0)], &[])),
        "ImageScaler" => {
            let bias = &attribute("bias")?.floats;
            let dims = [bias.len() as i64, 1, 1];
            Some(linear(number("scale", 1.0), bias, &dims))
        }
        "Crop" if attribute("scale").is_none() => {
            let [left, top, right, bottom] = attribute("border")?.ints[..] else {
                return None;
            };
            let starts = [top, left];
            // Negative ends count from the end; without a crop, an end beyond every size.
            let ends = [bottom, right].map(|cut| if cut > 0 { -cut } else { i64::from(i32::MAX) });
            if opset < 10 {
                let lists = [("axes", [2, 3]), ("starts", starts), ("ends", ends)];
                let attributes = lists.map(|(name, list)| ints(name, &list)).into();
                return Some(vec![operator("Slice", &[input], output, attributes)]);
            }
            let names = ["starts", "ends", "axes"].map(|part| format!("{output}/{part}"));
            for (name, list) in names.iter().zip([starts, ends, [2, 3]]) {
                constants.push(integers(name, &list));
            }
            let [starts, ends, axes] = &names;
            Some(vec![operator(
                "Slice",
                &[input, starts, ends, axes],
                output,
                vec![],
            )])
        }
        _ => None,
    }
}

fn operator(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        name: output.into(),
        op_type: op.into(),
        input: inputs.iter().map(|name| (*name).to_string()).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints.into(),
        ints: ints.to_vec(),
        ..AttributeProto::default()
    }
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: 1,
        dims: dims.to_vec(),
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: 7,
        dims: vec![values.len() as i64],
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}
