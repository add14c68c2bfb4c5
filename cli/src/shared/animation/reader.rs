// SPDX-License-Identifier: MPL-2.0
//! Decodes animated GIF, PNG and WebP frame by frame, with the delays that browsers use. No GStreamer.

use std::io::Cursor;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::{AnimationDecoder, ImageDecoder, Limits, RgbaImage};

use super::{apng, gif, webp};

/// Limits for frames: pixels of a side, pixels in all (8K video), and bytes of the decoder's memory. A small file can
/// declare a size that does not fit in memory.
const LARGEST_SIDE: u32 = 16_384;
const MOST_PIXELS: u64 = 7680 * 4320;
const LARGEST_FRAME: u64 = 1 << 30;

/// Delays up to the first are replaced by the second, as in browsers and in FFmpeg's GIF demuxer.
const TOO_SHORT: Duration = Duration::from_millis(10);
const REPLACEMENT: Duration = Duration::from_millis(100);

/// An animation format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Also with one frame.
    Gif,
    /// Only if it is animated.
    Png,
    /// Only if it is animated.
    WebP,
}

impl Kind {
    /// Detects the format. `peek` returns eight bytes at an offset. `None`: not an animation.
    pub fn of(mut peek: impl FnMut(u64) -> Option<[u8; 8]>) -> Option<Self> {
        if gif::is_gif(&mut peek) {
            Some(Self::Gif)
        } else if apng::is_animated(&mut peek) {
            Some(Self::Png)
        } else if webp::is_animated(&mut peek) {
            Some(Self::WebP)
        } else {
            None
        }
    }
}

/// Iterator over the frames of an animation.
pub struct Reader {
    /// Width and height of all frames.
    pub size: (u32, u32),
    frames: image::Frames<'static>,
    failed: bool,
}

impl Reader {
    /// Parses the header of a file.
    ///
    /// # Errors
    /// If it is not an animation, or its frames are larger than the limits.
    pub fn new(mut file: Vec<u8>) -> Result<Self> {
        let peek = |at: u64| {
            file.get(usize::try_from(at).ok()?..)?
                .first_chunk()
                .copied()
        };
        let kind = Kind::of(peek).context("it is no animation")?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(LARGEST_SIDE);
        limits.max_image_height = Some(LARGEST_SIDE);
        limits.max_alloc = Some(LARGEST_FRAME);
        let (size, frames) = match kind {
            Kind::Gif => {
                // Some files lack the trailer; data after it is ignored.
                file.push(gif::TRAILER);
                let mut decoder = GifDecoder::new(Cursor::new(file))?;
                let size = checked_size(decoder.dimensions())?;
                decoder.set_limits(limits)?;
                (size, decoder.into_frames())
            }
            Kind::Png => {
                let decoder = PngDecoder::with_limits(Cursor::new(file), limits)?;
                (
                    checked_size(decoder.dimensions())?,
                    decoder.apng()?.into_frames(),
                )
            }
            Kind::WebP => {
                let decoder = WebPDecoder::new(Cursor::new(file))?;
                (checked_size(decoder.dimensions())?, decoder.into_frames())
            }
        };
        Ok(Self {
            size,
            frames,
            failed: false,
        })
    }
}

impl Iterator for Reader {
    /// A frame and its duration.
    type Item = Result<(RgbaImage, Duration)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let frame = self.frames.next()?;
        self.failed = frame.is_err();
        Some(frame.map_err(Into::into).and_then(|frame| {
            let said = Duration::from(frame.delay());
            let shown = if said <= TOO_SHORT { REPLACEMENT } else { said };
            let picture = frame.into_buffer();
            ensure!(picture.dimensions() == self.size, "a frame of another size");
            Ok((picture, shown))
        }))
    }
}

/// The size, if it is within the limits.
fn checked_size((width, height): (u32, u32)) -> Result<(u32, u32)> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        bail!("it has no pixels");
    }
    if pixels > MOST_PIXELS || width.max(height) > LARGEST_SIDE {
        bail!("its frames have {width}x{height} pixels, more than 8K video");
    }
    Ok((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A GIF of 4x1 pixels, with a frame for each delay in hundredths of a second.
    fn gif(delays: &[u16]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder =
            ::gif::Encoder::new(&mut file, 4, 1, &[0, 0, 0, 255, 0, 0]).expect("a GIF");
        for delay in delays {
            let frame = ::gif::Frame {
                delay: *delay,
                ..::gif::Frame::from_indexed_pixels(4, 1, vec![0, 1, 1, 0], None)
            };
            encoder.write_frame(&frame).expect("a frame");
        }
        drop(encoder);
        file
    }

    fn read(file: Vec<u8>) -> Result<Vec<u128>> {
        let frames = Reader::new(file)?;
        frames
            .map(|frame| frame.map(|(_, shown)| shown.as_millis()))
            .collect()
    }

    #[test]
    fn short_delays_are_those_of_browsers() {
        let delays = read(gif(&[0, 1, 2, 65_535])).expect("frames");
        assert_eq!(delays, [100, 100, 20, 655_350]);
    }

    #[test]
    fn a_gif_needs_no_end_but_all_of_its_frames() {
        let file = gif(&[5, 5]);
        assert_eq!(read(file.clone()).expect("frames"), [50, 50]);
        let open = &file[..file.len() - 1];
        assert_eq!(read(open.to_vec()).expect("frames"), [50, 50]);
        read(open[..open.len() - 4].to_vec()).expect_err("it is cut");
        read(b"GIF89a".to_vec()).expect_err("it is cut");
    }

    #[test]
    fn a_small_file_cannot_promise_huge_frames() {
        let mut file = gif(&[5]);
        for (side, said) in [(u16::MAX, "65535x65535 pixels"), (0, "no pixels")] {
            for at in [6, 8] {
                file[at..at + 2].copy_from_slice(&side.to_le_bytes());
            }
            let err = read(file.clone()).expect_err("no size").to_string();
            assert!(err.contains(said), "{err}");
        }
    }

    #[test]
    fn other_files_are_errors() {
        for file in ["", "GIF", "\u{89}PNG", "RIFF    WEBPVP8X", "text"] {
            assert!(read(file.into()).is_err(), "{file}");
        }
    }
}
