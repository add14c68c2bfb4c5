// SPDX-License-Identifier: MPL-2.0
//! Converts a generator to float16, for providers that compute in the graph's types.
//!
//! Convolutions and activations become float16. Operators that sum over a whole picture (the statistics of
//! normalizations), square or divide small numbers stay float32, with casts around them: float16 has 11 significant
//! bits and a range of 6e-8 to 65504, too few for a sum over a million pixels or an epsilon of 1e-8. Numbers from
//! which sizes are computed stay float32, too.

use std::collections::{HashMap, HashSet};

use crate::onnx::tensor_proto::DataType;
use crate::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto, walk};
use half::f16;

use crate::graph::error::GraphError;
use crate::graph::write::attribute::int;
use crate::model::{ElementType, Signature};

/// ONNX's number of float32 in `data_type` and `to`.
const FLOAT: i32 = DataType::Float as i32;

/// Operators that are computed in float32.
const FULL: [&str; 17] = [
    "InstanceNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "BatchNormalization",
    "MeanVarianceNormalization",
    "LpNormalization",
    "ReduceMean",
    "ReduceSum",
    "ReduceSumSquare",
    "ReduceL2",
    "GlobalAveragePool",
    "Pow",
    "Sqrt",
    "Reciprocal",
    "Exp",
    "Log",
    "Softmax",
];

/// Operators that keep the precision of their inputs, such as the addition of an epsilon to a variance, or a
/// reshape of squares before their mean.
const FOLLOWING: [&str; 16] = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Max",
    "Abs",
    "Neg",
    "Clip",
    "Identity",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Expand",
    "Slice",
];

/// Converts a generator except its inputs in `given`, which stay float32; its picture input becomes float16. Returns
/// the element type of its picture output.
///
/// # Errors
/// [`GraphError::Half`] for quantized generators and for those with branches or loops.
pub(crate) fn convert(
    graph: &mut GraphProto,
    signature: &Signature,
    given: &[String],
) -> Result<ElementType, GraphError> {
    let foreign = |node: &&NodeProto| {
        let inner = walk::graphs(node).next().is_some();
        inner || node.op_type.contains("Quantize") || node.op_type.contains("Integer")
    };
    if let Some(node) = graph.node.iter().find(foreign) {
        return Err(GraphError::Half(node.op_type.clone()));
    }
    constants_to_initializers(graph);
    let exact = sizes(graph);
    let mut converter = Converter::new(graph, signature, given);
    for (index, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        converter.add(node, exact.contains(&index));
    }
    let output = match converter.floats.get(&signature.output.name) {
        Some(Precision::Half) => ElementType::F16,
        _ => signature.output.element,
    };
    graph.node = converter.nodes;
    graph.initializer.extend(converter.constants);
    let read: HashSet<&str> = graph.node.iter().flat_map(walk::reads).collect();
    let initializers = &mut graph.initializer;
    initializers.retain(|tensor| read.contains(tensor.name.as_str()));
    Ok(output)
}

/// The precision that a float tensor is computed in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Precision {
    Half,
    Full,
}

