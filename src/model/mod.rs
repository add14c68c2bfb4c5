// SPDX-License-Identifier: MPL-2.0
//! What a *generator* is: an ONNX image-to-image network, read from its bytes and described by a
//! [`Signature`].
//!
//! This room knows protobuf and GLib key files; it knows neither ONNX Runtime nor GStreamer
//! elements. Facts about a generator come from four places and are believed in this order
//! ([`Facts::or`]): properties of the element, the `.modelinfo` sidecar ([`modelinfo`]), ONNX
//! metadata ([`metadata`]), then the graph's own shapes and a probe run.

pub(crate) mod edit;
mod error;
pub mod file;
pub mod metadata;
pub mod modelinfo;
pub(crate) mod names;
mod noise;
mod repair;
pub mod signature;
pub mod styles;

use std::collections::HashSet;
use std::path::Path;

use crate::onnx::{Bytes, GraphProto, ModelProto, OnnxError, ValueInfoProto, type_proto, walk};

use repair::{legacy, unbake};

use error::MOST_SIDE;
pub use error::ModelError;
pub use file::WeightsError;
pub(crate) use noise::MOST as MOST_NOISE;
pub use noise::Noise;
pub use signature::{
    ChannelOrder, ElementType, Extent, Facts, Layout, Range, Signature, TensorSpec,
};
pub use styles::{StyleError, StyleInput};

/// A parsed ONNX model whose graph has one image input, maybe a style input and noise inputs, and at
/// least one image output.
///
/// Everything else (ranges, channel order, size rules) is in [`Facts`], because a graph alone does
/// not say it.
#[derive(Debug, Clone)]
pub struct Model {
    proto: ModelProto,
    input: Port,
    output: Port,
    noise: Vec<Noise>,
    style: Option<StyleInput>,
}

/// A tensor at the model's boundary as the graph declares it.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub name: String,
    /// `-1` for a size that is not fixed.
    pub dims: Vec<i64>,
    pub element: ElementType,
    pub doc: String,
}

