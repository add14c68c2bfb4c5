// SPDX-License-Identifier: MPL-2.0
//! Masks from analytics metadata: the objects and segments in a frame's `GstAnalyticsRelationMeta`.

use gst::MetaRef;
use gst::glib::translate::{UnsafeFrom, from_glib_full};
use gst_analytics::prelude::*;
use gst_analytics::{
    AnalyticsMtd, AnalyticsMtdRef, AnalyticsODMtd, AnalyticsODOrientedLocation,
    AnalyticsRelationMeta, RelTypes, ffi,
};
use gst_video::VideoFormat;
use image::GrayImage;

use super::canvas::{Mask, draw, edge, finished, soft};
use crate::numbers::saturating_u32;
use crate::stylize::report::Error;
use crate::stylize::settings::MaskSettings;

/// Whether this build can read analytics metadata.
///
/// # Errors
/// None in this build.
pub(crate) fn check() -> Result<(), Error> {
    Ok(())
}

/// The mask of the objects and segments in the frame's analytics metadata. An object with a related segmentation
/// contributes its segments instead of its box.
///
/// # Errors
/// [`Error::Segmentation`] for a segmentation mask that cannot be read.
pub(crate) fn of_findings(
    settings: &MaskSettings,
    (width, height): (usize, usize),
    frame: &gst::BufferRef,
) -> Result<Mask, Error> {
    let mut canvas = GrayImage::new(saturating_u32(width), saturating_u32(height));
    let mut segmented = false;
    for meta in frame.iter_meta::<AnalyticsRelationMeta>() {
        for segmentation in meta.iter::<Segmentation>() {
            segments(&segmentation)?.draw(&mut canvas, width);
            segmented = true;
        }
    }
    if segmented {
        canvas = soft(canvas, settings.feather);
    }
    for meta in frame.iter_meta::<AnalyticsRelationMeta>() {
        let boxes = meta.iter::<AnalyticsODMtd>();
        for object in boxes.filter(|object| !outlined(&meta, object)) {
            if let Ok(location) = object.oriented_location() {
                draw_box(&mut canvas, width, &location, settings.feather);
            }
        }
    }
    Ok(finished(canvas.into_raw(), settings.invert))
}

/// Whether a segmentation is related to the object.
fn outlined(
    meta: &MetaRef<AnalyticsRelationMeta>,
    object: &AnalyticsMtdRef<AnalyticsODMtd>,
) -> bool {
    meta.iter::<Segmentation>().any(|segmentation| {
        let (object, segmentation) = (object.id(), segmentation.id());
        let relations = meta.relation(object, segmentation) | meta.relation(segmentation, object);
        relations != RelTypes::NONE
    })
}

/// Draws a box that is rotated clockwise by `location.r` radians about its centre.
fn draw_box(mask: &mut [u8], width: usize, location: &AnalyticsODOrientedLocation, feather: u32) {
    let [x, y, w, h] = [location.x, location.y, location.w, location.h].map(f64::from);
    if location.r == 0.0 {
        return draw(mask, width, [x, y, w, h], feather);
    }
    let (sine, cosine) = f64::from(location.r).sin_cos();
    for (pixel, value) in mask.iter_mut().enumerate() {
        let across = (pixel % width) as f64 + 0.5 - (x + w / 2.0);
        let down = (pixel / width) as f64 + 0.5 - (y + h / 2.0);
        let column = w / 2.0 - (across * cosine + down * sine).abs();
        let row = h / 2.0 - (down * cosine - across * sine).abs();
        let covered = [column, row].map(|inside| u32::from(edge(inside, feather)));
        *value = (*value).max((covered[0] * covered[1] / 255) as u8);
    }
}

/// `GstAnalyticsSegmentationMtd`, for which gst-analytics 0.25 has no type.
enum Segmentation {}

// SAFETY: `mtd_type` must return the type id of one kind of metadata, because the bindings look entries up by it
// and hand them out as `AnalyticsMtdRef<Segmentation>`. It returns the id that the library assigns to segmentation
// metadata.
unsafe impl AnalyticsMtd for Segmentation {
    fn mtd_type() -> ffi::GstAnalyticsMtdType {
        // SAFETY: the function takes no arguments, has no preconditions and exists since GStreamer 1.26, to
        // which the feature `analytics` links.
        unsafe { ffi::gst_analytics_segmentation_mtd_get_mtd_type() }
    }
}

/// The segmentation mask of a part of the frame.
struct Segments {
    /// Row by row, 255 in a segment and 0 in the background.
    mask: Vec<u8>,
    /// Width and height of `mask`, samples.
    size: (usize, usize),
    /// Left edge and width in the frame, pixels.
    columns: (i64, i64),
    /// Top edge and height in the frame, pixels.
    rows: (i64, i64),
}

