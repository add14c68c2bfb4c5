// SPDX-License-Identifier: MPL-2.0
//! Caps of the pads, and their conversion to the graph compiler's description of a format.

use std::sync::LazyLock;

use gst_video::{
    VideoChromaSite, VideoColorMatrix, VideoColorRange, VideoFormat, VideoInfo,
    VideoTransferFunction,
};

use super::report::Error;
use crate::graph::{Components, Depth, Format, Matrix, Packed, Planar, Plane};

/// Smallest and largest width and height, pixels.
pub(super) const SIDES: std::ops::RangeInclusive<i32> = 16..=8192;

/// Packed formats, with the byte offsets of red, green and blue in a pixel.
const PACKED: [(VideoFormat, usize, [usize; 3]); 10] = [
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

/// Other formats: their planes in memory order, and chroma subsampling (horizontal, vertical). The bit depth
/// is taken from `VideoFormatInfo`.
const PLANAR: [(VideoFormat, &[Plane], [usize; 2]); 15] = {
    use Plane::{One, Pair, Quad};
    [
        (VideoFormat::P01010le, &[One(0), Pair([1, 2])], [2, 2]),
        (VideoFormat::I42010le, &[One(0), One(1), One(2)], [2, 2]),
        (VideoFormat::I42210le, &[One(0), One(1), One(2)], [2, 1]),
        (VideoFormat::Y44410le, &[One(0), One(1), One(2)], [1, 1]),
        (VideoFormat::Nv12, &[One(0), Pair([1, 2])], [2, 2]),
        (VideoFormat::Nv21, &[One(0), Pair([2, 1])], [2, 2]),
        (VideoFormat::I420, &[One(0), One(1), One(2)], [2, 2]),
        (VideoFormat::Yv12, &[One(0), One(2), One(1)], [2, 2]),
        (VideoFormat::Y42b, &[One(0), One(1), One(2)], [2, 1]),
        (VideoFormat::Y444, &[One(0), One(1), One(2)], [1, 1]),
        (VideoFormat::Yuy2, &[Quad { luma_first: true }], [2, 1]),
        (VideoFormat::Uyvy, &[Quad { luma_first: false }], [2, 1]),
        (VideoFormat::Gbr, &[One(1), One(2), One(0)], [1, 1]),
        (VideoFormat::Rgbp, &[One(0), One(1), One(2)], [1, 1]),
        (VideoFormat::Gray8, &[One(0)], [1, 1]),
    ]
};

/// Caps of both pads.
pub(super) static TEMPLATE: LazyLock<gst::Caps> = LazyLock::new(|| {
    let packed = PACKED.into_iter().map(|(format, ..)| format);
    let planar = PLANAR.into_iter().map(|(format, ..)| format);
    gst_video::VideoCapsBuilder::new()
        .format_list(packed.chain(planar))
        .width_range(SIDES)
        .height_range(SIDES)
        .field("interlace-mode", "progressive")
        .build()
});

/// The format of frames with these caps.
///
/// # Errors
/// [`Error::Format`] for formats and colour matrices that are not supported, [`Error::Hdr`] for the transfer
/// functions PQ and HLG: generators are trained on sRGB pictures.
pub(super) fn format(info: &VideoInfo) -> Result<Format, Error> {
    let colorimetry = info.colorimetry();
    if matches!(
        colorimetry.transfer(),
        VideoTransferFunction::Smpte2084 | VideoTransferFunction::AribStdB67
    ) {
        return Err(Error::Hdr(colorimetry.to_string()));
    }
    let wanted = info.format();
    let mut packed = PACKED.into_iter();
    if let Some((_, bytes, rgb)) = packed.find(|(known, ..)| *known == wanted) {
        return Ok(Format::Packed(Packed { bytes, rgb }));
    }
    let planar = PLANAR.into_iter().find(|(known, ..)| *known == wanted);
    let (_, planes, subsampling) = planar.ok_or_else(|| Error::Format(wanted.to_string()))?;
    let matrix = match colorimetry.matrix() {
        VideoColorMatrix::Bt601 | VideoColorMatrix::Unknown | VideoColorMatrix::Rgb => {
            Matrix::Bt601
        }
        VideoColorMatrix::Bt709 => Matrix::Bt709,
        VideoColorMatrix::Bt2020 => Matrix::Bt2020,
        VideoColorMatrix::Smpte240m => Matrix::Smpte240m,
        VideoColorMatrix::Fcc => Matrix::Fcc,
        _ => return Err(Error::Format(format!("{wanted} in {colorimetry}"))),
    };
    let full = colorimetry.range() == VideoColorRange::Range0_255;
    let site = info.chroma_site();
    let components = if info.format_info().is_rgb() {
        Components::Rgb
    } else if info.format_info().is_gray() {
        Components::Grey { matrix, full }
    } else {
        // Without a chroma site, the one of MPEG-2 and H.264: co-sited horizontally, centred vertically.
        let unsaid = site.is_empty();
        Components::Yuv {
            matrix,
            full,
            cosited: [
                unsaid || site.contains(VideoChromaSite::H_COSITED),
                site.contains(VideoChromaSite::V_COSITED),
            ],
        }
    };
    let described = info.format_info();
    let depth = Depth {
        bits: described.depth()[0],
        upper: described.shift()[0] > 0,
    };
    Ok(Format::Planar(Planar {
        planes,
        subsampling,
        components,
        depth,
    }))
}

/// Whether these are fixed caps of raw video in system memory.
pub(super) fn is_raw_video(caps: &gst::CapsRef) -> bool {
    // Alternating fields are a caps feature; `refused` rejects them with an error message.
    let known = ["memory:SystemMemory", "format:Interlaced"];
    let system = |features: &gst::CapsFeaturesRef| {
        !features.is_any()
            && features
                .iter()
                .all(|feature| known.contains(&feature.as_str()))
    };
    let raw = |s: &gst::StructureRef| s.has_name("video/x-raw");
    !caps.is_any()
        && caps.size() == 1
        && caps.structure(0).is_some_and(raw)
        && caps.features(0).is_none_or(system)
}

/// These caps with `interlace-mode=progressive` added; `None` if they have an interlace mode.
pub(super) fn with_progressive(caps: &gst::Caps) -> Option<gst::Caps> {
    let silent = !caps.structure(0)?.has_field("interlace-mode");
    silent.then(|| {
        let mut caps = caps.clone();
        caps.make_mut().set("interlace-mode", "progressive");
        caps
    })
}

/// The error for raw video caps that cannot be stylized; `None` if size, views and interlacing are supported.
pub(super) fn refused(caps: &gst::CapsRef) -> Option<Error> {
    let structure = caps.structure(0)?;
    let size = |name: &str| structure.get::<i32>(name).ok();
    if let (Some(width), Some(height)) = (size("width"), size("height"))
        && !(SIDES.contains(&width) && SIDES.contains(&height))
    {
        return Some(Error::FrameSize { width, height });
    }
    if let Ok(mode @ ("separated" | "frame-by-frame" | "multiview-frame-by-frame")) =
        structure.get::<&str>("multiview-mode")
    {
        return Some(Error::Multiview(mode.into()));
    }
    match structure.get::<&str>("interlace-mode") {
        Ok("progressive") | Err(_) => None,
        Ok(mode) => Some(Error::Interlaced(mode.into())),
    }
}
