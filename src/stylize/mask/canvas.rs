// SPDX-License-Identifier: MPL-2.0
//! Drawing of masks: one byte per pixel of a frame, 0 for the source and 255 for the painting.

use std::sync::Arc;

/// A mask, row by row without padding.
pub(crate) type Mask = Arc<[u8]>;

/// Draws a rectangle (x, y, width, height in pixels) into a mask of this width, with a linear ramp of `feather`
/// pixels centred on its edge. Overlapping shapes take the maximum.
pub(crate) fn draw(mask: &mut [u8], width: usize, [x, y, w, h]: [f64; 4], feather: u32) {
    let columns = ramp(width, x, w, feather);
    let rows = ramp(mask.len() / width, y, h, feather);
    for (row, line) in rows.iter().zip(mask.chunks_exact_mut(width)) {
        if *row == 0 {
            continue;
        }
        for (column, value) in columns.iter().zip(line) {
            let covered = u32::from(*row) * u32::from(*column) / 255;
            *value = (*value).max(covered as u8);
        }
    }
}

/// Coverage of the pixels of one axis by `begin..begin + length`, 0..255.
fn ramp(pixels: usize, begin: f64, length: f64, feather: u32) -> Vec<u8> {
    let share = |pixel: usize| {
        let middle = pixel as f64 + 0.5;
        edge((middle - begin).min(begin + length - middle), feather)
    };
    (0..pixels).map(share).collect()
}

/// Coverage at a distance of `inside` pixels from an edge (negative outside), 0..255.
pub(crate) fn edge(inside: f64, feather: u32) -> u8 {
    ((inside / f64::from(feather.max(1)) + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8
}

/// A mask blurred to edges of about `feather` pixels.
pub(crate) fn soft(mask: image::GrayImage, feather: u32) -> image::GrayImage {
    match feather {
        0 => mask,
        // A Gaussian's edge takes about four standard deviations.
        _ => image::imageops::fast_blur(&mask, feather as f32 / 4.0),
    }
}

/// A drawn mask, inverted with `invert`.
pub(crate) fn finished(mut mask: Vec<u8>, invert: bool) -> Mask {
    if invert {
        mask.iter_mut().for_each(|value| *value = 255 - *value);
    }
    mask.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_sharp_or_wide() {
        assert_eq!(ramp(6, 2.0, 2.0, 0), [0, 0, 255, 255, 0, 0]);
        assert_eq!(
            ramp(8, 2.0, 4.0, 4),
            [32, 96, 159, 223, 223, 159, 96, 32],
            "half at the edge"
        );
        let length = f64::from(u32::MAX);
        assert_eq!(ramp(3, 1.0, length, 0), [0, 255, 255], "beyond the frame");
    }
}
