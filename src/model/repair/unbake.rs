// SPDX-License-Identifier: MPL-2.0
//! Replaces constant output sizes ("baked" sizes) of transposed convolutions by padding.
//!
//! Some exporters of fixed-size generators write a `ConvTranspose`'s `output_shape` instead of padding. At another
//! picture size, ONNX Runtime does not check that shape and writes past its buffers. So sizes are propagated through
//! the graph from the input's, and each `output_shape` is replaced by the equivalent padding, which is valid for any
//! size.

use std::collections::HashMap;

use crate::onnx::{AttributeProto, GraphProto, NodeProto, attribute_proto::AttributeType};

/// Height and width.
type Size = [i64; 2];

/// Replaces the output sizes that can be replaced, given the input's name and size; tensors are `[N, C, H, W]`.
pub(crate) fn unbake(graph: &mut GraphProto, input: &str, size: Size) {
    if !graph.node.iter().any(is_baked) || !size.iter().all(|side| is_size(*side)) {
        return;
    }
    let mut sizes = HashMap::from([(input.to_string(), size)]);
    for node in &mut graph.node {
        let known = node.input.iter().find_map(|name| sizes.get(name)).copied();
        let size = known.and_then(|size| follow(node, size));
        let Some(size) = size.filter(|size| size.iter().all(|side| is_size(*side))) else {
            continue;
        };
        sizes.extend(node.output.first().map(|name| (name.clone(), size)));
    }
}

/// Whether this is a transposed convolution with a constant output size.
pub(crate) fn is_baked(node: &NodeProto) -> bool {
    node.operator() == "ConvTranspose" && attribute(node, "output_shape").is_some()
}

/// Whether a side is plausible, which also prevents overflows.
fn is_size(side: i64) -> bool {
    (0..1 << 31).contains(&side)
}

/// The size of a node's output for an input of `size`; rewrites transposed convolutions. `None` if it is not known.
fn follow(node: &mut NodeProto, size: Size) -> Option<Size> {
    match node.operator() {
        "Conv" | "MaxPool" | "AveragePool" => {
            let window = Window::of(node).filter(|_| attribute(node, "ceil_mode").is_none())?;
            match auto_pad(node) {
                "SAME_UPPER" | "SAME_LOWER" => Some(each(|i| {
                    (size[i] + window.strides[i] - 1) / window.strides[i]
                })),
                _ => Some(each(|i| {
                    (size[i] + window.pads[i] - window.reach[i]) / window.strides[i] + 1
                })),
            }
        }
        "ConvTranspose" => transposed(node, size),
        "Pad" => {
            // From operator set 11 on the pads are an input, which is not evaluated.
            let pads = integers(node, "pads").filter(|pads| pads.len() == 8)?;
            Some(each(|i| size[i] + pads[2 + i] + pads[6 + i]))
        }
        "Crop" => {
            // Left, top, right, bottom.
            let border = integers(node, "border").filter(|border| border.len() == 4)?;
            let scale = integers(node, "scale").is_some();
            (!scale).then(|| each(|i| size[i] - border[1 - i] - border[3 - i]))
        }
        "Add"
        | "Sub"
        | "Mul"
        | "Div"
        | "Sum"
        | "Relu"
        | "LeakyRelu"
        | "PRelu"
        | "Elu"
        | "Tanh"
        | "Sigmoid"
        | "Clip"
        | "Identity"
        | "Dropout"
        | "Cast"
        | "Affine"
        | "ImageScaler"
        | "BatchNormalization"
        | "InstanceNormalization" => Some(size),
        _ => None,
    }
}

/// [`follow`] for a transposed convolution.
fn transposed(node: &mut NodeProto, size: Size) -> Option<Size> {
    let window = Window::of(node)?;
    let added = match attribute(node, "output_padding") {
        Some(_) => integers(node, "output_padding")?,
        None => vec![0; 2],
    };
    let natural: Size = each(|i| window.strides[i] * (size[i] - 1) + window.reach[i]);
    if attribute(node, "output_shape").is_none() {
        let plain = added.len() == 2 && !auto_pad(node).starts_with("SAME");
        return plain.then(|| each(|i| natural[i] + added[i] - window.pads[i]));
    }
    let shape = integers(node, "output_shape")?;
    let wanted: Size = shape.get(shape.len().checked_sub(2)?..)?.try_into().ok()?;
    // Excess is cropped on both sides, missing elements are added at the end, by the operator's definition and as ONNX
    // Runtime implements it.
    let cut: Size = each(|i| (natural[i] - wanted[i]).max(0));
    let missing: Size = each(|i| (wanted[i] - natural[i]).max(0));
    if (0..2).any(|i| missing[i] >= window.strides[i] || added.iter().any(|a| *a != 0)) {
        return None;
    }
    let half: Size = each(|i| match auto_pad(node) {
        "SAME_UPPER" => cut[i] / 2,
        _ => cut[i] - cut[i] / 2,
    });
    let replaced = ["output_shape", "auto_pad", "pads", "output_padding"];
    node.attribute
        .retain(|attribute| !replaced.contains(&attribute.name.as_str()));
    let pads = vec![half[0], half[1], cut[0] - half[0], cut[1] - half[1]];
    node.attribute.push(ints("pads", pads));
    node.attribute
        .push(ints("output_padding", missing.to_vec()));
    Some(wanted)
}

