// SPDX-License-Identifier: MPL-2.0
//! The generator's protobuf as the graph compiler or ONNX Runtime takes it.

use crate::onnx::{
    self, GraphProto, ModelProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto,
    type_proto,
};

use super::ModelError;
use super::conventions::Layout;
use super::network::Model;
use super::tensor::ElementType;

impl Model {
    /// The generator without declared sizes and without graph inputs and outputs, which the caller adds. Initializers
    /// are not listed as inputs: before IR version 4 they were, which keeps runtimes from folding them.
    pub(crate) fn open(&self) -> ModelProto {
        let mut proto = self.proto.clone();
        proto.ir_version = proto.ir_version.max(4);
        let graph = proto.graph.get_or_insert_default();
        graph.value_info.clear();
        graph.input.clear();
        graph.output.clear();
        proto
    }

    /// The generator alone, serialized, with its input fixed to `width` x `height` pixels and its output's shape open.
    ///
    /// # Errors
    /// [`ModelError::Onnx`] for a model that is too large.
    pub fn at_size(
        &self,
        layout: Layout,
        width: usize,
        height: usize,
    ) -> Result<Vec<u8>, ModelError> {
        let (h, w) = (height as i64, width as i64);
        let dims = match layout {
            Layout::Nchw => [1, 3, h, w],
            Layout::Nhwc => [1, h, w, 3],
        };
        let mut proto = self.open();
        let graph: &mut GraphProto = proto.graph.get_or_insert_default();
        graph.input = vec![value_info(
            &self.input.name,
            self.input.element,
            Some(&dims),
        )];
        graph.input.extend(self.noise_inputs(width, height));
        if let Some(style) = &self.style {
            let value = value_info(&style.name, ElementType::F32, Some(&style.dims));
            graph.input.push(value);
        }
        graph.output = vec![value_info(&self.output.name, self.output.element, None)];
        serialize(&proto)
    }

    /// The noise inputs for pictures of this size in pixels.
    pub(crate) fn noise_inputs(
        &self,
        width: usize,
        height: usize,
    ) -> impl Iterator<Item = ValueInfoProto> {
        self.noise.iter().map(move |noise| {
            let dims = noise.shape(width, height).map(|size| size as i64);
            value_info(&noise.name, ElementType::F32, Some(&dims))
        })
    }
}

/// Protobuf bytes of a model.
pub(crate) fn serialize(proto: &ModelProto) -> Result<Vec<u8>, ModelError> {
    Ok(onnx::write(proto)?)
}

/// A graph input or output; `dims` of `None` leaves the shape open.
pub(crate) fn value_info(
    name: &str,
    element: impl Into<i32>,
    dims: Option<&[i64]>,
) -> ValueInfoProto {
    let dim = |size: &i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(*size)),
        ..tensor_shape_proto::Dimension::default()
    };
    let shape = dims.map(|dims| TensorShapeProto {
        dim: dims.iter().map(dim).collect(),
    });
    let tensor = type_proto::Tensor {
        elem_type: element.into(),
        shape,
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
