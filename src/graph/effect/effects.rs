// SPDX-License-Identifier: MPL-2.0
//! The effects that a graph is compiled with: stroke size, upscaling, colour, stability, mask.

use gst::glib;

use super::stability;
use super::stability::State;
use crate::graph::frame::format::Frame;
use crate::graph::frame::sizes::Sizes;
use crate::model::{Extent, Signature};

/// Minimum width and height of the picture shown to a generator, pixels; the same as of frames.
const SMALLEST: usize = 16;

/** GstStylizeUpscale:
 *
 * Interpolation with which a painting that is smaller than the frame is enlarged.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeUpscale")]
pub enum Upscale {
    /// Linear interpolation: keeps every stroke; edges are as soft as the painting is small.
    #[default]
    #[enum_value(name = "Linear interpolation, keeps every stroke", nick = "bilinear")]
    Bilinear,
    /// Guided filter (He & Sun 2015) with the source frame's luma: edges lie where the frame has them.
    #[enum_value(
        name = "Guided by the frame's luma: sharp edges where the frame has them, calmer strokes",
        nick = "guided"
    )]
    Guided,
}

/** GstStylizeColor:
 *
 * Colours of the painting.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeColor")]
pub enum Colour {
    /// The painting's own.
    #[default]
    #[enum_value(name = "The painting's own colours", nick = "style")]
    Style,
    /// Luma of the painting, chroma of the source frame.
    #[enum_value(
        name = "Luma of the painting, chroma of the source frame",
        nick = "source"
    )]
    Source,
    /// The painting's, with the mean and variance of the source frame's (Reinhard et al. 2001).
    #[enum_value(
        name = "The painting's colours, with mean and variance of the source frame's",
        nick = "match"
    )]
    Match,
}

/// The effects that are compiled into a graph, and part of its key. Values that may change with every frame are
/// inputs of the graph instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Effects {
    /// Height of the picture shown to the generator, pixels; 0, or more than the frame's: the frame's.
    pub inference_height: usize,
    /// Interpolation to the frame's size.
    pub upscale: Upscale,
    /// Colours of the painting.
    pub colour: Colour,
    /// Whether the painting is blended with the previous one where the source did not change.
    pub stability: bool,
    /// Whether a mask limits the painting to parts of the frame.
    pub mask: bool,
}

impl Effects {
    /// The state tensors of a graph for frames of this layout.
    pub fn states(&self, frame: &Frame) -> Vec<State> {
        match self.stability {
            true => stability::states(frame),
            false => Vec::new(),
        }
    }

    /// The sizes for frames of this width and height, pixels.
    pub fn sizes(&self, signature: &Signature, width: usize, height: usize) -> Sizes {
        let frame = (height, width);
        let shown = match signature.extent {
            // A generator of fixed size ignores `inference-height`.
            Extent::Fixed { width, height } => (height, width),
            Extent::Any { .. } => self.shown(frame),
        };
        let (width, height) = signature.picture_size(shown.1, shown.0);
        Sizes {
            frame,
            shown,
            picture: (height, width),
        }
    }

    /// Size (height, width) of the picture shown to a generator that takes any size: `inference_height` with the
    /// frame's aspect ratio.
    fn shown(&self, (height, width): (usize, usize)) -> (usize, usize) {
        let wanted = self.inference_height.max(SMALLEST);
        if self.inference_height == 0 || wanted >= height {
            return (height, width);
        }
        let across = (width * wanted + height / 2) / height;
        (wanted, across.clamp(SMALLEST.min(width), width))
    }

    /// Whether the painting is enlarged by the guided filter; not if it is at least as large as the frame.
    pub(crate) fn is_guided(&self, sizes: &Sizes) -> bool {
        let smaller = sizes.shown.0 < sizes.frame.0 || sizes.shown.1 < sizes.frame.1;
        smaller && self.upscale == Upscale::Guided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_picture_keeps_the_shape_and_is_never_larger_than_the_frame() {
        let shown = |height, frame| {
            let effects = Effects {
                inference_height: height,
                ..Effects::default()
            };
            effects.shown(frame)
        };
        assert_eq!(shown(0, (720, 1280)), (720, 1280));
        assert_eq!(shown(360, (720, 1280)), (360, 640));
        assert_eq!(shown(480, (1080, 1919)), (480, 853));
        assert_eq!(shown(4000, (720, 1280)), (720, 1280));
        // Not smaller than the reflection padding.
        assert_eq!(shown(1, (720, 1280)), (16, 28));
        assert_eq!(shown(16, (8192, 16)), (16, 16));
    }
}