/// State of a conversion.
struct Converter {
    /// Precision of the float tensors converted so far.
    floats: HashMap<String, Precision>,
    /// Float32 initializers.
    weights: HashMap<String, TensorProto>,
    /// Tensors that also exist in the other precision, as `name/half` or `name/full`.
    twins: HashSet<String>,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Converter {
    fn new(graph: &GraphProto, signature: &Signature, given: &[String]) -> Self {
        let weights = graph.initializer.iter().filter(|t| t.data_type == FLOAT);
        let weights: HashMap<_, _> = weights.map(|t| (t.name.clone(), t.clone())).collect();
        let full = weights.keys().chain(given);
        let mut floats: HashMap<_, _> = full.map(|n| (n.clone(), Precision::Full)).collect();
        floats.insert(signature.input.name.clone(), Precision::Half);
        Self {
            floats,
            weights,
            twins: HashSet::new(),
            nodes: Vec::new(),
            constants: Vec::new(),
        }
    }

    /// Appends a node; with `exact` it stays float32.
    fn add(&mut self, mut node: NodeProto, exact: bool) {
        let precision = match exact || self.wants_full(&node) {
            true => Precision::Full,
            false => Precision::Half,
        };
        let scales = ["Resize", "Upsample"].contains(&node.operator());
        for (index, name) in node.input.iter_mut().enumerate() {
            if self.floats.contains_key(name) {
                // Scales of Resize and Upsample are float32 by definition.
                let wanted = if scales && index > 0 {
                    Precision::Full
                } else {
                    precision
                };
                *name = self.in_precision(name, wanted);
            }
        }
        if let Some(float) = makes_float(&mut node, precision)
            .or_else(|| node.input.iter().any(|n| self.is_float(n)).then_some(true))
            && float
        {
            let floats = match node.operator() {
                // Further outputs are indices or masks.
                "MaxPool" | "TopK" | "Unique" | "Dropout" => 1,
                _ => node.output.len(),
            };
            for name in node.output.iter().take(floats) {
                self.floats.insert(name.clone(), precision);
            }
        }
        self.nodes.push(node);
    }

    /// Whether a node must be computed in float32.
    fn wants_full(&self, node: &NodeProto) -> bool {
        let kind = node.operator();
        // A square, possibly written as x · (x + 1e-9).
        let square = kind == "Mul" && node.input.iter().all(|n| !self.weights.contains_key(n));
        let follows = || {
            let computed = node.input.iter().filter(|n| !self.weights.contains_key(*n));
            let mut computed = computed.filter_map(|n| self.floats.get(n)).peekable();
            computed.peek().is_some() && computed.all(|p| *p == Precision::Full)
        };
        // Operators of other domains and local functions may not support float16.
        kind.is_empty()
            || FULL.contains(&kind)
            || square
            || (FOLLOWING.contains(&kind) && follows())
    }

    /// Whether a tensor, or the tensor of which it is the other precision, is a float.
    fn is_float(&self, name: &str) -> bool {
        let base = name.strip_suffix("/half").or(name.strip_suffix("/full"));
        self.floats.contains_key(name) || base.is_some_and(|n| self.floats.contains_key(n))
    }

    /// Name of the tensor in this precision; appends a conversion if needed.
    fn in_precision(&mut self, name: &str, wanted: Precision) -> String {
        if self.floats.get(name) == Some(&wanted) {
            return name.into();
        }
        let (twin, to) = match wanted {
            Precision::Half => (format!("{name}/half"), ElementType::F16),
            Precision::Full => (format!("{name}/full"), ElementType::F32),
        };
        if self.twins.insert(twin.clone()) {
            match self.weights.get(name) {
                Some(weights) => self.constants.push(halved(weights, &twin)),
                None => self.nodes.push(NodeProto {
                    name: twin.clone(),
                    op_type: "Cast".into(),
                    input: vec![name.into()],
                    output: vec![twin.clone()],
                    attribute: vec![int("to", to.to_onnx().into())],
                    ..NodeProto::default()
                }),
            }
        }
        twin
    }
}

/// Whether the node's outputs are floats, for nodes of which that does not follow from their inputs. An attribute that
/// states float32 as the output type is changed to this precision.
fn makes_float(node: &mut NodeProto, precision: Precision) -> Option<bool> {
    let element = match precision {
        Precision::Half => ElementType::F16,
        Precision::Full => ElementType::F32,
    };
    let attribute = |node: &mut NodeProto, name: &str| {
        let attribute = node.attribute.iter_mut().find(|a| a.name == name)?;
        let float = attribute.i == i64::from(FLOAT);
        if float {
            attribute.i = element.to_onnx().into();
        }
        Some(float)
    };
    match node.operator() {
        "Cast" => attribute(node, "to"),
        "Shape" | "Size" | "NonZero" | "ArgMax" | "ArgMin" | "Equal" | "Less" | "Greater"
        | "LessOrEqual" | "GreaterOrEqual" | "IsNaN" | "IsInf" => Some(false),
        "RandomNormal" | "RandomUniform" | "RandomNormalLike" | "RandomUniformLike" => {
            attribute(node, "dtype").or(Some(true))
        }
        "ConstantOfShape" => {
            let value = node.attribute.iter_mut().find(|a| a.name == "value");
            match value.and_then(|a| a.t.as_mut()) {
                Some(tensor) if tensor.data_type != FLOAT => Some(false),
                Some(tensor) if precision == Precision::Half => {
                    *tensor = halved(tensor, &tensor.name.clone());
                    Some(true)
                }
                // Without a value, the output is float32 zeros.
                _ => Some(precision == Precision::Full),
            }
        }
        _ => None,
    }
}

/// Indices of the nodes from which sizes, scales and positions are computed.
fn sizes(graph: &GraphProto) -> HashSet<usize> {
    let makers: HashMap<&String, usize> = graph
        .node
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.output.iter().map(move |name| (name, index)))
        .collect();
    let mut open: Vec<&String> = graph.node.iter().flat_map(size_inputs).collect();
    let mut exact = HashSet::new();
    while let Some(name) = open.pop() {
        let Some(&index) = makers.get(name) else {
            continue;
        };
        let node = &graph.node[index];
        // The shape of a tensor does not depend on its precision, so the search ends here.
        let taken = ["Shape", "Size"].contains(&node.operator());
        if !taken && exact.insert(index) {
            open.extend(&node.input);
        }
    }
    exact
}

