// SPDX-License-Identifier: MPL-2.0
//! Tiny ONNX generators, built in memory.

use gststylize::onnx::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType, tensor_shape_proto, type_proto,
};

/// `TensorProto.DataType` codes.
pub const F32: i32 = 1;
pub const U8: i32 = 2;
pub const I64: i32 = 7;
pub const F16: i32 = 10;

/// An ONNX model under construction. Sizes of `-1` are left open.
#[derive(Clone)]
pub struct Net {
    pub model: ModelProto,
}

impl Net {
    pub fn new(opset: i64) -> Self {
        let model = ModelProto {
            ir_version: if opset < 9 { 3 } else { 7 },
            producer_name: "test".into(),
            opset_import: vec![OperatorSetIdProto {
                version: opset,
                ..OperatorSetIdProto::default()
            }],
            graph: Some(GraphProto {
                name: "test".into(),
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        };
        Self { model }
    }

    fn graph(&mut self) -> &mut GraphProto {
        self.model.graph.get_or_insert_default()
    }

    pub fn input(mut self, name: &str, element: i32, dims: &[i64]) -> Self {
        self.graph().input.push(value(name, element, dims));
        self
    }

    pub fn output(mut self, name: &str, element: i32, dims: &[i64]) -> Self {
        self.graph().output.push(value(name, element, dims));
        self
    }

    pub fn node(
        mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) -> Self {
        self.graph().node.push(NodeProto {
            name: format!("node {output}"),
            op_type: op.into(),
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: vec![output.into()],
            attribute: attributes,
            ..NodeProto::default()
        });
        self
    }

    pub fn floats(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, F32, dims, raw)
    }

    pub fn integers(self, name: &str, values: &[i64]) -> Self {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, I64, &[values.len() as i64], raw)
    }

    pub fn tensor(mut self, name: &str, element: i32, dims: &[i64], raw: Vec<u8>) -> Self {
        if self.model.ir_version < 4 {
            // The old rule: initializers are inputs as well.
            self = self.input(name, element, dims);
        }
        self.graph().initializer.push(TensorProto {
            name: name.into(),
            data_type: element,
            dims: dims.to_vec(),
            raw_data: raw.into(),
            ..TensorProto::default()
        });
        self
    }

    pub fn meta(mut self, key: &str, value: &str) -> Self {
        self.model.metadata_props.push(StringStringEntryProto {
            key: key.into(),
            value: value.into(),
        });
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }
}

fn value(name: &str, element: i32, dims: &[i64]) -> ValueInfoProto {
    use tensor_shape_proto::dimension::Value;
    let dim = |(axis, size): (usize, &i64)| tensor_shape_proto::Dimension {
        value: Some(match *size {
            -1 => Value::DimParam(format!("{name}_{axis}")),
            size => Value::DimValue(size),
        }),
        ..tensor_shape_proto::Dimension::default()
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: element,
                shape: Some(TensorShapeProto {
                    dim: dims.iter().enumerate().map(dim).collect(),
                }),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int.into(),
        i,
        ..AttributeProto::default()
    }
}

pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        s: value.as_bytes().to_vec(),
        r#type: AttributeType::String.into(),
        ..AttributeProto::default()
    }
}

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints.into(),
        ints: ints.to_vec(),
        ..AttributeProto::default()
    }
}

/// `[1, 3, H, W]`, open size.
pub const NCHW: [i64; 4] = [1, 3, -1, -1];

/// One picture in, one out, of any size that is a multiple of `multiple`; `range` by metadata.
pub fn open(opset: i64, range: &str, multiple: usize) -> Net {
    let multiple = multiple.to_string();
    Net::new(opset)
        .input("x", F32, &NCHW)
        .output("y", F32, &NCHW)
        .meta("stylize.input-range", range)
        .meta("stylize.output-range", range)
        .meta("stylize.size-multiple", &multiple)
        .meta("stylize.size-minimum", &multiple)
}

/// Returns its input; 0..1 by metadata.
pub fn identity(opset: i64) -> Net {
    open(opset, "0,1", 1).node("Identity", &["x"], "y", vec![])
}

/// `y = 1 − x` over 0..1: the negative.
pub fn negative(opset: i64) -> Net {
    open(opset, "0,1", 1)
        .floats("one", &[1], &[1.0])
        .node("Sub", &["one", "x"], "y", vec![])
}

/// Moves the channels on by one: `(r, g, b) → (g, b, r)`; 0..255 by metadata.
pub fn rotate_channels(opset: i64) -> Net {
    open(opset, "0,255", 1).integers("order", &[1, 2, 0]).node(
        "Gather",
        &["x", "order"],
        "y",
        vec![int("axis", 1)],
    )
}

/// Returns its input after a number of steps, each of which takes a fixed time for each pixel.
pub fn slow(steps: usize) -> Net {
    let mut net = open(13, "0,1", 1).floats("nothing", &[], &[0.0]);
    let mut last = "x".to_string();
    for step in 0..steps {
        let next = format!("sine {step}");
        net = net.node("Sin", &[&last], &next, vec![]);
        last = next;
    }
    net.node("Mul", &[&last, "nothing"], "none", vec![])
        .node("Add", &["x", "none"], "y", vec![])
}

/// An identity of two styles, `sound` and `broken`. In `broken` an index is out of range, so a provider loads
/// and compiles it, and fails when it runs.
pub fn fragile() -> Net {
    open(13, "0,1", 1)
        .input("mix", F32, &[2])
        .meta("stylize.styles", "sound,broken")
        .integers("second", &[1])
        .floats("most", &[], &[0.9])
        .floats("nothing", &[1], &[0.0])
        .node("Gather", &["mix", "second"], "share", vec![])
        .node("Greater", &["share", "most"], "broken", vec![])
        .node("Cast", &["broken"], "index", vec![int("to", 7)])
        // Out of range at 1.
        .node("Gather", &["nothing", "index"], "zero", vec![])
        .node("Add", &["x", "zero"], "y", vec![])
}
