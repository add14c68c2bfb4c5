// SPDX-License-Identifier: MPL-2.0
//! The element `stylizealphaplane`: the alpha plane as luma, with grey chroma.
//!
//! Values are copied, 0 to 255: players take the luma of the alpha stream as it is, whatever its range. `videoconvert`
//! would scale them to the range of video.

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;

use crate::shared::pads::always;

glib::wrapper! {
    /// The element `stylizealphaplane`.
    pub struct AlphaPlane(ObjectSubclass<Imp>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the element for this program.
///
/// # Errors
/// If GStreamer refuses it.
pub fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(
        None,
        "stylizealphaplane",
        gst::Rank::NONE,
        AlphaPlane::static_type(),
    )
}

/// The element's implementation.
#[derive(Default)]
pub struct Imp;

#[glib::object_subclass]
impl ObjectSubclass for Imp {
    const NAME: &'static str = "StylizeAlphaPlane";
    type Type = AlphaPlane;
    type ParentType = gst_video::VideoFilter;
}

impl ObjectImpl for Imp {}
impl GstObjectImpl for Imp {}

impl ElementImpl for Imp {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Alpha to luma",
                "Filter/Converter/Video",
                "Makes the alpha plane the luma of a grey picture",
                "The gst-plugin-stylize developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = |format| gst_video::VideoCapsBuilder::new().format(format).build();
            always(
                &caps(gst_video::VideoFormat::A420),
                &caps(gst_video::VideoFormat::I420),
            )
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for Imp {
    const MODE: gst_base::subclass::BaseTransformMode =
        gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let format = match direction {
            gst::PadDirection::Sink => "I420",
            _ => "A420",
        };
        let mut other = caps.copy();
        for structure in other.make_mut().iter_mut() {
            structure.set("format", format);
        }
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
            None => other,
        })
    }
}

impl VideoFilterImpl for Imp {
    fn transform_frame(
        &self,
        inframe: &gst_video::VideoFrameRef<&gst::BufferRef>,
        outframe: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let stride = |stride: i32| usize::try_from(stride).map_err(|_| gst::FlowError::Error);
        let from_stride = stride(inframe.plane_stride()[3])?;
        let to_stride = stride(outframe.plane_stride()[0])?;
        let (width, height) = (inframe.width() as usize, inframe.height() as usize);
        let from = inframe.plane_data(3).map_err(|_| gst::FlowError::Error)?;
        let to = outframe
            .plane_data_mut(0)
            .map_err(|_| gst::FlowError::Error)?;
        let rows = from.chunks(from_stride).zip(to.chunks_mut(to_stride));
        for (from, to) in rows.take(height) {
            if let (Some(from), Some(to)) = (from.get(..width), to.get_mut(..width)) {
                to.copy_from_slice(from);
            }
        }
        for plane in [1, 2] {
            let chroma = outframe.plane_data_mut(plane);
            chroma.map_err(|_| gst::FlowError::Error)?.fill(128);
        }
        Ok(gst::FlowSuccess::Ok)
    }
}
