// SPDX-License-Identifier: MPL-2.0
//! Scales YCbCr frames component by component if the picture shown to the generator is smaller, so that no RGB tensor
//! of the frame's size is made. At half the height, the chroma of 4:2:0 already has the right size.
//!
//! In a frame of odd size the last chroma sample lies half outside. This is not compensated: at that edge chroma is
//! shifted by half a pixel, and by less elsewhere.

use crate::graph::effect::guided;
use crate::graph::frame::components::{from_blocks, from_rgb, to_rgb};
use crate::graph::frame::format::{Components, Format, Frame, Planar};
use crate::graph::frame::planes::Samples;
use crate::graph::frame::sizes::Sizes;
use crate::graph::lowering::Scaling;
use crate::graph::ops::mix::mix;
use crate::graph::ops::scale::{enlarge, reduce};
use crate::graph::rewrite::late_shuffle::LateShuffle;
use crate::graph::write::builder::{Builder, Name};
use crate::model::{ChannelOrder, Extent, Signature};

/// Height and width.
type Size = (usize, usize);

/// Conversion between a frame and the small picture of it, which has 4:4:4 components.
pub(crate) struct ComponentScaling {
    /// Size of the frame.
    size: Size,
    /// Size of the small picture.
    shown: Size,
    /// Size of the frame's chroma.
    chroma: Size,
    /// Whether the frame's chroma is subsampled and co-sited, horizontally and vertically.
    cosited: [bool; 2],
    /// The small picture as a frame.
    frame: Frame,
    /// Its format.
    planar: Planar,
    scaling: Scaling,
}

impl ComponentScaling {
    /// `None` for frames that are not reduced, for RGB frames and for generators of fixed size.
    pub(crate) fn of(
        frame: &Frame,
        signature: &Signature,
        sizes: &Sizes,
        scaling: Scaling,
    ) -> Option<Self> {
        let Format::Planar(planar) = frame.format else {
            return None;
        };
        let is_rgb = planar.components == Components::Rgb;
        let is_fixed = matches!(signature.extent, Extent::Fixed { .. });
        if is_rgb || is_fixed || sizes.shown == sizes.frame {
            return None;
        }
        let (w, h) = frame.chroma(planar.subsampling);
        let mut small = Planar {
            subsampling: [1, 1],
            ..planar
        };
        let mut cosited = [false; 2];
        if let Components::Yuv { cosited: of, .. } = &mut small.components {
            cosited = [0, 1].map(|axis| of[axis] && planar.subsampling[axis] > 1);
            *of = [false; 2];
        }
        Some(Self {
            size: sizes.frame,
            shown: sizes.shown,
            chroma: (h, w),
            cosited,
            frame: Frame {
                format: Format::Planar(small),
                width: sizes.shown.1,
                height: sizes.shown.0,
                ..*frame
            },
            planar: small,
            scaling,
        })
    }

    /// The frame's components reduced to the small picture.
    pub(crate) fn reduced(&self, b: &mut Builder, samples: &Samples) -> Samples {
        let first = reduce(b, &samples.first, 1, self.size, self.shown, self.scaling);
        let others = samples.others.as_ref().map(|(others, which)| {
            let moved = self.moved(b, others, 1);
            (self.fitted(b, &moved, self.chroma, self.shown), *which)
        });
        Samples { first, others }
    }

    /// RGB of the small picture, as of [`to_rgb`].
    pub(crate) fn rgb_of(
        &self,
        b: &mut Builder,
        samples: &Samples,
        order: ChannelOrder,
        scale: f32,
    ) -> Name {
        to_rgb(b, &self.frame, &self.planar, samples, order, scale)
    }

    /// Components of the small picture, as of [`from_rgb`].
    pub(crate) fn components_of(
        &self,
        b: &mut Builder,
        rgb: &str,
        order: ChannelOrder,
        scale: f32,
    ) -> (Name, Option<Name>) {
        from_rgb(b, &self.frame, &self.planar, rgb, order, scale)
    }

    /// Components of the small picture from blocks, as of [`from_blocks`].
    pub(crate) fn components_of_blocks(
        &self,
        b: &mut Builder,
        blocks: (&str, &LateShuffle),
        order: ChannelOrder,
        scale: f32,
    ) -> (Name, Option<Name>) {
        from_blocks(b, &self.frame, &self.planar, blocks, order, scale)
    }

    /// Luma enlarged to the frame's size; by the guided filter with a `guide`, the source's luma at the small and at
    /// the frame's size.
    pub(crate) fn first_enlarged(
        &self,
        b: &mut Builder,
        first: &str,
        guide: Option<(&str, &str)>,
    ) -> Name {
        let (from, to) = (self.shown, self.size);
        match guide {
            Some(guides) => {
                guided::luma_along(b, first, guides, &self.planar, (from, to), self.scaling)
            }
            None => enlarge(b, first, 1, from, to, self.scaling),
        }
    }

    /// Chroma scaled to the size and siting of the frame's chroma.
    pub(crate) fn others_enlarged(&self, b: &mut Builder, others: &str) -> Name {
        let fitted = self.fitted(b, others, self.shown, self.chroma);
        self.moved(b, &fitted, -1)
    }

    /// Two planes scaled, each axis down or up.
    fn fitted(&self, b: &mut Builder, x: &str, from: Size, to: Size) -> Name {
        let between = (from.0.min(to.0), from.1.min(to.1));
        let x = reduce(b, x, 2, from, between, self.scaling);
        enlarge(b, &x, 2, between, to, self.scaling)
    }

    /// Shifts co-sited chroma by a quarter of a sample to the position of centred chroma; with `direction` -1, back.
    fn moved(&self, b: &mut Builder, x: &str, direction: i64) -> Name {
        let mut x = x.to_string();
        for (axis, length) in [(3, self.chroma.1), (2, self.chroma.0)] {
            if !self.cosited[3 - axis] {
                continue;
            }
            let (axis, length) = (axis as i64, length as i64);
            let neighbour = match direction {
                1 => {
                    let rest = b.slice(&x, axis, 1, length);
                    let last = b.slice(&x, axis, length - 1, length);
                    b.concat(axis, &[&rest, &last])
                }
                _ => {
                    let first = b.slice(&x, axis, 0, 1);
                    let rest = b.slice(&x, axis, 0, length - 1);
                    b.concat(axis, &[&first, &rest])
                }
            };
            let quarter = b.floats(&[], &[0.25]);
            x = mix(b, &x, &neighbour, &quarter);
        }
        x
    }
}
