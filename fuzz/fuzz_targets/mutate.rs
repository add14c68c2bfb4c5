// SPDX-License-Identifier: MPL-2.0
//! Changes to a model that leave it a model.

use gststylize::onnx::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto,
    TensorProto, ValueInfoProto, tensor_shape_proto, type_proto,
};

/// A small generator of numbers (xorshift).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u32) -> Self {
        Self(u64::from(seed) << 1 | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn one<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }

    fn number(&mut self) -> i64 {
        const NUMBERS: [i64; 18] = [
            0, 1, -1, 2, 3, 4, 8, 16, 64, 255, 256, 65_536, 1 << 24, 1 << 31, i64::MAX, i64::MIN, -2, 7,
        ];
        match self.one_in(8) {
            true => self.next() as i64,
            false => NUMBERS[self.below(NUMBERS.len())],
        }
    }
}

const OPERATORS: [&str; 34] = [
    "Conv", "ConvTranspose", "Pad", "DepthToSpace", "Crop", "ImageScaler", "Affine", "Resize",
    "Upsample", "Cast", "Constant", "ConstantOfShape", "Mul", "Add", "Identity", "Relu", "MaxPool",
    "AveragePool", "InstanceNormalization", "ReduceMean", "Shape", "Slice", "Reshape", "If", "Loop",
    "Dropout", "TopK", "QuantizeLinear", "DequantizeLinear", "Max", "Round", "EPContext", "Clip",
    "BatchNormalization",
];
const ATTRIBUTES: [&str; 22] = [
    "output_shape", "pads", "strides", "kernel_shape", "dilations", "output_padding", "border",
    "bias", "scale", "alpha", "beta", "mode", "blocksize", "group", "to", "value", "value_float",
    "value_floats", "auto_pad", "ceil_mode", "dtype", "then_branch",
];
const TEXTS: [&[u8]; 8] = [
    b"reflect", b"edge", b"CRD", b"DCR", b"SAME_UPPER", b"SAME_LOWER", b"VALID", b"\xff",
];
const KEYS: [&str; 10] = [
    "stylize.input-range", "stylize.output-range", "stylize.channel-order", "stylize.size-multiple",
    "stylize.size-minimum", "stylize.noise", "stylize.styles", "stylize.name",
    "Image.BitmapPixelFormat", "Image.NominalPixelRange",
];
const VALUES: [&str; 12] = [
    "0,1", "0,255", "-1,1;0,1;0,255", "bgr", "4", "256", "0", "x:3:8", "z:1:1,z:1:1", "a,b", "Bgr8",
    "stylize/frame:256:1",
];
const LOCATIONS: [&str; 4] = ["x.data", "../x", "/etc/hostname", "*/_ORT_MEM_ADDR_/*"];

/// One change.
pub fn mutate(model: &mut ModelProto, random: &mut Random) {
    match random.below(12) {
        0 => {
            let number = random.number();
            match model.opset_import.first_mut() {
                Some(set) => set.version = if random.one_in(3) { number } else { 7 + number.rem_euclid(16) },
                None => model.opset_import.push(Default::default()),
            }
        }
        1 => {
            let (Some(key), Some(value)) = (random.one(&KEYS), random.one(&VALUES)) else {
                return;
            };
            model.metadata_props.push(StringStringEntryProto {
                key: (*key).into(),
                value: (*value).into(),
            });
        }
        2 => {
            // A node becomes the body of a local function.
            let Some(graph) = &model.graph else { return };
            let Some(node) = random.one(&graph.node).cloned() else {
                return;
            };
            model.functions.push(FunctionProto {
                name: node.op_type.clone(),
                domain: if random.one_in(3) { String::new() } else { "local".into() },
                input: node.input.clone(),
                output: node.output.clone(),
                node: vec![node],
                ..FunctionProto::default()
            });
        }
        _ => change(model.graph.get_or_insert_default(), random, 0),
    }
}

fn change(graph: &mut GraphProto, random: &mut Random, depth: usize) {
    let count = graph.node.len();
    match random.below(12) {
        0 if count > 0 => {
            graph.node.remove(random.below(count));
        }
        1 if count > 0 => {
            let node = graph.node[random.below(count)].clone();
            graph.node.insert(random.below(count), node);
        }
        2 if count > 1 => graph.node.swap(random.below(count), random.below(count)),
        3 => rename(graph, random),
        4 => {
            let places = graph.input.len() + graph.output.len();
            let place = random.below(places);
            let values = graph.input.iter_mut().chain(&mut graph.output);
            if let Some(value) = values.skip(place).next() {
                shape(value, random);
            }
        }
        5 => {
            if let Some(value) = random.one(&graph.input).cloned() {
                graph.input.push(value);
            }
        }
        6 => {
            let places = graph.initializer.len();
            let place = random.below(places);
            if let Some(tensor) = graph.initializer.get_mut(place) {
                of_tensor(tensor, random);
            }
        }
        7 if depth < 3 && count > 0 => {
            // Nodes move into a branch.
            let mut inner = GraphProto {
                node: graph.node.split_off(random.below(count)),
                ..GraphProto::default()
            };
            if let Some(value) = random.one(&graph.output) {
                inner.output.push(value.clone());
            }
            change(&mut inner, random, depth + 1);
            graph.node.push(NodeProto {
                op_type: "If".into(),
                input: vec!["condition".into()],
                output: inner.output.iter().map(|value| value.name.clone()).collect(),
                attribute: vec![AttributeProto {
                    name: "then_branch".into(),
                    r#type: 5,
                    g: Some(inner),
                    ..AttributeProto::default()
                }],
                ..NodeProto::default()
            });
        }
        _ if count > 0 => {
            let index = random.below(count);
            of_node(&mut graph.node[index], random, depth);
        }
        _ => graph.node.push(NodeProto {
            op_type: "Identity".into(),
            input: vec!["x".into()],
            output: vec!["y".into()],
            ..NodeProto::default()
        }),
    }
}

