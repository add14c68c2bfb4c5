// SPDX-License-Identifier: MPL-2.0
//! The mask of each frame: none, regions of interest, a picture file, or analytics metadata.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gst_video::VideoRegionOfInterestMeta;
use image::GrayImage;
use image::imageops::FilterType;

use super::analytics;
use super::canvas::{Mask, draw, finished, soft};
use crate::gallery::painting;
use crate::numbers::saturating_u32;
use crate::stylize::background::{Background, BackgroundThreads};
use crate::stylize::report::Error;
use crate::stylize::settings::{MaskKind, MaskSettings};

/// A picture file as grey levels in the picture's own size, 255 for the painting.
#[derive(Clone)]
pub(crate) struct Levels {
    file: PathBuf,
    levels: Arc<GrayImage>,
}

/// Parameters for which a mask was drawn from a file.
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
    /// The settings in use: the present ones, or the previous ones while a file is read or after an error.
    shown: MaskSettings,
    /// The settings that were refused last.
    refused: Option<MaskSettings>,
    /// The file that was read last.
    levels: Option<Levels>,
    /// The mask that was drawn last.
    picture: Option<(MaskSource, Mask)>,
    /// The mask that is being read and drawn.
    reading: Option<(MaskSource, Background<(Levels, Mask)>)>,
}

impl Masks {
    /// Sets the file that was read when the element started.
    pub fn begin(&mut self, levels: Levels) {
        self.levels = Some(levels);
    }

    /// The mask for a frame of this width and height. The error for settings that cannot be used is pushed to
    /// `refused` once; then, and while a file is being read, the previous mask stays in use.
    ///
    /// # Errors
    /// [`Error::Segmentation`] for metadata of the frame that cannot be used.
    pub fn next(
        &mut self,
        settings: &MaskSettings,
        size: (usize, usize),
        frame: &gst::BufferRef,
        threads: &BackgroundThreads,
        refused: &mut Vec<Error>,
    ) -> Result<Mask, Error> {
        if self.refused.as_ref() != Some(settings) {
            match self.prepare(settings, size, threads) {
                Ok(true) => {
                    self.refused = None;
                    self.shown = settings.clone();
                }
                // The file is being read.
                Ok(false) => (),
                Err(err) => {
                    self.refused = Some(settings.clone());
                    refused.push(err);
                }
            }
        }
        let everything = || vec![255; size.0 * size.1].into();
        match self.shown.kind {
            // Until the graph without a mask input has been compiled.
            MaskKind::None => Ok(everything()),
            MaskKind::Roi => Ok(of_regions(&self.shown, size, frame)),
            MaskKind::Analytics => analytics::of_findings(&self.shown, size, frame),
            MaskKind::Image => Ok(self.drawn(size).unwrap_or_else(everything)),
        }
    }

    /// Whether these settings can be used now; false while their file is being read.
    fn prepare(
        &mut self,
        settings: &MaskSettings,
        size: (usize, usize),
        threads: &BackgroundThreads,
    ) -> Result<bool, Error> {
        match settings.kind {
            MaskKind::None | MaskKind::Roi => Ok(true),
            MaskKind::Analytics => analytics::check().map(|()| true),
            MaskKind::Image => {
                let wanted = MaskSource {
                    file: settings.file.clone().ok_or(Error::NoMaskFile)?,
                    size,
                    feather: settings.feather,
                    invert: settings.invert,
                };
                self.prepare_picture(&wanted, threads)
            }
        }
    }

    fn prepare_picture(
        &mut self,
        wanted: &MaskSource,
        threads: &BackgroundThreads,
    ) -> Result<bool, Error> {
        if let Some((picture, reading)) = &self.reading {
            let picture = picture.clone();
            match reading.poll() {
                None => return Ok(false),
                Some(outcome) => {
                    self.reading = None;
                    match outcome {
                        Ok((levels, mask)) => {
                            self.levels = Some(levels);
                            self.picture = Some((picture, mask));
                        }
                        Err(err) if picture.file == wanted.file => return Err(err),
                        // The settings name another file by now.
                        Err(_) => (),
                    }
                }
            }
        }
        if self.picture.as_ref().is_some_and(|(of, _)| of == wanted) {
            return Ok(true);
        }
        let levels = self.levels.as_ref().filter(|read| read.file == wanted.file);
        let same_size = |(of, _): &(MaskSource, Mask)| of.size == wanted.size;
        match levels {
            // Drawn on this thread, because there is no other mask of this size to show meanwhile.
            Some(levels) if !self.picture.as_ref().is_some_and(same_size) => {
                self.picture = Some((wanted.clone(), wanted.draw(&levels.levels)));
                Ok(true)
            }
            _ => {
                let (work, levels) = (wanted.clone(), levels.cloned());
                let reading = threads.start("stylize-mask", move || {
                    let levels = levels.map_or_else(|| read(&work.file), Ok)?;
                    let mask = work.draw(&levels.levels);
                    Ok((levels, mask))
                })?;
                self.reading = Some((wanted.clone(), reading));
                Ok(false)
            }
        }
    }

