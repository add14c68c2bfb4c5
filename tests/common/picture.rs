// SPDX-License-Identifier: MPL-2.0
//! Pictures in memory: made, laid out in buffers with any stride, and read back.

use gst_video::prelude::*;

/// Packed 8-bit formats of the element with the names of the bytes in a pixel.
pub const FORMATS: [(gst_video::VideoFormat, &str); 10] = [
    (gst_video::VideoFormat::Rgb, "RGB"),
    (gst_video::VideoFormat::Bgr, "BGR"),
    (gst_video::VideoFormat::Rgba, "RGBA"),
    (gst_video::VideoFormat::Bgra, "BGRA"),
    (gst_video::VideoFormat::Rgbx, "RGBx"),
    (gst_video::VideoFormat::Bgrx, "BGRx"),
    (gst_video::VideoFormat::Xrgb, "xRGB"),
    (gst_video::VideoFormat::Xbgr, "xBGR"),
    (gst_video::VideoFormat::Argb, "ARGB"),
    (gst_video::VideoFormat::Abgr, "ABGR"),
];

/// Pixels as `[red, green, blue, fourth]`, row by row.
#[derive(Clone, PartialEq, Debug)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[u8; 4]>,
}

impl Picture {
    /// Every byte value in every channel, no two neighbours alike.
    pub fn varied(width: usize, height: usize) -> Self {
        let pixel = |i: usize| {
            let (x, y) = (i % width, i / width);
            [
                (x * 7 + y * 3) as u8,
                (x * 5 + y * 11 + 85) as u8,
                (x * 3 + y * 13 + 170) as u8,
                (x + y * 17 + 31) as u8,
            ]
        };
        let pixels = (0..width * height).map(pixel).collect();
        Self {
            width,
            height,
            pixels,
        }
    }

    /// The same picture with a function applied to red, green and blue.
    pub fn map(&self, f: impl Fn([u8; 3]) -> [u8; 3]) -> Self {
        let pixels = self.pixels.iter().map(|&[r, g, b, a]| {
            let [r, g, b] = f([r, g, b]);
            [r, g, b, a]
        });
        Self {
            pixels: pixels.collect(),
            ..*self
        }
    }

    /// A buffer in `format` (such as "xBGR") whose rows are `stride` bytes, with a `GstVideoMeta`.
    /// Padding is filled with a value that would show in the picture.
    pub fn buffer(&self, format: gst_video::VideoFormat, name: &str, stride: usize) -> gst::Buffer {
        let mut bytes = vec![0xa5_u8; stride * self.height];
        for (i, pixel) in self.pixels.iter().enumerate() {
            let at = (i / self.width) * stride + (i % self.width) * name.len();
            for (byte, channel) in name.bytes().enumerate() {
                bytes[at + byte] = pixel[channel_index(channel)];
            }
        }
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        gst_video::VideoMeta::add_full(
            buffer.get_mut().expect("fresh"),
            gst_video::VideoFrameFlags::empty(),
            format,
            self.width as u32,
            self.height as u32,
            &[0],
            &[stride as i32],
        )
        .expect("video meta");
        buffer
    }

    /// Reads a picture back from a buffer.
    pub fn read(buffer: &gst::Buffer, info: &gst_video::VideoInfo, name: &str) -> Self {
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).expect("map");
        let stride = frame.plane_stride()[0] as usize;
        let data = frame.plane_data(0).expect("plane");
        let (width, height) = (info.width() as usize, info.height() as usize);
        let pixel = |i: usize| {
            let at = (i / width) * stride + (i % width) * name.len();
            let mut pixel = [0; 4];
            for (byte, channel) in name.bytes().enumerate() {
                pixel[channel_index(channel)] = data[at + byte];
            }
            pixel
        };
        Self {
            width,
            height,
            pixels: (0..width * height).map(pixel).collect(),
        }
    }

    /// Largest difference of any red, green or blue value.
    pub fn max_difference(&self, other: &Self) -> u8 {
        assert_eq!((self.width, self.height), (other.width, other.height));
        let pairs = self.pixels.iter().zip(&other.pixels);
        pairs
            .flat_map(|(a, b)| (0..3).map(move |c| a[c].abs_diff(b[c])))
            .max()
            .unwrap_or(0)
    }
}

fn channel_index(name: u8) -> usize {
    match name {
        b'R' => 0,
        b'G' => 1,
        b'B' => 2,
        _ => 3,
    }
}

/// The frame of this number in a stream of 25 a second: varied bytes, which change from one to the next.
pub fn varied(info: &gst_video::VideoInfo, number: u32) -> gst::Buffer {
    let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761) >> 25;
    let byte = |i: usize| ((i as u32 / 3 + number) % 128 + hash(i)) as u8;
    let bytes: Vec<u8> = (0..info.size()).map(byte).collect();
    let mut frame = gst::Buffer::from_mut_slice(bytes);
    let pts = gst::ClockTime::from_mseconds(40 * u64::from(number));
    frame.get_mut().expect("fresh").set_pts(pts);
    frame
}