/// Another name for one value, the same as another's or one that the compiler would give.
fn rename(graph: &mut GraphProto, random: &mut Random) {
    let names: Vec<String> = graph.node.iter().flat_map(|n| n.output.clone()).collect();
    let other = match random.below(3) {
        0 => random.one(&names).cloned().unwrap_or_default(),
        1 => format!("stylize/{}", ["frame", "out", "cast_1", "constant_2"][random.below(4)]),
        _ => format!("{}/half", random.one(&names).cloned().unwrap_or_default()),
    };
    let mut all: Vec<&mut String> = Vec::new();
    let values = graph.input.iter_mut().chain(&mut graph.output);
    all.extend(values.map(|value| &mut value.name));
    all.extend(graph.initializer.iter_mut().map(|tensor| &mut tensor.name));
    for node in &mut graph.node {
        all.extend(node.input.iter_mut().chain(&mut node.output));
        all.push(&mut node.name);
    }
    let index = random.below(all.len());
    let Some(old) = all.get(index).map(|name| (**name).clone()) else {
        return;
    };
    match random.one_in(2) {
        true => *all[index] = other,
        false => {
            let same = all.into_iter().filter(|name| **name == old);
            same.for_each(|name| name.clone_from(&other));
        }
    }
}

fn shape(value: &mut ValueInfoProto, random: &mut Random) {
    use tensor_shape_proto::dimension::Value;
    let kind = value.r#type.get_or_insert_default();
    let Some(type_proto::Value::TensorType(tensor)) = &mut kind.value else {
        kind.value = Some(type_proto::Value::TensorType(type_proto::Tensor::default()));
        return;
    };
    if random.one_in(3) {
        tensor.elem_type = random.below(30) as i32;
        return;
    }
    let shape = tensor.shape.get_or_insert_default();
    match random.below(3) {
        0 => shape.dim.push(Default::default()),
        1 => drop(shape.dim.pop()),
        _ => {
            let count = shape.dim.len();
            if let Some(dim) = shape.dim.get_mut(random.below(count)) {
                dim.value = match random.one_in(3) {
                    true => Some(Value::DimParam("n".into())),
                    false => Some(Value::DimValue(random.number())),
                };
            }
        }
    }
}

fn of_tensor(tensor: &mut TensorProto, random: &mut Random) {
    match random.below(6) {
        0 => tensor.dims.push(random.number()),
        1 => drop(tensor.dims.pop()),
        2 => tensor.data_type = random.below(30) as i32,
        3 => {
            let len = tensor.raw_data.len();
            tensor.raw_data.truncate(random.below(len));
        }
        4 => tensor.int64_data.push(random.number()),
        _ => {
            tensor.data_location = i32::from(!random.one_in(3));
            let location = LOCATIONS[random.below(LOCATIONS.len())].to_string();
            for (key, value) in [("location", location), ("offset", random.number().to_string())] {
                tensor.external_data.push(StringStringEntryProto {
                    key: key.into(),
                    value,
                });
            }
        }
    }
}

fn of_node(node: &mut NodeProto, random: &mut Random, depth: usize) {
    let inputs = node.input.len();
    match random.below(10) {
        0 => node.op_type = OPERATORS[random.below(OPERATORS.len())].into(),
        1 => node.domain = ["", "ai.onnx", "local", "com.microsoft"][random.below(4)].into(),
        2 => drop(node.input.pop()),
        3 => node.input.push(match random.one_in(2) {
            true => String::new(),
            false => random.one(&node.input).cloned().unwrap_or_default(),
        }),
        4 => drop(node.output.pop()),
        5 if inputs > 1 => node.input.swap(random.below(inputs), random.below(inputs)),
        6 => node.attribute.push(AttributeProto {
            name: ATTRIBUTES[random.below(ATTRIBUTES.len())].into(),
            ints: (0..random.below(9)).map(|_| random.number()).collect(),
            ..AttributeProto::default()
        }),
        7 => {
            let count = node.attribute.len();
            if count > 0 {
                node.attribute.remove(random.below(count));
            }
        }
        _ => {
            let count = node.attribute.len();
            let Some(attribute) = node.attribute.get_mut(random.below(count)) else {
                return;
            };
            match random.below(7) {
                0 => attribute.i = random.number(),
                1 => attribute.f = f32::from_bits(random.number() as u32),
                2 => attribute.s = TEXTS[random.below(TEXTS.len())].to_vec(),
                3 => attribute.ints.push(random.number()),
                4 => drop(attribute.ints.pop()),
                5 => {
                    let count = attribute.ints.len();
                    if let Some(int) = attribute.ints.get_mut(random.below(count)) {
                        *int = random.number();
                    }
                }
                _ => {
                    if let Some(tensor) = &mut attribute.t {
                        of_tensor(tensor, random);
                    } else if let Some(graph) = &mut attribute.g {
                        change(graph, random, depth + 1);
                    } else {
                        attribute.t = Some(TensorProto::default());
                    }
                }
            }
        }
    }
}
