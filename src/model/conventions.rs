// SPDX-License-Identifier: MPL-2.0
//! The conventions of generators: layout, value range, channel order and size rules.

/// Order of a tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[1, 3, H, W]`
    Nchw,
    /// `[1, H, W, 3]`
    Nhwc,
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

    /// The scale, if it is positive and the same for all channels and there is no offset, so that `QuantizeLinear` can
    /// compute the conversion.
    pub fn plain_scale(&self) -> Option<f32> {
        let (scale, offset) = self.scale_offset();
        (offset == [0.0; 3] && scale == [scale[0]; 3] && scale[0] > 0.0).then_some(scale[0])
    }

    /// Parses `min,max` (all channels) or `min,max;min,max;min,max` (one pair per channel); `None` if the text is
    /// neither, or a number is not finite, or min equals max.
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

/// The picture sizes that a generator takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Any width and height of at least `minimum` pixels that are multiples of `multiple`.
    Any { multiple: usize, minimum: usize },
    /// Only this size; frames are scaled to it and back.
    Fixed { width: usize, height: usize },
}

/// Maximum width and height of a generator's input, pixels; the same as of frames.
pub(crate) const MAX_SIDE: i64 = 8192;

/// Minimum width and height of the picture for a generator that does not state one, pixels. Reflection padding inside
/// a network needs more pixels than it pads: 40 in Johnson et al. (2016), about doubled for the strides.
pub const DEFAULT_MINIMUM: usize = 96;

/// Conventions of a generator; `None` where a source does not state one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Conventions {
    pub input_range: Option<Range>,
    pub output_range: Option<Range>,
    pub order: Option<ChannelOrder>,
    pub layout: Option<Layout>,
    /// Width and height must be multiples of this number of pixels, 1..256.
    pub multiple: Option<usize>,
    /// Minimum width and height, pixels, 1..256.
    pub minimum: Option<usize>,
    /// Whether a graph that declares a fixed size also works at other sizes.
    pub resizable: Option<bool>,
}

impl Conventions {
    /// These conventions, with the gaps filled from `other`.
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
        let properties = Conventions {
            order: Some(ChannelOrder::Bgr),
            ..Conventions::default()
        };
        let metadata = Conventions {
            order: Some(ChannelOrder::Rgb),
            multiple: Some(4),
            ..Conventions::default()
        };
        let conventions = properties.or(metadata);
        assert_eq!(conventions.order, Some(ChannelOrder::Bgr));
        assert_eq!(conventions.multiple, Some(4));
    }
}