/// Reads the mask of a segmentation.
fn segments(segmentation: &AnalyticsMtdRef<Segmentation>) -> Result<Segments, Error> {
    let (mut x, mut y, mut w, mut h) = (0, 0, 0, 0);
    // SAFETY: `unsafe_from` copies the entry's id and the pointer to its meta, which `segmentation` borrows for the
    // whole block. `GstAnalyticsSegmentationMtd` is a C typedef of `GstAnalyticsMtd`, so the cast does not change
    // the layout, and the entry is a segmentation, because the bindings looked it up by `mtd_type`. The four
    // pointers are to initialized integers of the types in the signature. The function returns a new reference or
    // null (transfer full), which `from_glib_full` takes over once.
    let buffer: Option<gst::Buffer> = unsafe {
        let handle = ffi::GstAnalyticsMtd::unsafe_from(segmentation);
        let handle = (&raw const handle).cast::<ffi::GstAnalyticsSegmentationMtd>();
        let get_mask = ffi::gst_analytics_segmentation_mtd_get_mask;
        from_glib_full(get_mask(handle, &mut x, &mut y, &mut w, &mut h))
    };
    let refused = |reason: &str| Error::Segmentation(reason.into());
    let buffer = buffer.ok_or_else(|| refused("it is empty"))?;
    let meta = buffer.meta::<gst_video::VideoMeta>();
    let meta = meta.ok_or_else(|| refused("nothing describes its memory"))?;
    let (wide, high) = (meta.width() as usize, meta.height() as usize);
    let bytes = match meta.format() {
        VideoFormat::Gray8 => 1,
        VideoFormat::Gray16Le | VideoFormat::Gray16Be => 2,
        other => return Err(refused(&format!("its format is {other}"))),
    };
    let memory = buffer.map_readable();
    let memory = memory.map_err(|_| refused("its memory cannot be read"))?;
    // Not mapped as a video frame, because that trusts the meta's sizes without comparing them to the memory.
    let row = |line: usize| {
        let stride = usize::try_from(*meta.stride().first()?).ok()?;
        let from = memory.get(meta.offset().first()?.checked_add(line * stride)?..)?;
        from.get(..wide * bytes)
    };
    let mut mask = Vec::with_capacity(memory.len());
    for line in 0..high {
        let line = row(line).ok_or_else(|| refused("its memory ends early"))?;
        // Compared with 0 only, so the order of a value's bytes does not matter.
        let segment = |value: &[u8]| value.iter().any(|byte| *byte != 0);
        mask.extend(line.chunks_exact(bytes).map(|value| match segment(value) {
            true => 255,
            false => 0,
        }));
    }
    Ok(Segments {
        mask,
        size: (wide, high),
        columns: (x.into(), w.into()),
        rows: (y.into(), h.into()),
    })
}

/// A pixel of the frame that lies between two samples of a mask.
struct Between {
    pixel: usize,
    low: usize,
    high: usize,
    share: f32,
}

impl Segments {
    /// Draws the segments into a canvas of this width, enlarged by linear interpolation.
    fn draw(&self, canvas: &mut [u8], width: usize) {
        let (wide, high) = self.size;
        let columns = between(width, self.columns, wide);
        for row in between(canvas.len() / width, self.rows, high) {
            let [low, high] = [row.low, row.high].map(|line| &self.mask[line * wide..][..wide]);
            let mix =
                |(a, b): (&u8, &u8)| f32::from(*a) * (1.0 - row.share) + f32::from(*b) * row.share;
            let line: Vec<f32> = low.iter().zip(high).map(mix).collect();
            let target = &mut canvas[row.pixel * width..][..width];
            for column in &columns {
                let (low, high) = (line[column.low], line[column.high]);
                let value = low + (high - low) * column.share;
                target[column.pixel] = target[column.pixel].max(value.round() as u8);
            }
        }
    }
}

/// For each pixel of one axis of the frame inside `begin..begin + length`, the two of `samples` samples between
/// which it lies.
fn between(pixels: usize, (begin, length): (i64, i64), samples: usize) -> Vec<Between> {
    let Some(last) = samples.checked_sub(1) else {
        return Vec::new();
    };
    let inside = begin.max(0)..(begin + length).min(pixels as i64);
    let of_pixel = |pixel: i64| {
        let middle = (pixel - begin) as f64 + 0.5;
        let position = (middle * samples as f64 / length as f64 - 0.5).clamp(0.0, last as f64);
        let low = position as usize;
        Between {
            pixel: pixel as usize,
            low,
            high: (low + 1).min(last),
            share: (position - low as f64) as f32,
        }
    };
    inside.map(of_pixel).collect()
}
