// SPDX-License-Identifier: MPL-2.0
//! The element `stylizealphaplane`: the alpha plane as luma, with grey chroma.
//!
//! Values are copied, 0 to 255: players take the luma of the alpha stream as it is, whatever its range. `videoconvert`
//! would scale them to the range of video.

use std::sync::{LazyLock, Mutex, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::VideoInfo;
use gst_video::subclass::prelude::*;
use gststylize::planes::{Plane, PlaneError};

use crate::shared::pads::{always, changed, refuse_frame};

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
pub struct Imp {
    /// The formats of both pads.
    formats: Mutex<Option<(VideoInfo, VideoInfo)>>,
}

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

    // Not `transform_frame`, whose frames are mapped without comparing them with their memory.
    fn transform(
        &self,
        from: &gst::Buffer,
        to: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let formats = self.formats.lock().unwrap_or_else(PoisonError::into_inner);
        let (from_info, to_info) = formats.clone().ok_or(gst::FlowError::NotNegotiated)?;
        drop(formats);
        let copied = alpha_as_luma((from, &from_info), (to, &to_info));
        copied.map_err(|err| refuse_frame(self, &err))?;
        Ok(gst::FlowSuccess::Ok)
    }

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
        Some(changed(caps, filter, |structure| {
            structure.set("format", format);
        }))
    }
}

impl VideoFilterImpl for Imp {
    fn set_info(
        &self,
        _incaps: &gst::Caps,
        info: &VideoInfo,
        _outcaps: &gst::Caps,
        out_info: &VideoInfo,
    ) -> Result<(), gst::LoggableError> {
        let mut formats = self.formats.lock().unwrap_or_else(PoisonError::into_inner);
        *formats = Some((info.clone(), out_info.clone()));
        Ok(())
    }
}

/// Copies the alpha of a frame in A420 to the luma of one in I420, whose chroma becomes grey.
///
/// # Errors
/// If a plane does not lie in its buffer.
fn alpha_as_luma(
    (from, from_info): (&gst::BufferRef, &VideoInfo),
    (to, to_info): (&mut gst::BufferRef, &VideoInfo),
) -> Result<(), PlaneError> {
    let (width, height) = (from_info.width() as usize, from_info.height() as usize);
    let alpha = Plane::find(from_info, from, 3, (height, width))?;
    let luma = Plane::find(to_info, to, 0, (height, width))?;
    for (to, from) in luma.write(to)?.rows_mut().zip(alpha.read(from)?.rows()) {
        to.copy_from_slice(from);
    }
    for index in [1, 2] {
        let extent = (height.div_ceil(2), width.div_ceil(2));
        let chroma = Plane::find(to_info, to, index, extent)?;
        chroma.write(to)?.rows_mut().for_each(|row| row.fill(128));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gst_video::prelude::*;
    use gst_video::{VideoFormat, VideoFrameFlags, VideoMeta};

    use super::*;

    /// Of a frame of 15x7 in A420: luma, two planes of chroma, alpha.
    const STRIDES: [i32; 4] = [16, 8, 8, 16];
    const OFFSETS: [usize; 4] = [0, 112, 144, 176];
    const SIZE: usize = 288;

    fn info(format: VideoFormat) -> VideoInfo {
        VideoInfo::builder(format, 15, 7).build().expect("a format")
    }

    /// Luma, chroma and padding of 50, and alpha with the number of the row, behind a `GstVideoMeta`.
    fn frame(offsets: [usize; 4]) -> gst::Buffer {
        let alpha = (0..7).flat_map(|row| [row; 16]);
        let bytes: Vec<u8> = std::iter::repeat_n(50, OFFSETS[3]).chain(alpha).collect();
        assert_eq!(bytes.len(), SIZE);
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let fresh = buffer.get_mut().expect("fresh");
        let flags = VideoFrameFlags::empty();
        VideoMeta::add_full(fresh, flags, VideoFormat::A420, 15, 7, &offsets, &STRIDES)
            .expect("a meta");
        buffer
    }

    #[test]
    fn alpha_becomes_luma_and_chroma_grey() {
        gst::init().expect("GStreamer");
        let (from_info, to_info) = (info(VideoFormat::A420), info(VideoFormat::I420));
        let mut to = gst::Buffer::from_mut_slice(vec![1_u8; to_info.size()]);
        let target = (to.get_mut().expect("fresh"), &to_info);
        alpha_as_luma((&frame(OFFSETS), &from_info), target).expect("is mapped");
        let to = gst_video::VideoFrame::from_buffer_readable(to, &to_info).expect("a frame");
        let luma = to.plane_data(0).expect("luma");
        for (row, bytes) in luma.chunks(to.plane_stride()[0] as usize).enumerate() {
            assert_eq!(bytes[..15], [row as u8; 15]);
        }
        for plane in [1, 2] {
            let chroma = to.plane_data(plane).expect("chroma");
            for bytes in chroma.chunks(to.plane_stride()[plane as usize] as usize) {
                assert_eq!(bytes[..8], [128; 8]);
            }
        }
    }

    #[test]
    fn frames_outside_their_memory_are_refused() {
        gst::init().expect("GStreamer");
        let (from_info, to_info) = (info(VideoFormat::A420), info(VideoFormat::I420));
        let mut to = gst::Buffer::from_mut_slice(vec![1_u8; to_info.size()]);
        let target = (to.get_mut().expect("fresh"), &to_info);
        let outside = frame([0, 112, 144, 178]);
        let error = alpha_as_luma((&outside, &from_info), target).expect_err("is not read");
        let error = error.to_string();
        assert!(error.contains("ends at byte 289"), "{error}");
    }
}
