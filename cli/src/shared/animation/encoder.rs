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

    fn picture(buffer: &gst::BufferRef, info: &gst_video::VideoInfo) -> Result<Vec<u8>> {
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info)?;
        let (width, height) = (u16::try_from(info.width())?, u16::try_from(info.height())?);
        let stride = usize::try_from(frame.plane_stride()[0])?;
        let rows = frame.plane_data(0)?.chunks(stride);
        let rows = rows.take(usize::from(height));
        let pixels = rows.flat_map(|row| &row[..usize::from(width) * 4]).copied();
        encode(width, height, pixels.collect())
    }
}
