// SPDX-License-Identifier: MPL-2.0
//! Scales YCbCr frames component by component when the generator's picture is smaller, so that no RGB tensor of
//! the frame's size is made. At half the height, the chroma of 4:2:0 already has the right size.
//!
//! In a frame of odd size the last chroma sample lies half outside. This is not compensated: at that edge chroma
//! is half a pixel off, and less elsewhere.

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

/// A frame, and the small one that is shown of it, which has all of its components for every pixel.
pub(crate) struct ComponentScaling {
    size: Size,
    shown: Size,
    /// Size of the frame's chroma.
    chroma: Size,
    cosited: [bool; 2],
    frame: Frame,
    planar: Planar,
    scaling: Scaling,
}

impl ComponentScaling {
    /// `None` for frames that are not shown small, or that are scaled as red, green and blue.
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

    /// The frame's components made small.
    pub(crate) fn reduced(&self, b: &mut Builder, samples: &Samples) -> Samples {
        let first = reduce(b, &samples.first, 1, self.size, self.shown, self.scaling);
        let others = samples.others.as_ref().map(|(others, which)| {
            let moved = self.moved(b, others, 1);
            (self.fitted(b, &moved, self.chroma, self.shown), *which)
        });
        Samples { first, others }
    }

    /// Red, green and blue of the small frame, as [`to_rgb`] gives them.
    pub(crate) fn rgb_of(
        &self,
        b: &mut Builder,
        samples: &Samples,
        order: ChannelOrder,
        scale: f32,
    ) -> Name {
        to_rgb(b, &self.frame, &self.planar, samples, order, scale)
    }

    /// Components of the small frame, as [`from_rgb`] gives them.
    pub(crate) fn components_of(
        &self,
        b: &mut Builder,
        rgb: &str,
        order: ChannelOrder,
        scale: f32,
    ) -> (Name, Option<Name>) {
        from_rgb(b, &self.frame, &self.planar, rgb, order, scale)
    }

    /// The same of blocks, as [`from_blocks`] takes them.
    pub(crate) fn components_of_blocks(
        &self,
        b: &mut Builder,
        blocks: (&str, &LateShuffle),
        order: ChannelOrder,
        scale: f32,
    ) -> (Name, Option<Name>) {
        from_blocks(b, &self.frame, &self.planar, blocks, order, scale)
    }

    /// Luma brought to the frame's size; along the frame's own with a `guide`, which is that of the
    /// small frame and that of the frame.
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

    /// Chroma brought to the size that it has in the frame.
    pub(crate) fn others_enlarged(&self, b: &mut Builder, others: &str) -> Name {
        let fitted = self.fitted(b, others, self.shown, self.chroma);
        self.moved(b, &fitted, -1)
    }

    /// Two planes scaled, each axis up or down.
    fn fitted(&self, b: &mut Builder, x: &str, from: Size, to: Size) -> Name {
        let between = (from.0.min(to.0), from.1.min(to.1));
        let x = reduce(b, x, 2, from, between, self.scaling);
        enlarge(b, &x, 2, between, to, self.scaling)
    }

    /// Shifts co-sited chroma by a quarter of a sample to where centred chroma lies; with -1, back.
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
