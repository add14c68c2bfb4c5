// SPDX-License-Identifier: MPL-2.0
//! Reads and writes animated GIF, APNG and WebP. GStreamer 1.22 has no elements that write them, and its readers are
//! incomplete.
//!
//! Writing: an encoder encodes every frame as a whole file (`encoder` for GIF, GStreamer's elements for the others).
//! The element `stylizeanimation` (`muxer`) joins these files through the [`Writer`] of the format, which copies the
//! data to one file and adds the times. Writers do not depend on GStreamer. A single picture is passed on unchanged.
//!
//! Reading: the element `stylizeanimationdec` (`decoder`) uses the decoders of the crate `image` (`reader`).

mod apng;
mod decoder;
mod encoder;
mod gif;
mod muxer;
mod reader;
mod webp;

use std::time::Duration;

use anyhow::{Context, Result};

/// Registers the elements for this program.
///
/// # Errors
/// If GStreamer refuses them.
pub fn register() -> Result<(), gst::glib::BoolError> {
    muxer::register()?;
    decoder::register()
}

pub use decoder::{end_early, is_animation};

/// Writes pictures into an animation that repeats without end, which is the usual setting.
pub trait Writer: Send {
    /// The shortest duration that players honour.
    fn shortest(&self) -> Duration;

    /// Bytes to append for a picture that is shown in this span of the animation. `file` is the picture as a whole
    /// file.
    ///
    /// # Errors
    /// If the picture is not of the format.
    fn picture(&mut self, file: &[u8], shown: Span) -> Result<Vec<u8>>;

    /// Bytes to append at the end, and bytes to overwrite with their offset: counts and lengths that are known only
    /// now.
    fn end(&mut self) -> (Vec<u8>, Option<(u64, Vec<u8>)>);
}

/// The time in which a frame is shown, from the beginning of the animation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub from: Duration,
    pub to: Duration,
}

impl Span {
    /// Its length in units of 1/`per_second` s. Both ends are rounded instead of the length, so that rounding errors do
    /// not accumulate.
    fn units(self, per_second: u32) -> u32 {
        let at = |time: Duration| (time.as_secs_f64() * f64::from(per_second)).round() as u64;
        u32::try_from(at(self.to).saturating_sub(at(self.from))).unwrap_or(u32::MAX)
    }
}

/// The writer for pictures of this media type.
fn writer(kind: &str) -> Option<Box<dyn Writer>> {
    match kind {
        "image/gif" => Some(Box::<gif::Gif>::default()),
        "image/png" => Some(Box::<apng::Apng>::default()),
        "image/webp" => Some(Box::<webp::WebP>::default()),
        _ => None,
    }
}

