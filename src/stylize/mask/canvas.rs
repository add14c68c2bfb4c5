// SPDX-License-Identifier: MPL-2.0
//! Masks are drawn here: one byte for each pixel of a frame, 255 for all of the painting.

use std::sync::Arc;

/// Bytes of a mask, row by row.
pub(crate) type Mask = Arc<[u8]>;

/// Adds a rectangle (x, y, width, height) to a mask, with a way of `feather` pixels at its edge, half
/// of it inside.
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

/// 255 for the pixels of one axis that are inside, 0 outside, linear between.
fn ramp(pixels: usize, begin: f64, length: f64, feather: u32) -> Vec<u8> {
    let share = |pixel: usize| {
        let middle = pixel as f64 + 0.5;
        edge((middle - begin).min(begin + length - middle), feather)
    };
    (0..pixels).map(share).collect()
}

/// The share of the painting so many pixels inside of an edge, in 255ths.
pub(crate) fn edge(inside: f64, feather: u32) -> u8 {
    ((inside / f64::from(feather.max(1)) + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8
}

/// A mask with edges of this width.
pub(crate) fn soft(mask: image::GrayImage, feather: u32) -> image::GrayImage {
    match feather {
        0 => mask,
        // Two deviations to either side hold nearly all of the way from 0 to 255.
        _ => image::imageops::fast_blur(&mask, feather as f32 / 4.0),
    }
}

/// A mask that has been drawn, or the other parts instead.
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
