// SPDX-License-Identifier: MPL-2.0
//! Where the painting is shown.

use std::path::{Path, PathBuf};

use gst_video::VideoRegionOfInterestMeta;
use image::imageops::FilterType;

use super::analytics;
use super::canvas::{Mask, draw, finished, soft};
use crate::gallery::painting;
use crate::stylize::background::{Background, BackgroundThreads};
use crate::stylize::report::Error;
use crate::stylize::settings::{MaskKind, MaskSettings};

/// What a mask from a file was made of.
#[derive(Clone, PartialEq)]
struct MaskSource {
    file: PathBuf,
    size: (usize, usize),
    feather: u32,
    invert: bool,
}

/// The masks of one stream.
#[derive(Default)]
pub(crate) struct Masks {
    picture: Option<(MaskSource, Mask)>,
    /// What is being read.
    reading: Option<(MaskSource, Background<Mask>)>,
    /// What could not be read.
    refused: Option<MaskSource>,
}

impl Masks {
    /// The mask for a frame of this size. What cannot be read is pushed to `refused`, and the mask
    /// stays as it was then.
    ///
    /// # Errors
    /// If there was none before.
    pub fn next(
        &mut self,
        settings: &MaskSettings,
        size: (usize, usize),
        frame: &gst::BufferRef,
        threads: &BackgroundThreads,
        refused: &mut Vec<Error>,
    ) -> Result<Mask, Error> {
        match settings.kind {
            // Until a graph without a mask is there.
            MaskKind::None => Ok(vec![255; size.0 * size.1].into()),
            MaskKind::Roi => Ok(of_regions(settings, size, frame)),
            MaskKind::Analytics => analytics::of_findings(settings, size, frame),
            MaskKind::Image => self.of_picture(settings, size, threads, refused),
        }
    }

    fn of_picture(
        &mut self,
        settings: &MaskSettings,
        size: (usize, usize),
        threads: &BackgroundThreads,
        refused: &mut Vec<Error>,
    ) -> Result<Mask, Error> {
        let wanted = MaskSource {
            file: settings.file.clone().ok_or(Error::NoMaskFile)?,
            size,
            feather: settings.feather,
            invert: settings.invert,
        };
        if let Some((picture, reading)) = &self.reading
            && let Some(outcome) = reading.poll()
        {
            match outcome {
                Ok(mask) => self.picture = Some((picture.clone(), mask)),
                Err(err) => {
                    self.refused = Some(picture.clone());
                    refused.push(err);
                }
            }
            self.reading = None;
        }
        match &self.picture {
            Some((picture, mask)) if *picture == wanted => return Ok(mask.clone()),
            // Of this size: shown until the new one is there.
            Some((picture, mask)) if picture.size == size => {
                let mask = mask.clone();
                if self.reading.is_none() && self.refused.as_ref() != Some(&wanted) {
                    let work = wanted.clone();
                    let reading = threads.start("stylize-mask", move || work.read())?;
                    self.reading = Some((wanted, reading));
                }
                return Ok(mask);
            }
            _ => (),
        }
        let mask = wanted.read()?;
        self.picture = Some((wanted, mask.clone()));
        Ok(mask)
    }
}

/// Whether there is such a mask at all.
pub(crate) fn check(settings: &MaskSettings) -> Result<(), Error> {
    match (settings.kind, &settings.file) {
        (MaskKind::Image, None) => Err(Error::NoMaskFile),
        (MaskKind::Image, Some(file)) => open(file).map(drop),
        (MaskKind::Analytics, _) => analytics::check(),
        _ => Ok(()),
    }
}

impl MaskSource {
    fn read(&self) -> Result<Mask, Error> {
        let (width, height) = self.size;
        let picture = open(&self.file)?;
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        let scaled = picture.resize_exact(side(width), side(height), FilterType::Triangle);
        // Where a picture has holes, these are what is meant.
        let holes = scaled.color().has_alpha() && scaled.to_rgba8().pixels().any(|p| p[3] < 255);
        let grey = match holes {
            true => image::GrayImage::from_fn(side(width), side(height), {
                let colours = scaled.to_rgba8();
                move |x, y| image::Luma([colours.get_pixel(x, y)[3]])
            }),
            false => scaled.into_luma8(),
        };
        Ok(finished(soft(grey, self.feather).into_raw(), self.invert))
    }
}

fn open(file: &Path) -> Result<image::DynamicImage, Error> {
    painting::decode(file).map_err(|reason| Error::Mask {
        file: file.display().to_string(),
        reason,
    })
}

/// All of the painting inside the regions of interest that the frame carries, none outside.
fn of_regions(settings: &MaskSettings, size: (usize, usize), frame: &gst::BufferRef) -> Mask {
    let mut mask = vec![0_u8; size.0 * size.1];
    for region in frame.iter_meta::<VideoRegionOfInterestMeta>() {
        let (x, y, w, h) = region.rect();
        let rect = [x, y, w, h].map(f64::from);
        draw(&mut mask, size.0, rect, settings.feather);
    }
    finished(mask, settings.invert)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_or_grey_levels_make_a_mask() {
        let dir = tempfile::tempdir().expect("a folder");
        let grey = dir.path().join("grey.png");
        let picture =
            image::GrayImage::from_fn(4, 2, |x, _| image::Luma([if x < 2 { 255 } else { 0 }]));
        picture.save(&grey).expect("a file");
        let holes = dir.path().join("holes.png");
        let alpha = |x: u32| if x < 2 { 0 } else { 255 };
        let picture = image::RgbaImage::from_fn(4, 2, |x, _| image::Rgba([9, 9, 9, alpha(x)]));
        picture.save(&holes).expect("a file");
        let read = |file: &Path, feather, invert| {
            let picture = MaskSource {
                file: file.into(),
                size: (4, 2),
                feather,
                invert,
            };
            picture.read().expect("a mask").to_vec()
        };
        assert_eq!(read(&grey, 0, false)[..4], [255, 255, 0, 0]);
        assert_eq!(read(&grey, 0, true)[..4], [0, 0, 255, 255]);
        assert_eq!(read(&holes, 0, false)[..4], [0, 0, 255, 255]);
        let soft = read(&grey, 4, false);
        assert!(
            soft[1] > soft[2] && soft[2] > 0 && soft[1] < 255,
            "{soft:?}"
        );
    }
}
