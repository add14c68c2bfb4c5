// SPDX-License-Identifier: MPL-2.0
//! The conventions of one generator: names, layout, element type, value range, channel order and
//! size rules. Pure values.

use super::{Model, ModelError, Port};

/// Order of a tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[1, 3, H, W]`
    Nchw,
    /// `[1, H, W, 3]`
    Nhwc,
}

/// Element types that frames can be converted to and from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    F32,
    F16,
    U8,
}

impl ElementType {
    /// From `TensorProto.DataType`.
    pub fn from_onnx(code: i32) -> Option<Self> {
        match code {
            1 => Some(Self::F32),
            2 => Some(Self::U8),
            10 => Some(Self::F16),
            _ => None,
        }
    }

    /// As `TensorProto.DataType`.
    pub fn to_onnx(self) -> i32 {
        match self {
            Self::F32 => 1,
            Self::U8 => 2,
            Self::F16 => 10,
        }
    }
}

impl From<ElementType> for i32 {
    fn from(element: ElementType) -> Self {
        element.to_onnx()
    }
}

/// Name of a `TensorProto.DataType` for error messages.
pub(super) fn onnx_type_name(code: i32) -> String {
    let names = [
        "undefined",
        "float32",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "float64",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    usize::try_from(code)
        .ok()
        .and_then(|index| names.get(index))
        .map_or_else(|| format!("{code}"), |name| (*name).to_string())
}

/// Order of the colour channels in a generator's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    Rgb,
    Bgr,
}

/// The tensor values that stand for 8-bit 0 and 255, per channel in the generator's own channel
/// order: `y = x · (max − min) / 255 + min` for 8-bit `x` (GStreamer's `ranges` in `.modelinfo`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    pub min: [f32; 3],
    pub max: [f32; 3],
}

impl Range {
    pub const UNIT: Self = Self::uniform(0.0, 1.0);
    pub const BYTE: Self = Self::uniform(0.0, 255.0);
    pub const SIGNED: Self = Self::uniform(-1.0, 1.0);

    /// The same range for all three channels.
    pub const fn uniform(min: f32, max: f32) -> Self {
        Self {
            min: [min; 3],
            max: [max; 3],
        }
    }

    /// Scale and offset per channel: `y = x · scale + offset` for 8-bit `x`.
    pub fn scale_offset(&self) -> ([f32; 3], [f32; 3]) {
        let scale = std::array::from_fn(|c| (self.max[c] - self.min[c]) / 255.0);
        (scale, self.min)
    }

    /// The scale if it is the same for all channels and there is no offset: what a quantizing
    /// operator computes in one pass.
    pub fn plain_scale(&self) -> Option<f32> {
        let (scale, offset) = self.scale_offset();
        (offset == [0.0; 3] && scale == [scale[0]; 3] && scale[0] > 0.0).then_some(scale[0])
    }

    /// Parses `min,max` (all channels) or `min,max;min,max;min,max` (one each).
    pub fn parse(text: &str) -> Option<Self> {
        let mut pairs = Vec::new();
        for pair in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
            let (min, max) = pair.split_once(',')?;
            let (min, max): (f32, f32) = (min.trim().parse().ok()?, max.trim().parse().ok()?);
            if !(min.is_finite() && max.is_finite() && min != max) {
                return None;
            }
            pairs.push((min, max));
        }
        match pairs.as_slice() {
            [(min, max)] => Some(Self::uniform(*min, *max)),
            [a, b, c] => Some(Self {
                min: [a.0, b.0, c.0],
                max: [a.1, b.1, c.1],
            }),
            _ => None,
        }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::uniform(self.min[0], self.max[0]) {
            return write!(f, "{},{}", self.min[0], self.max[0]);
        }
        let [a, b, c] = std::array::from_fn(|i| format!("{},{}", self.min[i], self.max[i]));
        write!(f, "{a};{b};{c}")
    }
}

/// Which picture sizes a generator takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Any width and height of at least `minimum` pixels that are multiples of `multiple`.
    Any { multiple: usize, minimum: usize },
    /// Only this size; frames are scaled to it and back.
    Fixed { width: usize, height: usize },
}

/// Smallest picture side given to a generator that does not say what it needs. Reflection padding
/// inside a network needs more pixels than it pads: 40 in Johnson's (2016), doubled here for the
/// strides.
pub const DEFAULT_MINIMUM: usize = 96;

/// Facts about a generator; `None` where the source does not say.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Facts {
    pub input_range: Option<Range>,
    pub output_range: Option<Range>,
    pub order: Option<ChannelOrder>,
    pub layout: Option<Layout>,
    /// Width and height must be multiples of this; 1 to 256.
    pub multiple: Option<usize>,
    /// Smallest width and height in pixels.
    pub minimum: Option<usize>,
    /// `Some(true)`: a graph with a fixed size runs at other sizes as well.
    pub resizable: Option<bool>,
}