/// A range of a file.
///
/// # Errors
/// If the file is too short.
fn bytes(file: &[u8], from: usize, length: usize) -> Result<&[u8]> {
    from.checked_add(length)
        .and_then(|to| file.get(from..to))
        .context("a picture ends early")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::codecs::{png::PngDecoder, webp::WebPDecoder};
    use image::{AnimationDecoder, Frame, ImageFormat, RgbaImage};

    use super::reader::{Kind, Reader};
    use super::*;

    /// Seven frames at 30 per second, each of another colour, half of their pixels transparent.
    fn animation(kind: &str, file: impl Fn(&RgbaImage) -> Vec<u8>) -> Vec<u8> {
        let mut writer = writer(kind).expect("a writer");
        let mut all = Vec::new();
        for n in 0..7_u32 {
            let at = |n: u32| Duration::from_nanos(u64::from(n) * 1_000_000_000 / 30);
            let shown = Span {
                from: at(n),
                to: at(n + 1),
            };
            all.extend(
                writer
                    .picture(&file(&picture(n)), shown)
                    .expect("a picture"),
            );
        }
        let (tail, over) = writer.end();
        all.extend(tail);
        if let Some((at, bytes)) = over {
            let at = at as usize;
            all[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        all
    }

    fn picture(n: u32) -> RgbaImage {
        let alpha = |x| if x < 10 { 0 } else { 255 };
        RgbaImage::from_fn(20, 16, |x, _| {
            image::Rgba([(n * 30) as u8, 100, 200, alpha(x)])
        })
    }

    fn encoded(picture: &RgbaImage, format: ImageFormat) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, format).expect("encoded");
        file.into_inner()
    }

    /// Checks the number of frames, their colours, and their ends to half of `step` milliseconds.
    fn check(frames: &[Frame], step: f64) {
        assert_eq!(frames.len(), 7);
        let mut at = 0.0;
        for (n, frame) in frames.iter().enumerate() {
            let (numer, denom) = frame.delay().numer_denom_ms();
            at += f64::from(numer) / f64::from(denom);
            let wanted = (n + 1) as f64 * 1000.0 / 30.0;
            assert!(
                (at - wanted).abs() <= step / 2.0,
                "{n}: {at} of {wanted} ms"
            );
            let (left, right) = (
                frame.buffer().get_pixel(2, 5),
                frame.buffer().get_pixel(15, 5),
            );
            assert_eq!(
                left[3], 0,
                "{n}: not transparent: the frame before it shows"
            );
            assert!(right[0].abs_diff((n * 30) as u8) <= 3, "{n}: {right:?}");
        }
    }

    #[test]
    fn png() {
        let file = animation("image/png", |picture| encoded(picture, ImageFormat::Png));
        let decoder = PngDecoder::new(Cursor::new(file)).expect("a PNG");
        let frames = decoder.apng().expect("animated").into_frames();
        check(&frames.collect_frames().expect("frames"), 1.0);
    }

    #[test]
    fn webp() {
        let file = animation("image/webp", |picture| encoded(picture, ImageFormat::WebP));
        let decoder = WebPDecoder::new(Cursor::new(file)).expect("a WebP");
        assert!(decoder.has_animation());
        let frames = decoder.into_frames();
        check(&frames.collect_frames().expect("frames"), 1.0);
    }

    #[test]
    fn gif() {
        let file = animation("image/gif", |picture| {
            let (width, height) = (picture.width() as u16, picture.height() as u16);
            encoder::encode(width, height, picture.as_raw().clone()).expect("encoded")
        });
        let mut options = ::gif::DecodeOptions::new();
        options.set_color_output(::gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(&file[..]).expect("a GIF");
        let mut frames = Vec::new();
        while let Some(frame) = decoder.read_next_frame().expect("a frame") {
            assert_eq!(frame.dispose, ::gif::DisposalMethod::Background);
            let delay = image::Delay::from_numer_denom_ms(u32::from(frame.delay) * 10, 1);
            let picture = RgbaImage::from_raw(20, 16, frame.buffer.to_vec()).expect("a frame");
            frames.push(Frame::from_parts(picture, 0, 0, delay));
        }
        assert_eq!(decoder.repeat(), ::gif::Repeat::Infinite);
        check(&frames, 10.0);
    }

    #[test]
    fn written_animations_can_be_read() {
        let png = |picture: &RgbaImage| encoded(picture, ImageFormat::Png);
        let webp = |picture: &RgbaImage| encoded(picture, ImageFormat::WebP);
        let gif = |picture: &RgbaImage| {
            encoder::encode(20, 16, picture.as_raw().clone()).expect("encoded")
        };
        let kind = |file: &[u8]| {
            Kind::of(|at| {
                file.get(usize::try_from(at).ok()?..)?
                    .first_chunk()
                    .copied()
            })
        };
        for (file, still, wanted, step) in [
            (
                animation("image/png", png),
                png(&picture(1)),
                Kind::Png,
                1.0,
            ),
            (
                animation("image/webp", webp),
                webp(&picture(1)),
                Kind::WebP,
                1.0,
            ),
            (
                animation("image/gif", gif),
                gif(&picture(1)),
                Kind::Gif,
                10.0,
            ),
        ] {
            assert_eq!(kind(&file[..64]), Some(wanted));
            // A GIF with one frame is read as an animation, too.
            let is_gif = (wanted == Kind::Gif).then_some(wanted);
            assert_eq!(kind(&still), is_gif);
            let reader = Reader::new(file).expect("an animation");
            assert_eq!(reader.size, (20, 16));
            let frames = reader.map(|frame| {
                let (picture, shown) = frame.expect("a frame");
                let delay = image::Delay::from_saturating_duration(shown);
                Frame::from_parts(picture, 0, 0, delay)
            });
            check(&frames.collect::<Vec<_>>(), step);
        }
    }

    #[test]
    fn truncated_pictures_are_errors() {
        let shown = Span {
            from: Duration::ZERO,
            to: Duration::from_secs(1),
        };
        for (kind, format) in [
            ("image/png", ImageFormat::Png),
            ("image/webp", ImageFormat::WebP),
        ] {
            let whole = encoded(&picture(1), format);
            for length in 0..whole.len() - 1 {
                let mut writer = writer(kind).expect("a writer");
                assert!(writer.picture(&whole[..length], shown).is_err(), "{length}");
            }
        }
        let mut gif = writer("image/gif").expect("a writer");
        assert!(gif.picture(b"GIF89a", shown).is_err());
    }
}
