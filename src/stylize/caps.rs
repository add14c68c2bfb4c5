// SPDX-License-Identifier: MPL-2.0
//! Caps: what the pads take, and what a format means to the graph compiler.

use std::sync::LazyLock;

use gst_video::VideoFormat;

use crate::graph::Packed;

/// Smallest and largest width and height, pixels.
pub(super) const SIDES: std::ops::RangeInclusive<i32> = 16..=8192;

/// The formats, with the byte offsets of red, green and blue in a pixel.
const FORMATS: [(VideoFormat, usize, [usize; 3]); 10] = [
    (VideoFormat::Rgb, 3, [0, 1, 2]),
    (VideoFormat::Bgr, 3, [2, 1, 0]),
    (VideoFormat::Rgba, 4, [0, 1, 2]),
    (VideoFormat::Bgra, 4, [2, 1, 0]),
    (VideoFormat::Rgbx, 4, [0, 1, 2]),
    (VideoFormat::Bgrx, 4, [2, 1, 0]),
    (VideoFormat::Xrgb, 4, [1, 2, 3]),
    (VideoFormat::Xbgr, 4, [3, 2, 1]),
    (VideoFormat::Argb, 4, [1, 2, 3]),
    (VideoFormat::Abgr, 4, [3, 2, 1]),
];

/// Caps of both pads.
pub(super) static TEMPLATE: LazyLock<gst::Caps> = LazyLock::new(|| {
    gst_video::VideoCapsBuilder::new()
        .format_list(FORMATS.map(|(format, _, _)| format))
        .width_range(SIDES)
        .height_range(SIDES)
        .build()
});

/// Where the channels of a format lie; `None` for a format that the template does not have.
pub(super) fn packed(format: VideoFormat) -> Option<Packed> {
    let (_, bytes, rgb) = FORMATS.into_iter().find(|(known, _, _)| *known == format)?;
    Some(Packed { bytes, rgb })
}

/// The size of fixed raw video caps if it is one that cannot be played.
pub(super) fn bad_size(caps: &gst::CapsRef) -> Option<(i32, i32)> {
    let structure = caps.structure(0)?;
    let size = (
        structure.get::<i32>("width").ok()?,
        structure.get::<i32>("height").ok()?,
    );
    (!(SIDES.contains(&size.0) && SIDES.contains(&size.1))).then_some(size)
}