impl Facts {
    /// These facts, with the gaps filled from `other`.
    pub fn or(self, other: Self) -> Self {
        Self {
            input_range: self.input_range.or(other.input_range),
            output_range: self.output_range.or(other.output_range),
            order: self.order.or(other.order),
            layout: self.layout.or(other.layout),
            multiple: self.multiple.or(other.multiple),
            minimum: self.minimum.or(other.minimum),
            resizable: self.resizable.or(other.resizable),
        }
    }
}

/// One end of the generator.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    pub name: String,
    pub layout: Layout,
    pub element: ElementType,
    pub range: Range,
}

/// Everything that the graph compiler must know about a generator.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    pub input: TensorSpec,
    pub output: TensorSpec,
    pub order: ChannelOrder,
    pub extent: Extent,
}

impl Signature {
    /// Whether a probe run must still answer something.
    pub fn needs_probe(model: &Model, facts: &Facts) -> bool {
        let range_open =
            |port: &Port, range: Option<Range>| port.element != ElementType::U8 && range.is_none();
        // The output's range can be told from a run and the input's follows it.
        range_open(model.output(), facts.output_range)
            || match model.fixed_size(facts) {
                None => facts.multiple.is_none(),
                Some(_) => facts.resizable.is_none(),
            }
    }

    /// Puts the facts together. Gaps that are left get the field's defaults: the output's range
    /// for the input (a network that is given 0..255 gives 0..255 back), RGB, any size.
    pub fn resolve(model: &Model, facts: &Facts) -> Self {
        let inner = layout(model.input()).or(facts.layout);
        let spec = |port: &Port, range: Option<Range>| TensorSpec {
            name: port.name.clone(),
            layout: layout(port).or(inner).unwrap_or(Layout::Nchw),
            element: port.element,
            range: match port.element {
                ElementType::U8 => Range::BYTE,
                _ => range.unwrap_or(Range::UNIT),
            },
        };
        let output = spec(model.output(), facts.output_range.or(facts.input_range));
        let input = spec(model.input(), facts.input_range.or(facts.output_range));
        let extent = match model.fixed_size(facts) {
            Some((width, height)) if facts.resizable != Some(true) => {
                Extent::Fixed { width, height }
            }
            _ => Extent::Any {
                multiple: facts.multiple.unwrap_or(1),
                minimum: facts.minimum.unwrap_or(DEFAULT_MINIMUM),
            },
        };
        Self {
            input,
            output,
            order: facts.order.unwrap_or(ChannelOrder::Rgb),
            extent,
        }
    }

    /// The size of the picture that the generator is given for a frame of this size (pixels).
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

/// The layout that a shape shows: which of the axes 1 and 3 says 3, if only one does.
fn layout(port: &Port) -> Option<Layout> {
    match port.dims[..] {
        [_, 3, _, c] if c != 3 => Some(Layout::Nchw),
        [_, a, _, 3] if a != 3 => Some(Layout::Nhwc),
        _ => None,
    }
}

impl Model {
    /// Width and height in pixels if the graph fixes both.
    pub(crate) fn fixed_size(&self, facts: &Facts) -> Option<(usize, usize)> {
        let port = self.input();
        let (height, width) = match layout(port).or(facts.layout) {
            Some(Layout::Nhwc) => (port.dims[1], port.dims[2]),
            _ => (port.dims[2], port.dims[3]),
        };
        Some((usize::try_from(width).ok()?, usize::try_from(height).ok()?))
    }

    /// Whether the input's shape leaves open which of its axes is that of the colours.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_reads_one_pair_three_pairs_and_nothing_else() {
        assert_eq!(Range::parse("0.0,255.0"), Some(Range::BYTE));
        assert_eq!(Range::parse(" -1 , 1 "), Some(Range::SIGNED));
        let imagenet = Range::parse("-2.1,2.2;-2.0,2.4;-1.8,2.6").expect("three pairs");
        assert_eq!(imagenet.min, [-2.1, -2.0, -1.8]);
        assert_eq!(imagenet.to_string(), "-2.1,2.2;-2,2.4;-1.8,2.6");
        for bad in ["", "1", "0,0", "0,nan", "0,1;0,1", "a,b", "0,1,2"] {
            assert_eq!(Range::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn earlier_facts_win() {
        let properties = Facts {
            order: Some(ChannelOrder::Bgr),
            ..Facts::default()
        };
        let metadata = Facts {
            order: Some(ChannelOrder::Rgb),
            multiple: Some(4),
            ..Facts::default()
        };
        let facts = properties.or(metadata);
        assert_eq!(facts.order, Some(ChannelOrder::Bgr));
        assert_eq!(facts.multiple, Some(4));
    }
}
