// SPDX-License-Identifier: MPL-2.0
//! Parsing of generators.

use std::path::Path;

use super::conventions::MAX_SIDE;
use super::description::entry;
use super::noise::Noise;
use super::repair::{legacy, unbake};
use super::styles::StyleInput;
use super::tensor::{DeclaredTensor, describe, dims, is_image, real_inputs};
use super::{ModelError, file, names};
use crate::onnx::{Bytes, ModelProto, OnnxError, ValueInfoProto, walk};

/// A parsed ONNX model whose graph has one image input, optionally a style input and noise inputs, and at least one
/// image output.
///
/// Ranges, channel order and size rules are in [`Conventions`](super::Conventions), because a graph does not state
/// them.
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) proto: ModelProto,
    pub(super) input: DeclaredTensor,
    pub(super) output: DeclaredTensor,
    pub(super) noise: Vec<Noise>,
    pub(super) style: Option<StyleInput>,
}

impl Model {
    /// Reads a model file with its external weights.
    ///
    /// # Errors
    /// Those of [`Model::parse`], and for files that cannot be read.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        Self::understand(file::read(path)?)
    }

    /// Parses ONNX bytes and checks that they hold an image-to-image network.
    ///
    /// # Errors
    /// [`ModelError`] for other models, and for a model with external weights.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, ModelError> {
        Self::understand(file::from_bytes(bytes.into())?)
    }

    /// Checks a model and finds its inputs and outputs.
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
            return damaged("a local function is defined in ONNX's own domain");
        }
        if default_opset(&proto).is_none() {
            return damaged("it names no operator set");
        }
        let mut inputs = real_inputs(graph);
        let noise = Noise::list(entry::entry(&proto, "stylize.noise"), &inputs)?;
        inputs.retain(|input| noise.iter().all(|noise| noise.name != input.name));
        // An input with the shape of a style input is one only beside an image input.
        let mut style = match inputs.len() {
            2 => inputs.iter().find_map(|input| StyleInput::of(input)),
            _ => None,
        };
        if let Some(style) = &mut style {
            inputs.retain(|input| input.name != style.name);
            let entry = entry::entry(&proto, "stylize.styles");
            style.name(entry::METADATA, entry)?;
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
        // If no output has the shape of an image, one without a declared shape is used; the probe run checks it.
        let images = || outputs.iter().filter(|value| is_image(&dims(value)));
        let Some(output) = images()
            .find(|value| DeclaredTensor::of(value).is_ok())
            .or_else(|| images().next())
            .or_else(|| outputs.iter().find(|value| dims(value).is_empty()))
        else {
            return Err(ModelError::NoImageOutput {
                inputs: describe(&inputs),
                outputs: describe(&outputs),
            });
        };
        let (input, mut output) = (DeclaredTensor::of(input)?, DeclaredTensor::of(output)?);
        if input.dims.iter().any(|size| *size > MAX_SIDE) {
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

    /// Whether the graph contains an output size that ONNX Runtime does not check, so that running it at another size
    /// could crash the process.
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

    /// Whether the generator is quantized (has `DequantizeLinear` nodes).
    pub fn is_quantized(&self) -> bool {
        let nodes = walk::nodes(&self.proto);
        nodes.iter().any(|node| node.op_type == "DequantizeLinear")
    }

    pub(crate) fn proto(&self) -> &ModelProto {
        &self.proto
    }

    pub(crate) fn input(&self) -> &DeclaredTensor {
        &self.input
    }

    pub(crate) fn output(&self) -> &DeclaredTensor {
        &self.output
    }

    /// The name in its metadata, else the stem of this file name.
    pub fn name(&self, file: &str) -> String {
        let stem = || {
            Path::new(file)
                .file_stem()
                .map(|stem| stem.to_string_lossy())
        };
        match entry::value(&self.proto, "stylize.name") {
            Some(name) => name.into(),
            None => stem().unwrap_or_default().into(),
        }
    }

    /// Noise inputs, in the order of the metadata.
    pub(crate) fn noise(&self) -> &[Noise] {
        &self.noise
    }

    /// The style input, if there is one.
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

#[cfg(test)]
pub(super) mod tests {
    use crate::onnx::{NodeProto, OperatorSetIdProto, StringStringEntryProto};

    use super::*;
    use crate::model::description::metadata;
    use crate::model::edit::{self, value_info};
    use crate::model::{Conventions, ElementType, Layout, Signature};
    use crate::onnx::GraphProto;

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
    pub(in crate::model) fn image_model() -> Model {
        parsed(&proto(&[("x", &OPEN)], &[("y", &OPEN)])).expect("a generator")
    }

    /// The conventions of a model with these metadata.
    pub(in crate::model) fn described(entries: &[(&str, &str)]) -> Result<Conventions, ModelError> {
        let mut proto = proto(&[("x", &OPEN)], &[("y", &OPEN)]);
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: (*key).into(),
            value: (*value).into(),
        };
        proto.metadata_props = entries.iter().map(entry).collect();
        metadata::conventions(&parsed(&proto)?)
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
            let signature = Signature::resolve(&model, &Conventions::default());
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
