// SPDX-License-Identifier: MPL-2.0
//! Pictures for networks that run outside the stream: test pictures and paintings.

use crate::model::{Layout, Range};

/// A picture of 8-bit RGB.
pub(crate) struct TestPicture {
    pub width: usize,
    pub height: usize,
    /// Interleaved RGB.
    pub pixels: Vec<u8>,
}

impl TestPicture {
    /// A synthetic picture with properties of photographs: smooth and sharp parts, fine and coarse texture, dark
    /// and bright, grey and saturated areas.
    pub fn test(width: usize, height: usize) -> Self {
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
                let wave = (u * 19.0 + v * 7.0).sin() * (v * 13.0 - u * 5.0).cos();
                let block = ((x / 8 + y / 8) % 3) as f32 / 2.0;
                let texture: f32 = [1, 3, 7].map(|step| noise(x / step, y / step)).iter().sum();
                for c in 0..3 {
                    let tint = (u * 6.3 + v * 4.1 + c as f32 * 2.1).sin();
                    let value = 0.5 + 0.18 * (wave + texture) + 0.14 * (block - 0.5) + 0.25 * tint;
                    pixels.push((value * 255.0).clamp(0.0, 255.0) as u8);
                }
            }
        }
        Self {
            width,
            height,
            pixels,
        }
    }

    /// Twice as wide and high: the picture and its mirror images.
    pub fn mirrored(&self) -> Self {
        let (width, height) = (self.width * 2, self.height * 2);
        let fold = |i: usize, n: usize| if i < n { i } else { 2 * n - 1 - i };
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let at = (fold(y, self.height) * self.width + fold(x, self.width)) * 3;
                pixels.extend_from_slice(&self.pixels[at..at + 3]);
            }
        }
        Self {
            width,
            height,
            pixels,
        }
    }

    /// The values of a tensor `[1, 3, H, W]` or `[1, H, W, 3]` in this range.
    pub fn values(&self, layout: Layout, range: &Range) -> Vec<f32> {
        let (scale, offset) = range.scale_offset();
        let mut values = vec![0.0; self.pixels.len()];
        for y in 0..self.height {
            for x in 0..self.width {
                for c in 0..3 {
                    let byte = self.pixels[(y * self.width + x) * 3 + c];
                    values[index(layout, (self.width, self.height), (c, y, x))] =
                        f32::from(byte) * scale[c] + offset[c];
                }
            }
        }
        values
    }
}

/// A pseudorandom number in -0.5..0.5, a hash of the position.
fn noise(x: usize, y: usize) -> f32 {
    let mut hash = (x as u32)
        .wrapping_mul(374_761_393)
        .wrapping_add((y as u32).wrapping_mul(668_265_263));
    hash = (hash ^ (hash >> 13)).wrapping_mul(1_274_126_177);
    ((hash ^ (hash >> 16)) & 0xff) as f32 / 255.0 - 0.5
}

/// Index of channel `c` at `(y, x)` in the values of a tensor of one picture.
pub(crate) fn index(
    layout: Layout,
    (width, height): (usize, usize),
    (c, y, x): (usize, usize, usize),
) -> usize {
    match layout {
        Layout::Nchw => (c * height + y) * width + x,
        Layout::Nhwc => (y * width + x) * 3 + c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_picture_has_colours_and_keeps_its_statistics_when_mirrored() {
        let picture = TestPicture::test(64, 48);
        let mirrored = picture.mirrored();
        assert_eq!((mirrored.width, mirrored.height), (128, 96));
        for c in 0..3 {
            let channel = |p: &TestPicture| p.pixels.iter().skip(c).step_by(3).copied().collect();
            let (once, four): (Vec<u8>, Vec<u8>) = (channel(&picture), channel(&mirrored));
            let sum = |values: &[u8]| values.iter().map(|v| u64::from(*v)).sum::<u64>();
            assert_eq!(sum(&once) * 4, sum(&four));
            let (low, high) = (once.iter().min(), once.iter().max());
            assert!(low < Some(&32) && high > Some(&224), "{low:?} {high:?}");
        }
        let grey = |pixel: &[u8]| pixel[0] == pixel[1] && pixel[1] == pixel[2];
        assert!(picture.pixels.chunks(3).filter(|p| !grey(p)).count() > 64 * 40);
    }

    #[test]
    fn layouts_hold_the_same_picture() {
        let picture = TestPicture::test(5, 4);
        let planes = picture.values(Layout::Nchw, &Range::SIGNED);
        let pixels = picture.values(Layout::Nhwc, &Range::SIGNED);
        for (y, x, c) in [(0, 0, 0), (3, 4, 2), (2, 1, 1)] {
            let at = |layout| index(layout, (5, 4), (c, y, x));
            assert_eq!(planes[at(Layout::Nchw)], pixels[at(Layout::Nhwc)]);
        }
        assert!(planes.iter().all(|v| (-1.0..=1.0).contains(v)));
    }
}