impl Model {
    /// Reads a model file, with the weights that lie beside it.
    ///
    /// # Errors
    /// Of what [`Model::parse`] refuses, and of files that cannot be read.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        Self::understand(file::read(path)?)
    }

    /// Parses ONNX bytes and checks that they hold an image-to-image network.
    ///
    /// # Errors
    /// [`ModelError`] for everything else, also for a model with weights in another file.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, ModelError> {
        Self::understand(file::from_bytes(bytes.into())?)
    }

    fn understand(mut proto: ModelProto) -> Result<Self, ModelError> {
        names::make_room(&mut proto);
        let damaged = |what: &str| Err(OnnxError::Damaged(what.into()).into());
        let Some(graph) = proto.graph.as_ref() else {
            return damaged("it has no graph");
        };
        if graph.node.is_empty() {
            return damaged("its graph has no nodes");
        }
        if proto.functions.iter().any(|f| walk::is_default(&f.domain)) {
            return damaged("a local function takes the place of an operator of ONNX's own");
        }
        if default_opset(&proto).is_none() {
            return damaged("it names no operator set");
        }
        let mut inputs = real_inputs(graph);
        let noise = Noise::list(metadata::entry(&proto, "stylize.noise"), &inputs)?;
        inputs.retain(|input| noise.iter().all(|noise| noise.name != input.name));
        // What could be a style input is one only if an image is left.
        let mut style = match inputs.len() {
            2 => inputs.iter().find_map(|input| StyleInput::of(input)),
            _ => None,
        };
        if let Some(style) = &mut style {
            inputs.retain(|input| input.name != style.name);
            let entry = metadata::entry(&proto, "stylize.styles");
            style.name(metadata::ORIGIN, entry)?;
        }
        let describe = |values: &[&ValueInfoProto]| -> Vec<String> {
            values.iter().map(|value| describe(value)).collect()
        };
        let outputs: Vec<&ValueInfoProto> = graph.output.iter().collect();
        let [input] = inputs.as_slice() else {
            return Err(ModelError::Inputs {
                inputs: describe(&inputs),
                outputs: describe(&outputs),
            });
        };
        if !is_image(&dims(input)) {
            return Err(ModelError::InputShape {
                input: input.name.clone(),
                inputs: describe(&inputs),
                outputs: describe(&outputs),
            });
        }
        // An output whose shape the exporter left out is taken on trust, if no other is an image; the
        // probe run will tell.
        let images = || outputs.iter().filter(|value| is_image(&dims(value)));
        let Some(output) = images()
            .find(|value| port(value).is_ok())
            .or_else(|| images().next())
            .or_else(|| outputs.iter().find(|value| dims(value).is_empty()))
        else {
            return Err(ModelError::NoImageOutput {
                inputs: describe(&inputs),
                outputs: describe(&outputs),
            });
        };
        let (input, mut output) = (port(input)?, port(output)?);
        if input.dims.iter().any(|size| *size > MOST_SIDE) {
            let [.., height, width] = match input.dims[..] {
                [n, h, w, 3] => [n, 3, h, w],
                [n, c, h, w] => [n, c, h, w],
                _ => [0; 4],
            };
            return Err(ModelError::InputSize {
                input: input.name,
                width,
                height,
            });
        }
        if output.dims.is_empty() {
            output.dims.clone_from(&input.dims);
        }
        let opset = default_opset(&proto).unwrap_or(1);
        if let Some(graph) = proto.graph.as_mut() {
            if let [_, 3, height, width] = input.dims[..]
                && height > 0
                && width > 0
            {
                unbake::unbake(graph, &input.name, [height, width]);
            }
            legacy::modernize(graph, opset);
        }
        Ok(Self {
            proto,
            input,
            output,
            noise,
            style,
        })
    }

    /// Whether the graph names a size in a way that a runtime takes on trust, so that running it at
    /// another size could crash the process.
    pub(crate) fn is_baked(&self) -> bool {
        walk::nodes(&self.proto).into_iter().any(unbake::is_baked)
    }

    /// Whether an operator's name contains `part`.
    pub(crate) fn has_operator(&self, part: &str) -> bool {
        let nodes = walk::nodes(&self.proto);
        nodes.iter().any(|node| node.op_type.contains(part))
    }

    /// Version of the default operator set, at least 1.
    pub fn opset(&self) -> i64 {
        default_opset(&self.proto).unwrap_or(1)
    }

    /// Whether it works on integers with scales (`QuantizeLinear`, `DequantizeLinear`).
    pub fn is_quantized(&self) -> bool {
        let nodes = walk::nodes(&self.proto);
        nodes.iter().any(|node| node.op_type == "DequantizeLinear")
    }

    pub(crate) fn proto(&self) -> &ModelProto {
        &self.proto
    }

    pub(crate) fn input(&self) -> &Port {
        &self.input
    }

    pub(crate) fn output(&self) -> &Port {
        &self.output
    }

    /// What its metadata call it, else the name of the file at this path.
    pub fn name(&self, file: &str) -> String {
        let stem = || {
            Path::new(file)
                .file_stem()
                .map(|stem| stem.to_string_lossy())
        };
        match metadata::value(&self.proto, "stylize.name") {
            Some(name) => name.into(),
            None => stem().unwrap_or_default().into(),
        }
    }

    /// Inputs for noise, in the order in which the metadata list them.
    pub(crate) fn noise(&self) -> &[Noise] {
        &self.noise
    }

    /// The input that says which style to paint in.
    pub(crate) fn style(&self) -> Option<&StyleInput> {
        self.style.as_ref()
    }
}

/// Version of the operator set of the default domain ("" or "ai.onnx").
fn default_opset(proto: &ModelProto) -> Option<i64> {
    proto
        .opset_import
        .iter()
        .find(|set| walk::is_default(&set.domain))
        .map(|set| set.version)
}

/// Graph inputs that a caller must feed: before IR version 4 initializers are listed there too.
pub(crate) fn real_inputs(graph: &GraphProto) -> Vec<&ValueInfoProto> {
    let sparse = graph.sparse_initializer.iter();
    let sparse = sparse.filter_map(|sparse| sparse.values.as_ref());
    let constants = graph.initializer.iter().chain(sparse);
    let constants: HashSet<&String> = constants.map(|tensor| &tensor.name).collect();
    let inputs = graph.input.iter();
    inputs
        .filter(|value| !constants.contains(&value.name))
        .collect()
}

fn tensor(value: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor),
        _ => None,
    }
}

fn dims(value: &ValueInfoProto) -> Vec<i64> {
    use crate::onnx::tensor_shape_proto::dimension::Value;
    let Some(shape) = tensor(value).and_then(|tensor| tensor.shape.as_ref()) else {
        return Vec::new();
    };
    shape
        .dim
        .iter()
        .map(|dim| match dim.value {
            Some(Value::DimValue(size)) if size > 0 => size,
            _ => -1,
        })
        .collect()
}

/// One picture of three channels; sizes may be open, but something must say "image".
fn is_image(dims: &[i64]) -> bool {
    let one = |d: i64| d == 1 || d == -1;
    let size = |d: i64| d == -1 || d > 3;
    match *dims {
        [n, a, b, c] => {
            one(n) && ((a == 3 || a == -1) && size(b) && size(c) || size(a) && size(b) && c == 3)
        }
        _ => false,
    }
}

fn describe(value: &ValueInfoProto) -> String {
    let dims: Vec<String> = dims(value)
        .iter()
        .map(|d| if *d < 0 { "?".into() } else { d.to_string() })
        .collect();
    format!("{} [{}]", value.name, dims.join(", "))
}