    /// The mask from the file in use, in this size.
    fn drawn(&mut self, size: (usize, usize)) -> Option<Mask> {
        if let Some((picture, mask)) = &self.picture
            && picture.size == size
        {
            return Some(mask.clone());
        }
        let levels = self.levels.as_ref()?;
        let picture = MaskSource {
            file: levels.file.clone(),
            size,
            feather: self.shown.feather,
            invert: self.shown.invert,
        };
        let mask = picture.draw(&levels.levels);
        self.picture = Some((picture, mask.clone()));
        Some(mask)
    }
}

/// Reads the mask file before the first frame, if the settings need it.
///
/// # Errors
/// [`Error::NoMaskFile`], [`Error::Mask`], or [`Error::NoAnalytics`] in builds without analytics.
pub(crate) fn load(settings: &MaskSettings) -> Result<Option<Levels>, Error> {
    match (settings.kind, &settings.file) {
        (MaskKind::Image, None) => Err(Error::NoMaskFile),
        (MaskKind::Image, Some(file)) => read(file).map(Some),
        (MaskKind::Analytics, _) => analytics::check().map(|()| None),
        _ => Ok(None),
    }
}

/// Reads a picture file as grey levels: its alpha channel if any pixel is transparent, else its luma.
fn read(file: &Path) -> Result<Levels, Error> {
    let picture = painting::decode(file).map_err(|reason| Error::Mask {
        file: file.display().to_string(),
        reason,
    })?;
    let has_alpha = picture.color().has_alpha();
    let alpha = has_alpha.then(|| picture.to_rgba8());
    let levels = match alpha.filter(|colours| colours.pixels().any(|p| p[3] < 255)) {
        Some(colours) => {
            let (width, height) = colours.dimensions();
            GrayImage::from_fn(width, height, |x, y| {
                image::Luma([colours.get_pixel(x, y)[3]])
            })
        }
        None => picture.into_luma8(),
    };
    Ok(Levels {
        file: file.into(),
        levels: Arc::new(levels),
    })
}

impl MaskSource {
    fn draw(&self, levels: &GrayImage) -> Mask {
        let (width, height) = (saturating_u32(self.size.0), saturating_u32(self.size.1));
        let scaled = image::imageops::resize(levels, width, height, FilterType::Triangle);
        finished(soft(scaled, self.feather).into_raw(), self.invert)
    }
}

/// The mask of the frame's regions of interest.
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
    fn alpha_or_grey_levels_make_a_mask() {
        let dir = tempfile::tempdir().expect("a folder");
        let grey = dir.path().join("grey.png");
        let picture =
            image::GrayImage::from_fn(4, 2, |x, _| image::Luma([if x < 2 { 255 } else { 0 }]));
        picture.save(&grey).expect("a file");
        let holes = dir.path().join("holes.png");
        let alpha = |x: u32| if x < 2 { 0 } else { 255 };
        let picture = image::RgbaImage::from_fn(4, 2, |x, _| image::Rgba([9, 9, 9, alpha(x)]));
        picture.save(&holes).expect("a file");
        let drawn = |file: &Path, feather, invert| {
            let picture = MaskSource {
                file: file.into(),
                size: (4, 2),
                feather,
                invert,
            };
            let levels = super::read(file).expect("a mask");
            picture.draw(&levels.levels).to_vec()
        };
        assert_eq!(drawn(&grey, 0, false)[..4], [255, 255, 0, 0]);
        assert_eq!(drawn(&grey, 0, true)[..4], [0, 0, 255, 255]);
        assert_eq!(drawn(&holes, 0, false)[..4], [0, 0, 255, 255]);
        let soft = drawn(&grey, 4, false);
        assert!(
            soft[1] > soft[2] && soft[2] > 0 && soft[1] < 255,
            "{soft:?}"
        );
    }
}