/// The window of a convolution or pooling.
struct Window {
    strides: Size,
    /// Extent of the dilated kernel, pixels.
    reach: Size,
    /// Sum of the padding on both sides.
    pads: Size,
}

impl Window {
    /// `None` for kernels that are not two-dimensional or that the node does not state.
    fn of(node: &NodeProto) -> Option<Self> {
        let pair = |name: &str| -> Option<Size> { integers(node, name)?.try_into().ok() };
        let one = [1; 2];
        let kernel = pair("kernel_shape")?;
        let or_one = |name: &str| match attribute(node, name) {
            Some(_) => pair(name),
            None => Some(one),
        };
        let dilations = or_one("dilations")?;
        let strides = or_one("strides")?;
        let pads: [i64; 4] = match attribute(node, "pads") {
            Some(_) => integers(node, "pads")?.try_into().ok()?,
            None => [0; 4],
        };
        (strides.iter().all(|stride| *stride > 0)).then(|| Self {
            strides,
            reach: each(|i| (kernel[i] - 1) * dilations[i] + 1),
            pads: each(|i| pads[i] + pads[2 + i]),
        })
    }
}

fn each(f: impl Fn(usize) -> i64) -> Size {
    std::array::from_fn(f)
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name == name)
}

/// The integers of an attribute; `None` also for numbers so large that sums of them could overflow.
fn integers(node: &NodeProto, name: &str) -> Option<Vec<i64>> {
    let ints = &attribute(node, name)?.ints;
    let small = |int: &i64| (-1 << 24..1 << 24).contains(int);
    ints.iter().all(small).then(|| ints.clone())
}

fn auto_pad(node: &NodeProto) -> &str {
    attribute(node, "auto_pad")
        .and_then(|attribute| std::str::from_utf8(&attribute.s).ok())
        .unwrap_or("NOTSET")
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints.into(),
        ints,
        ..AttributeProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op: &str, input: &str, output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
        NodeProto {
            op_type: op.into(),
            input: vec![input.into(), "weights".into()],
            output: vec![output.into()],
            attribute: attributes,
            ..NodeProto::default()
        }
    }

    /// Halves, crops a pixel all round, and doubles to `output_shape`.
    fn halved_and_doubled(output_shape: [i64; 2]) -> GraphProto {
        let kernel = || ints("kernel_shape", vec![3, 3]);
        let strides = || ints("strides", vec![2, 2]);
        GraphProto {
            node: vec![
                node(
                    "Conv",
                    "x",
                    "a",
                    vec![kernel(), strides(), ints("pads", vec![1; 4])],
                ),
                node("Crop", "a", "b", vec![ints("border", vec![1; 4])]),
                node(
                    "ConvTranspose",
                    "b",
                    "y",
                    vec![
                        kernel(),
                        strides(),
                        ints("output_shape", output_shape.to_vec()),
                    ],
                ),
            ],
            ..GraphProto::default()
        }
    }

    #[test]
    fn an_output_shape_becomes_padding() {
        // 40x60 → 20x30 → 18x28 → naturally 37x57.
        for (shape, pads, added) in [
            ([38, 58], [0, 0, 0, 0], [1, 1]),
            ([37, 56], [0, 1, 0, 0], [0, 0]),
            ([34, 55], [2, 1, 1, 1], [0, 0]),
        ] {
            let mut graph = halved_and_doubled(shape);
            unbake(&mut graph, "x", [40, 60]);
            assert!(!graph.node.iter().any(is_baked));
            assert_eq!(
                integers(&graph.node[2], "pads"),
                Some(pads.to_vec()),
                "{shape:?}"
            );
            let padding = integers(&graph.node[2], "output_padding");
            assert_eq!(padding, Some(added.to_vec()), "{shape:?}");
        }
    }

    #[test]
    fn what_is_not_understood_stays_baked() {
        let mut far = halved_and_doubled([80, 120]);
        unbake(&mut far, "x", [40, 60]);
        assert!(far.node.iter().any(is_baked));
        let mut unknown = halved_and_doubled([38, 58]);
        unknown.node[1].op_type = "Mystery".into();
        unbake(&mut unknown, "x", [40, 60]);
        assert!(unknown.node.iter().any(is_baked));
    }
}