/// Inputs of a node that are sizes, scales or positions.
fn size_inputs(node: &NodeProto) -> &[String] {
    let from = match node.operator() {
        "Reshape" | "Expand" | "Tile" | "Slice" | "Resize" | "Upsample" | "Unsqueeze"
        | "Squeeze" | "Split" => 1..node.input.len(),
        "Pad" => 1..2,
        "ConstantOfShape" | "Range" => 0..node.input.len(),
        _ => 0..0,
    };
    node.input.get(from).unwrap_or_default()
}

/// Turns `Constant` nodes into initializers, so that there is one kind of weights.
fn constants_to_initializers(graph: &mut GraphProto) {
    let mut found = Vec::new();
    graph.node.retain(|node| {
        let tensor = node.attribute.iter().find_map(constant);
        match (node.operator(), tensor, node.output.first()) {
            ("Constant", Some(tensor), Some(name)) => {
                found.push(TensorProto {
                    name: name.clone(),
                    ..tensor
                });
                false
            }
            _ => true,
        }
    });
    graph.initializer.extend(found);
}

/// The value of a `Constant`, if this attribute holds it as a tensor or as floats.
fn constant(attribute: &AttributeProto) -> Option<TensorProto> {
    let floats = |dims: Vec<i64>, values: &[f32]| TensorProto {
        data_type: FLOAT,
        dims,
        float_data: values.to_vec(),
        ..TensorProto::default()
    };
    match attribute.name.as_str() {
        "value" => attribute.t.clone(),
        "value_float" => Some(floats(vec![], &[attribute.f])),
        "value_floats" => {
            let values = &attribute.floats;
            Some(floats(vec![values.len() as i64], values))
        }
        _ => None,
    }
}

/// A float32 tensor in float16, with values clamped to its range.
fn halved(tensor: &TensorProto, name: &str) -> TensorProto {
    let value = |v: f32| f16::from_f32(v.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
    let values: Vec<f16> = if tensor.raw_data.is_empty() {
        tensor.float_data.iter().map(|v| value(*v)).collect()
    } else {
        let bytes = tensor.raw_data.chunks_exact(4);
        bytes
            .map(|b| value(f32::from_le_bytes(b.try_into().unwrap_or_default())))
            .collect()
    };
    TensorProto {
        name: name.into(),
        data_type: ElementType::F16.to_onnx(),
        dims: tensor.dims.clone(),
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}