fn port(value: &ValueInfoProto) -> Result<Port, ModelError> {
    let code = tensor(value).map_or(0, |tensor| tensor.elem_type);
    let element = ElementType::from_onnx(code).ok_or_else(|| ModelError::Element {
        tensor: value.name.clone(),
        element: signature::onnx_type_name(code),
    })?;
    Ok(Port {
        name: value.name.clone(),
        dims: dims(value),
        element,
        doc: value.doc_string.clone(),
    })
}

#[cfg(test)]
mod tests {
    use crate::onnx::{NodeProto, OperatorSetIdProto, StringStringEntryProto};

    use super::edit::value_info;
    use super::*;

    const OPEN: [i64; 4] = [1, 3, -1, -1];

    /// `y = x` with these shapes; no shape where there are no numbers.
    fn proto(inputs: &[(&str, &[i64])], outputs: &[(&str, &[i64])]) -> ModelProto {
        let values = |list: &[(&str, &[i64])]| {
            let value = |(name, dims): &(&str, &[i64])| {
                value_info(name, ElementType::F32, (!dims.is_empty()).then_some(*dims))
            };
            list.iter().map(value).collect()
        };
        let node = NodeProto {
            op_type: "Identity".into(),
            input: vec![inputs[0].0.into()],
            output: vec![outputs[0].0.into()],
            ..NodeProto::default()
        };
        ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto {
                version: 13,
                ..OperatorSetIdProto::default()
            }],
            graph: Some(GraphProto {
                node: vec![node],
                input: values(inputs),
                output: values(outputs),
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        }
    }

    fn parsed(proto: &ModelProto) -> Result<Model, ModelError> {
        Model::parse(edit::serialize(proto)?)
    }

    /// A generator of open size that says nothing about itself.
    pub(super) fn image_model() -> Model {
        parsed(&proto(&[("x", &OPEN)], &[("y", &OPEN)])).expect("a generator")
    }

    /// What is read from these metadata.
    pub(super) fn described(entries: &[(&str, &str)]) -> Result<Facts, ModelError> {
        let mut proto = proto(&[("x", &OPEN)], &[("y", &OPEN)]);
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: (*key).into(),
            value: (*value).into(),
        };
        proto.metadata_props = entries.iter().map(entry).collect();
        metadata::facts(&parsed(&proto)?)
    }

    #[test]
    fn the_image_is_picked_from_several_outputs() {
        let input: [(&str, &[i64]); 1] = [("x", &OPEN)];
        for (outputs, picked) in [
            (&[("score", &[1, 10][..]), ("y", &OPEN)][..], "y"),
            (&[("open", &[]), ("y", &[1, -1, -1, 3])], "y"),
            (&[("score", &[1, 10]), ("open", &[])], "open"),
        ] {
            let model = parsed(&proto(&input, outputs)).expect("a generator");
            assert_eq!(model.output().name, picked);
        }
    }

    #[test]
    fn shapes_tell_the_layout() {
        for (dims, layout) in [
            (&[1, 3, -1, -1], Layout::Nchw),
            (&[1, -1, -1, 3], Layout::Nhwc),
            (&[1, 720, 720, 3], Layout::Nhwc),
            (&[-1, 3, 224, 224], Layout::Nchw),
            (&[1, -1, -1, -1], Layout::Nchw),
        ] {
            let model = parsed(&proto(&[("x", dims)], &[("y", &[])])).expect("a generator");
            let signature = Signature::resolve(&model, &Facts::default());
            assert_eq!(signature.input.layout, layout, "{dims:?}");
            assert_eq!(signature.output.layout, layout, "{dims:?}");
        }
    }

    #[test]
    fn what_is_no_image_to_image_network_is_refused_with_its_shapes() {
        let image: (&str, &[i64]) = ("x", &OPEN);
        let refused = |inputs: &[(&str, &[i64])], outputs: &[(&str, &[i64])]| {
            let err = parsed(&proto(inputs, outputs)).expect_err("no generator");
            err.to_string()
        };
        let text = refused(&[image, ("prompt", &[2, 13])], &[("y", &OPEN)]);
        assert!(text.contains("x [1, 3, ?, ?], prompt [2, 13]"), "{text}");
        for dims in [
            &[3, 64, 64][..],
            &[1, 1, 64, 64],
            &[2, 3, 64, 64],
            &[1, 100],
        ] {
            let text = refused(&[("x", dims)], &[("y", &OPEN)]);
            assert!(text.contains("not an image"), "{text}");
        }
        let text = refused(&[image], &[("y", &[1, 1, 1, 100])]);
        assert!(text.contains("y [1, 1, 1, 100]"), "{text}");
    }
}
