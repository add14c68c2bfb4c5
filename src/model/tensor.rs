// SPDX-License-Identifier: MPL-2.0
//! Declarations of a graph's inputs and outputs: names, shapes, element types.

use std::collections::HashSet;

use super::ModelError;
use crate::onnx::tensor_proto::DataType;
use crate::onnx::{GraphProto, ValueInfoProto, type_proto};

/// Element types that frames can be converted to and from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    F32,
    F16,
    U8,
}

impl ElementType {
    /// From ONNX's number.
    pub fn from_onnx(code: i32) -> Option<Self> {
        match DataType::try_from(code) {
            Ok(DataType::Float) => Some(Self::F32),
            Ok(DataType::Uint8) => Some(Self::U8),
            Ok(DataType::Float16) => Some(Self::F16),
            _ => None,
        }
    }

    /// ONNX's number.
    pub fn to_onnx(self) -> i32 {
        let known = match self {
            Self::F32 => DataType::Float,
            Self::U8 => DataType::Uint8,
            Self::F16 => DataType::Float16,
        };
        known.into()
    }
}

impl From<ElementType> for i32 {
    fn from(element: ElementType) -> Self {
        element.to_onnx()
    }
}

/// Name of an element type for error messages.
fn type_name(code: i32) -> String {
    match DataType::try_from(code) {
        Ok(DataType::Float) => "float32".into(),
        Ok(DataType::Double) => "float64".into(),
        Ok(other) => other.as_str_name().to_lowercase(),
        Err(_) => code.to_string(),
    }
}

/// An input or output as the graph declares it.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredTensor {
    pub name: String,
    /// `-1` for a size that is not fixed.
    pub dims: Vec<i64>,
    pub element: ElementType,
    pub doc: String,
}

impl DeclaredTensor {
    /// The declaration of an input or output.
    ///
    /// # Errors
    /// [`ModelError::Element`] for an element type that is not an [`ElementType`].
    pub(super) fn of(value: &ValueInfoProto) -> Result<Self, ModelError> {
        let code = tensor(value).map_or(0, |tensor| tensor.elem_type);
        let element = ElementType::from_onnx(code).ok_or_else(|| ModelError::Element {
            tensor: value.name.clone(),
            element: type_name(code),
        })?;
        Ok(Self {
            name: value.name.clone(),
            dims: dims(value),
            element,
            doc: value.doc_string.clone(),
        })
    }
}

/// Graph inputs without initializers, which are listed as inputs before IR version 4.
pub(super) fn real_inputs(graph: &GraphProto) -> Vec<&ValueInfoProto> {
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

/// The declared shape, `-1` for sizes that are not fixed; empty without a shape.
pub(super) fn dims(value: &ValueInfoProto) -> Vec<i64> {
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

/// Whether a shape is that of one image of three channels. Sizes may be open, but the rank must be 4.
pub(super) fn is_image(dims: &[i64]) -> bool {
    let one = |d: i64| d == 1 || d == -1;
    let size = |d: i64| d == -1 || d > 3;
    match *dims {
        [n, a, b, c] => {
            one(n) && ((a == 3 || a == -1) && size(b) && size(c) || size(a) && size(b) && c == 3)
        }
        _ => false,
    }
}

/// Name and shape, for error messages.
pub(super) fn describe(value: &ValueInfoProto) -> String {
    let dims: Vec<String> = dims(value)
        .iter()
        .map(|d| if *d < 0 { "?".into() } else { d.to_string() })
        .collect();
    format!("{} [{}]", value.name, dims.join(", "))
}
