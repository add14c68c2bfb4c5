// SPDX-License-Identifier: MPL-2.0
//! The element `stylizegifenc`: encodes each frame as a GIF with its own palette of 256 colours.

use anyhow::Result;
use gif::{DisposalMethod, Frame};
use gst::glib;

glib::wrapper! {
    /// The element `stylizegifenc`.
    pub struct GifEncoder(ObjectSubclass<imp::GifEncoder>)
        @extends gst_video::VideoEncoder, gst::Element, gst::Object;
}

/// Speed of the palette's quantization (NeuQuant): one in this many pixels is sampled, from 1, the slowest, to 30.
const SPEED: i32 = 10;

/// Encodes RGBA pixels as a GIF. In an animation the frame is disposed to the background, so transparent pixels do not
/// show the frame before.
///
/// # Errors
/// If the number of bytes does not match the size, or is 0.
pub fn encode(width: u16, height: u16, mut pixels: Vec<u8>) -> Result<Vec<u8>> {
    anyhow::ensure!(
        !pixels.is_empty() && pixels.len() == usize::from(width) * usize::from(height) * 4,
        "pixels do not fill the frame"
    );
    // GIF has no partial transparency, and the library takes any alpha except 0 for opaque.
    for pixel in pixels.as_chunks_mut::<4>().0 {
        pixel[3] = if pixel[3] < 128 { 0 } else { 255 };
    }
    let mut frame = Frame::from_rgba_speed(width, height, &mut pixels, SPEED);
    frame.dispose = DisposalMethod::Background;
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, width, height, &[])?;
    encoder.write_frame(&frame)?;
    drop(encoder);
    Ok(file)
}

mod imp {
    use std::sync::{LazyLock, Mutex, PoisonError};

    use gst_video::prelude::*;
    use gst_video::subclass::prelude::*;
    use gststylize::planes::{Plane, unusable};

    use super::*;
    use crate::shared::pads::always;

    #[derive(Default)]
    pub struct GifEncoder {
        info: Mutex<Option<gst_video::VideoInfo>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for GifEncoder {
        const NAME: &'static str = "StylizeGifEncoder";
        type Type = super::GifEncoder;
        type ParentType = gst_video::VideoEncoder;
    }

    impl ObjectImpl for GifEncoder {}
    impl GstObjectImpl for GifEncoder {}

    impl ElementImpl for GifEncoder {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "GIF encoder",
                    "Encoder/Video",
                    "Makes each frame a GIF",
                    "The gst-plugin-stylize developers",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let raw = gst_video::VideoCapsBuilder::new()
                    .format(gst_video::VideoFormat::Rgba)
                    .width_range(1..=i32::from(u16::MAX))
                    .height_range(1..=i32::from(u16::MAX))
                    .build();
                let gif = gst::Caps::new_empty_simple("image/gif");
                always(&raw, &gif)
            });
            &TEMPLATES
        }
    }

    impl VideoEncoderImpl for GifEncoder {
        fn set_format(
            &self,
            state: &gst_video::VideoCodecState<'static, gst_video::video_codec_state::Readable>,
        ) -> Result<(), gst::LoggableError> {
            let mut info = self.info.lock().unwrap_or_else(PoisonError::into_inner);
            *info = Some(state.info().clone());
            drop(info);
            let (element, gif) = (self.obj(), gst::Caps::new_empty_simple("image/gif"));
            let output = element.set_output_state(gif, Some(state));
            output
                .and_then(|output| element.negotiate(output))
                .map_err(|_| gst::loggable_error!(gst::CAT_RUST, "no output"))?;
            self.parent_set_format(state)
        }

        fn handle_frame(
            &self,
            mut frame: gst_video::VideoCodecFrame,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let info = self.info.lock().unwrap_or_else(PoisonError::into_inner);
            let info = info.clone().ok_or(gst::FlowError::NotNegotiated)?;
            let input = frame.input_buffer().ok_or(gst::FlowError::Error)?;
            let file = picture(input, &info).map_err(|err| {
                gst::element_imp_error!(self, gst::StreamError::Encode, ("{err:#}"));
                gst::FlowError::Error
            })?;
            frame.set_output_buffer(gst::Buffer::from_mut_slice(file));
            frame.set_flags(gst_video::VideoCodecFrameFlags::SYNC_POINT);
            self.obj().finish_frame(frame)
        }
    }

    pub(super) fn picture(buffer: &gst::BufferRef, info: &gst_video::VideoInfo) -> Result<Vec<u8>> {
        let (width, height) = (u16::try_from(info.width())?, u16::try_from(info.height())?);
        let extent = (usize::from(height), usize::from(width) * 4);
        let plane = Plane::find(info, buffer, 0, extent).and_then(|plane| plane.read(buffer));
        let plane = plane.map_err(|err| anyhow::anyhow!(unusable(&err)))?;
        let pixels = plane.rows().flatten().copied();
        encode(width, height, pixels.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_outside_their_memory_are_refused() {
        gst::init().expect("GStreamer");
        let format = gst_video::VideoFormat::Rgba;
        let info = gst_video::VideoInfo::builder(format, 16, 8).build();
        let info = info.expect("a format");
        let encoded = |offset: usize| {
            let mut buffer = gst::Buffer::from_mut_slice(vec![9_u8; 16 * 8 * 4]);
            let fresh = buffer.get_mut().expect("fresh");
            let flags = gst_video::VideoFrameFlags::empty();
            gst_video::VideoMeta::add_full(fresh, flags, format, 16, 8, &[offset], &[64])
                .expect("a meta");
            imp::picture(&buffer, &info)
        };
        encoded(0).expect("is encoded");
        let error = encoded(4).expect_err("is not read").to_string();
        assert!(error.contains("at offset 4 with a stride of 64"), "{error}");
    }
}
