// SPDX-License-Identifier: MPL-2.0
//! Reading of paintings from picture files.

use std::io::Cursor;
use std::path::Path;

use image::imageops::FilterType;

use crate::files;
use crate::numbers::saturating_u32;

/// Maximum size of a picture file, bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Maximum width and height, pixels. Limits are needed because a small file can declare a picture that exceeds memory
/// or takes long to decode.
const MAX_SIDE: u32 = 16_384;
/// Maximum number of pixels.
const MAX_PIXELS: u64 = 100_000_000;
/// Maximum memory of the decoder, bytes.
const MAX_DECODER_BYTES: u64 = 512 << 20;

/// The error for a file that is not a painting. The text is for the user.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "The style image \"{path}\" cannot be read: {reason}. Set style-image to a JPEG, PNG or WebP file."
)]
pub struct PaintingError {
    path: String,
    reason: String,
}

/// Reads a picture file, cropped around its centre to the aspect ratio of `width` x `height` pixels and scaled to that
/// size: interleaved RGB. The format is detected from the content, not from the name.
///
/// # Errors
/// [`PaintingError`] for a file that cannot be opened or decoded.
pub fn read(path: &Path, width: usize, height: usize) -> Result<Vec<u8>, PaintingError> {
    let error = |reason: String| PaintingError {
        path: path.display().to_string(),
        reason,
    };
    let picture = decode(path).map_err(error)?;
    let scaled = picture.resize_to_fill(
        saturating_u32(width),
        saturating_u32(height),
        FilterType::CatmullRom,
    );
    Ok(scaled.into_rgb8().into_raw())
}

/// Decodes a picture file. The format is detected from the content, not from the name.
///
/// # Errors
/// The reason why it cannot be opened or decoded, or exceeds a limit.
pub fn decode(path: &Path) -> Result<image::DynamicImage, String> {
    let bytes = files::read(path, MAX_FILE_BYTES).map_err(|err| err.to_string())?;
    let guess = || {
        let reader = image::ImageReader::new(Cursor::new(&bytes)).with_guessed_format();
        reader.map_err(|err| err.to_string())
    };
    let (width, height) = guess()?.into_dimensions().map_err(|err| err.to_string())?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!(
            "it has {width}x{height} pixels, more than {} million",
            MAX_PIXELS / 1_000_000
        ));
    }
    let mut reader = guess()?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    reader.decode().map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_picture_is_taken() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("no-ending");
        let picture = image::RgbImage::from_fn(90, 30, |x, _| match x / 30 {
            1 => image::Rgb([200, 100, 50]),
            _ => image::Rgb([0, 0, 0]),
        });
        let format = image::ImageFormat::Png;
        picture.save_with_format(&file, format).expect("a file");
        let pixels = read(&file, 8, 8).expect("a painting");
        assert_eq!(pixels.len(), 8 * 8 * 3);
        assert_eq!(pixels[(3 * 8 + 4) * 3..][..3], [200, 100, 50]);
    }

    /// Without limits, decoding these few hundred bytes takes seconds.
    #[test]
    fn a_small_file_cannot_promise_a_huge_picture() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("small");
        let picture = image::RgbImage::new(16, 16);
        let format = image::ImageFormat::Jpeg;
        picture.save_with_format(&file, format).expect("a file");
        let mut bytes = std::fs::read(&file).expect("a file");
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]);
        let frame = frame.expect("a frame header");
        // Length and depth of a sample stand before height and width.
        for (side, at) in [(15_000_u16, frame + 5), (15_000, frame + 7)] {
            bytes[at..at + 2].copy_from_slice(&side.to_be_bytes());
        }
        std::fs::write(&file, &bytes).expect("a file");
        let err = read(&file, 8, 8).expect_err("too large").to_string();
        assert!(err.contains("15000x15000 pixels"), "{err}");
        for at in [frame + 5, frame + 7] {
            bytes[at..at + 2].copy_from_slice(&16_u16.to_be_bytes());
        }
        std::fs::write(&file, &bytes).expect("a file");
        assert!(read(&file, 8, 8).is_ok());
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let text = dir.path().join("a.jpg");
        std::fs::write(&text, "not a picture").expect("a file");
        for file in [text.as_path(), dir.path(), &dir.path().join("none.png")] {
            let err = read(file, 8, 8).expect_err("no picture").to_string();
            assert!(err.contains(&file.display().to_string()), "{err}");
        }
    }
}
