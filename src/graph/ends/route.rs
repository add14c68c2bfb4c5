// SPDX-License-Identifier: MPL-2.0
//! Which route the pixels take through a graph. Decided once; ingest and emit follow it.

use super::component_scaling::ComponentScaling;
use crate::graph::frame::format::{Format, Frame};
use crate::graph::frame::sizes::Sizes;
use crate::graph::frame::tiles::Tiles;
use crate::graph::lowering::Scaling;
use crate::graph::rewrite::early_pad::EarlyPad;
use crate::model::{ElementType, Signature};

/// The route from the frame to the generator, and back.
pub(crate) enum Route<'a> {
    /// Packed: padded as u8; the generator's own first padding was taken out of it.
    EarlyPad(&'a EarlyPad),
    /// Packed: the generator takes u8 at the frame's size.
    Bytes,
    /// Packed: as floats, scaled as planes if at all.
    Floats,
    /// Packed: scaled by a whole ratio as it lies in memory.
    Tiles(Tiles),
    /// Planar: converted to RGB, scaled as RGB if at all.
    Planes,
    /// Planar: each component is scaled by itself, and converted to RGB at the small size.
    Components(Box<ComponentScaling>),
}

impl<'a> Route<'a> {
    /// The route for these frames. `early_pad` is what was taken out of the generator.
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
        // No size changes on the way.
        let same = sizes.shown == sizes.frame && sizes.picture == sizes.frame;
        match early_pad {
            Some(pad) => Self::EarlyPad(pad),
            None if same && signature.input.element == ElementType::U8 => Self::Bytes,
            None => Self::Floats,
        }
    }
}
