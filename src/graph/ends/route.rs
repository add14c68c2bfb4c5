// SPDX-License-Identifier: MPL-2.0
//! The route of the pixels through a graph, which ingest and emit follow.

use super::component_scaling::ComponentScaling;
use crate::graph::frame::format::{Format, Frame};
use crate::graph::frame::sizes::Sizes;
use crate::graph::frame::tiles::Tiles;
use crate::graph::lowering::Scaling;
use crate::graph::rewrite::early_pad::EarlyPad;
use crate::model::{ElementType, Signature};

/// The route from the frame to the generator and back.
pub(crate) enum Route<'a> {
    /// Packed: padded as u8; the generator's first padding was removed.
    EarlyPad(&'a EarlyPad),
    /// Packed: the generator takes u8 at the frame's size.
    Bytes,
    /// Packed: converted to float planes, which are scaled if needed.
    Floats,
    /// Packed: scaled by an integer ratio in the interleaved layout.
    Tiles(Tiles),
    /// Planar: converted to RGB, which is scaled if needed.
    Planes,
    /// Planar: each component is scaled separately, and converted to RGB at the small size.
    Components(Box<ComponentScaling>),
}

impl<'a> Route<'a> {
    /// The route for these frames. `early_pad`: the padding that was removed from the generator.
    pub(crate) fn of(
        frame: &Frame,
        signature: &Signature,
        sizes: &Sizes,
        scaling: Scaling,
        early_pad: Option<&'a EarlyPad>,
    ) -> Self {
        let packed = match &frame.format {
            Format::Packed(packed) => packed,
            Format::Planar(_) => {
                let small = ComponentScaling::of(frame, signature, sizes, scaling);
                return small.map_or(Self::Planes, |small| Self::Components(Box::new(small)));
            }
        };
        if let Some(tiles) = Tiles::of(packed, signature, sizes, scaling) {
            return Self::Tiles(tiles);
        }
        // Neither scaled nor padded.
        let same = sizes.shown == sizes.frame && sizes.picture == sizes.frame;
        match early_pad {
            Some(pad) => Self::EarlyPad(pad),
            None if same && signature.input.element == ElementType::U8 => Self::Bytes,
            None => Self::Floats,
        }
    }
}
