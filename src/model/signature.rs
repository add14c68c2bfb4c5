// SPDX-License-Identifier: MPL-2.0
//! The signature of a generator: the declarations of its graph completed by its conventions.

use super::ModelError;
use super::conventions::{ChannelOrder, Conventions, DEFAULT_MINIMUM, Extent, Layout, Range};
use super::network::Model;
use super::tensor::{DeclaredTensor, ElementType};

/// The image input or output of a generator.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    pub name: String,
    pub layout: Layout,
    pub element: ElementType,
    pub range: Range,
}

/// Description of a generator for the graph compiler.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    pub input: TensorSpec,
    pub output: TensorSpec,
    pub order: ChannelOrder,
    pub extent: Extent,
}

impl Signature {
    /// Whether a convention is missing that a probe run measures.
    pub fn needs_probe(model: &Model, conventions: &Conventions) -> bool {
        let range_open = |tensor: &DeclaredTensor, range: Option<Range>| {
            tensor.element != ElementType::U8 && range.is_none()
        };
        // A run shows the output's range; the input's defaults to the same.
        range_open(model.output(), conventions.output_range)
            || match model.fixed_size(conventions) {
                None => conventions.multiple.is_none(),
                Some(_) => conventions.resizable.is_none(),
            }
    }

    /// Combines graph and conventions. Defaults for missing conventions: the other end's range, else 0..1; RGB; NCHW;
    /// any size from [`DEFAULT_MINIMUM`] on.
    pub fn resolve(model: &Model, conventions: &Conventions) -> Self {
        let inner = layout(model.input()).or(conventions.layout);
        let spec = |tensor: &DeclaredTensor, range: Option<Range>| TensorSpec {
            name: tensor.name.clone(),
            layout: layout(tensor).or(inner).unwrap_or(Layout::Nchw),
            element: tensor.element,
            range: match tensor.element {
                ElementType::U8 => Range::BYTE,
                _ => range.unwrap_or(Range::UNIT),
            },
        };
        let output = spec(
            model.output(),
            conventions.output_range.or(conventions.input_range),
        );
        let input = spec(
            model.input(),
            conventions.input_range.or(conventions.output_range),
        );
        let extent = match model.fixed_size(conventions) {
            Some((width, height)) if conventions.resizable != Some(true) => {
                Extent::Fixed { width, height }
            }
            _ => Extent::Any {
                multiple: conventions.multiple.unwrap_or(1),
                minimum: conventions.minimum.unwrap_or(DEFAULT_MINIMUM),
            },
        };
        Self {
            input,
            output,
            order: conventions.order.unwrap_or(ChannelOrder::Rgb),
            extent,
        }
    }

    /// Width and height of the generator's input for a picture of this width and height, pixels.
    pub fn picture_size(&self, width: usize, height: usize) -> (usize, usize) {
        match self.extent {
            Extent::Fixed { width, height } => (width, height),
            Extent::Any { multiple, minimum } => {
                let side = |n: usize| n.max(minimum).next_multiple_of(multiple);
                (side(width), side(height))
            }
        }
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = |spec: &TensorSpec| {
            format!(
                "{} {:?} {:?} {}",
                spec.name, spec.layout, spec.element, spec.range
            )
        };
        write!(f, "{} -> {}, ", end(&self.input), end(&self.output))?;
        write!(f, "{:?}, ", self.order)?;
        match self.extent {
            Extent::Fixed { width, height } => write!(f, "{width}x{height} only"),
            Extent::Any { multiple, minimum } => {
                write!(f, "any size from {minimum}, multiple of {multiple}")
            }
        }
    }
}

/// The layout by the shape: whether axis 1 or axis 3 has size 3, if only one of them has.
fn layout(tensor: &DeclaredTensor) -> Option<Layout> {
    match tensor.dims[..] {
        [_, 3, _, c] if c != 3 => Some(Layout::Nchw),
        [_, a, _, 3] if a != 3 => Some(Layout::Nhwc),
        _ => None,
    }
}

impl Model {
    /// Width and height in pixels if the graph fixes both.
    pub(crate) fn fixed_size(&self, conventions: &Conventions) -> Option<(usize, usize)> {
        let tensor = self.input();
        let (height, width) = match layout(tensor).or(conventions.layout) {
            Some(Layout::Nhwc) => (tensor.dims[1], tensor.dims[2]),
            _ => (tensor.dims[2], tensor.dims[3]),
        };
        Some((usize::try_from(width).ok()?, usize::try_from(height).ok()?))
    }

    /// Whether the input's shape does not show the layout.
    pub(crate) fn layout_is_open(&self) -> bool {
        layout(self.input()).is_none()
    }

    /// The error for a generator whose output size differs from its input size.
    pub(crate) fn size_changes(input: (usize, usize), output: (usize, usize)) -> ModelError {
        ModelError::SizeChanges {
            input_width: input.0,
            input_height: input.1,
            output_width: output.0,
            output_height: output.1,
        }
    }
}
