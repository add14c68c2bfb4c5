// SPDX-License-Identifier: MPL-2.0
//! Planar and chroma-subsampled formats against a reference in double precision: every format, odd sizes, padded
//! strides, matrices, ranges and chroma siting.

mod common;

use common::generators::{self, Net};
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoChromaSite, VideoFormat, VideoInfo};

const FORMATS: [VideoFormat; 15] = [
    VideoFormat::Nv12,
    VideoFormat::Nv21,
    VideoFormat::I420,
    VideoFormat::Yv12,
    VideoFormat::Y42b,
    VideoFormat::Y444,
    VideoFormat::Yuy2,
    VideoFormat::Uyvy,
    VideoFormat::Gbr,
    VideoFormat::Rgbp,
    VideoFormat::Gray8,
    VideoFormat::P01010le,
    VideoFormat::I42010le,
    VideoFormat::I42210le,
    VideoFormat::Y44410le,
];

/// A frame's components by GStreamer's description of the format, row by row.
#[derive(Clone)]
struct Components {
    /// Width, height and codes of each.
    planes: Vec<(usize, usize, Vec<f64>)>,
}

/// Reads them with GStreamer's description of the format.
fn read(buffer: &gst::Buffer, info: &VideoInfo) -> Components {
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).expect("mapped");
    let planes = (0..info.n_components()).map(|c| {
        let (w, h) = (info.comp_width(c as u8), info.comp_height(c as u8));
        let (stride, step) = (info.comp_stride(c as u8), info.comp_pstride(c as u8));
        let stride = match buffer.meta::<gst_video::VideoMeta>() {
            Some(meta) => meta.stride()[info.comp_plane(c as u8) as usize],
            None => stride,
        };
        let plane = frame.plane_data(info.comp_plane(c as u8));
        // GStreamer 1.22 has P010's second chroma component one byte behind the first, not two.
        let offset = match deep(info) {
            Some(_) => usize::from(c == 2 && step == 4) * 2,
            None => info.comp_poffset(c as u8) as usize,
        };
        let data = &plane.expect("a plane")[offset..];
        let code = |i: usize| {
            let (x, y) = (i % w as usize, i / w as usize);
            let at = y * stride as usize + x * step as usize;
            match deep(info) {
                None => f64::from(data[at]),
                Some(shift) => f64::from(u16::from_le_bytes([data[at], data[at + 1]]) >> shift),
            }
        };
        let codes = (0..(w * h) as usize).map(code).collect();
        (w as usize, h as usize, codes)
    });
    Components {
        planes: planes.collect(),
    }
}

/// How far codes of more than 8 bits are shifted.
fn deep(info: &VideoInfo) -> Option<u32> {
    (info.format_info().depth()[0] > 8).then(|| info.format_info().shift()[0])
}

/// The largest code.
fn most(info: &VideoInfo) -> f64 {
    f64::from((1_u32 << info.format_info().depth()[0]) - 1)
}

/// `size` bytes of varied codes.
fn varied(info: &VideoInfo, size: usize) -> Vec<u8> {
    let code = |i: usize, most: u32| {
        let hash = (i as u32).wrapping_mul(2_654_435_761) >> 24;
        // Mostly a gradient with some noise, so that neighbours differ as in pictures.
        (i as u32 * (most + 1) / 256 / 7 + hash / 3) & most
    };
    match deep(info) {
        None => (0..size).map(|i| code(i, 255) as u8).collect(),
        Some(shift) => (0..size / 2)
            .flat_map(|i| ((code(i, 1023) as u16) << shift).to_le_bytes())
            .collect(),
    }
}

/// A buffer of varied bytes; `padding` bytes behind each row and four times as many behind each plane.
fn buffer(info: &VideoInfo, padding: usize) -> gst::Buffer {
    if padding == 0 {
        return gst::Buffer::from_mut_slice(varied(info, info.size()));
    }
    let (mut offsets, mut strides, mut size) = (Vec::new(), Vec::new(), 0);
    for plane in 0..info.n_planes() as usize {
        let stride = info.stride()[plane] as usize + padding;
        let mut rows = 0;
        for c in 0..info.n_components() as u8 {
            if info.comp_plane(c) as usize == plane {
                rows = info.comp_height(c) as usize;
            }
        }
        offsets.push(size);
        strides.push(stride as i32);
        size += stride * rows + 4 * padding;
    }
    let mut buffer = gst::Buffer::from_mut_slice(varied(info, size));
    gst_video::VideoMeta::add_full(
        buffer.get_mut().expect("fresh"),
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
        &offsets,
        &strides,
    )
    .expect("video meta");
    buffer
}

/// Weights of red, green and blue in luma.
fn luma(info: &VideoInfo) -> [f64; 3] {
    use gst_video::VideoColorMatrix as M;
    let (kr, kb) = match info.colorimetry().matrix() {
        M::Bt709 => (0.2126, 0.0722),
        M::Bt2020 => (0.2627, 0.0593),
        _ => (0.299, 0.114),
    };
    [kr, 1.0 - kr - kb, kb]
}

/// Black and span of luma, span of chroma.
fn spans(info: &VideoInfo) -> (f64, f64, f64) {
    let times = (most(info) + 1.0) / 256.0;
    match info.colorimetry().range() {
        gst_video::VideoColorRange::Range0_255 => (0.0, most(info), most(info)),
        _ => (16.0 * times, 219.0 * times, 224.0 * times),
    }
}

/// Chroma of grey.
fn neutral(info: &VideoInfo) -> f64 {
    (most(info) + 1.0) / 2.0
}

fn rgb_of(info: &VideoInfo, yuv: [f64; 3]) -> [f64; 3] {
    let [kr, kg, kb] = luma(info);
    let (black, span, chroma) = spans(info);
    let y = (yuv[0] - black) / span;
    let [cb, cr] = [yuv[1], yuv[2]].map(|code| (code - neutral(info)) / chroma);
    let r = y + 2.0 * (1.0 - kr) * cr;
    let b = y + 2.0 * (1.0 - kb) * cb;
    let g = (y - kr * r - kb * b) / kg;
    [r, g, b].map(|v| (255.0 * v).clamp(0.0, 255.0))
}

fn yuv_of(info: &VideoInfo, rgb: [f64; 3]) -> [f64; 3] {
    let [kr, kg, kb] = luma(info);
    let (black, span, chroma) = spans(info);
    let [r, g, b] = rgb.map(|v| v / 255.0);
    let y = kr * r + kg * g + kb * b;
    [
        black + span * y,
        neutral(info) + chroma * (b - y) / (2.0 * (1.0 - kb)),
        neutral(info) + chroma * (r - y) / (2.0 * (1.0 - kr)),
    ]
}

/// Position of chroma sample `i` on the axis of luma.
fn place(i: usize, step: usize, cosited: bool) -> f64 {
    (i * step) as f64
        + if cosited {
            0.0
        } else {
            (step as f64 - 1.0) / 2.0
        }
}

/// The expected output for these components: `paint` on every pixel, mixed at `strength`.
fn reference(
    info: &VideoInfo,
    source: &Components,
    strength: f64,
    paint: impl Fn([f64; 3]) -> [f64; 3],
) -> Components {
    let (width, height) = (info.width() as usize, info.height() as usize);
    let (is_rgb, is_grey) = (info.format_info().is_rgb(), info.n_components() == 1);
    let site = info.chroma_site();
    let cosited = [
        site.is_empty() || site.contains(VideoChromaSite::H_COSITED),
        site.contains(VideoChromaSite::V_COSITED),
    ];
    let sub = [
        1 << info.format_info().w_sub()[1 % info.n_components() as usize],
        1 << info.format_info().h_sub()[1 % info.n_components() as usize],
    ];
    let at = |c: usize, x: usize, y: usize| -> f64 {
        let (w, h, codes) = &source.planes[c];
        if (*w, *h) == (width, height) && c == 0 {
            return codes[y * w + x];
        }
        // Linear between the two nearest samples on each axis.
        let axis = |p: usize, step: usize, cosited: bool, n: usize| {
            let t = ((p as f64 - place(0, step, cosited)) / step as f64).clamp(0.0, (n - 1) as f64);
            let low = t.floor() as usize;
            (low, (low + 1).min(n - 1), t - low as f64)
        };
        let (x0, x1, tx) = axis(x, sub[0], cosited[0], *w);
        let (y0, y1, ty) = axis(y, sub[1], cosited[1], *h);
        let row = |y: usize| codes[y * w + x0] * (1.0 - tx) + codes[y * w + x1] * tx;
        row(y0) * (1.0 - ty) + row(y1) * ty
    };
    let painted = |x: usize, y: usize| -> [f64; 3] {
        let rgb = if is_rgb {
            [0, 1, 2].map(|c| at(c, x, y))
        } else if is_grey {
            let (black, span, _) = spans(info);
            [(255.0 * (at(0, x, y) - black) / span).clamp(0.0, 255.0); 3]
        } else {
            rgb_of(info, [0, 1, 2].map(|c| at(c, x, y)))
        };
        let rgb = paint(rgb).map(|v| v.clamp(0.0, 255.0));
        if is_rgb { rgb } else { yuv_of(info, rgb) }
    };
    let all: Vec<[f64; 3]> = (0..width * height)
        .map(|i| painted(i % width, i / width))
        .collect();
    let planes = source.planes.iter().enumerate().map(|(c, (w, h, codes))| {
        let taps = |i: usize, step: usize, cosited: bool, n: usize| -> Vec<(usize, f64)> {
            let weights: &[(i64, f64)] = match (step, cosited) {
                (1, _) => &[(0, 1.0)],
                (_, true) => &[(-1, 0.25), (0, 0.5), (1, 0.25)],
                (_, false) => &[(0, 0.5), (1, 0.5)],
            };
            // Reflected at the beginning, repeated at the end.
            let index = |d: i64| ((i * step) as i64 + d).abs().min(n as i64 - 1) as usize;
            weights.iter().map(|(d, w)| (index(*d), *w)).collect()
        };
        let code = |i: usize| {
            let full = (*w, *h) == (width, height);
            let (across, down) = if full { (1, 1) } else { (sub[0], sub[1]) };
            let mut sum = 0.0;
            for (y, v) in taps(i / w, down, cosited[1], height) {
                for (x, h) in taps(i % w, across, cosited[0], width) {
                    sum += v * h * all[y * width + x][c];
                }
            }
            codes[i] + strength * (sum - codes[i])
        };
        (*w, *h, (0..w * h).map(code).collect())
    });
    Components {
        planes: planes.collect(),
    }
}

/// Plays one frame and compares; `context` for the message.
fn check(
    element: &gst::Element,
    info: &VideoInfo,
    padding: usize,
    strength: f64,
    paint: impl Fn([f64; 3]) -> [f64; 3],
    context: &str,
) {
    element.set_property("strength", strength);
    let mut harness = Harness::with_element(element, Some("sink"), Some("src"));
    let caps = info.to_caps().expect("caps");
    harness.set_src_caps(caps.clone());
    let mut frame = buffer(info, padding);
    let source = read(&frame, info);
    frame
        .get_mut()
        .expect("fresh")
        .set_pts(gst::ClockTime::ZERO);
    let out = harness.push_and_pull(frame).expect("a frame");
    let caps_out = harness.sinkpad().and_then(|pad| pad.current_caps());
    assert_eq!(caps_out, Some(caps), "caps out are caps in");
    let got = read(&out, info);
    let wanted = reference(info, &source, strength, paint);
    for (c, (got, wanted)) in got.planes.iter().zip(&wanted.planes).enumerate() {
        for (i, (a, b)) in got.2.iter().zip(&wanted.2).enumerate() {
            let b = b.clamp(0.0, most(info));
            assert!(
                (a - b).abs() <= 1.0,
                "{context}, component {c} at {},{}: {a} where {b:.2} is right",
                i % got.0,
                i / got.0
            );
        }
    }
}

fn info(format: VideoFormat, (width, height): (u32, u32), colorimetry: &str) -> VideoInfo {
    let mut builder = VideoInfo::builder(format, width, height).fps(gst::Fraction::new(25, 1));
    let colorimetry = colorimetry.parse::<gst_video::VideoColorimetry>();
    let colorimetry = colorimetry.expect("a colorimetry");
    if !gst_video::VideoFormatInfo::from_format(format).is_rgb() {
        builder = builder.colorimetry(&colorimetry);
    }
    builder.build().expect("video info")
}

fn everywhere(net: &Net, strength: f64, paint: impl Fn([f64; 3]) -> [f64; 3] + Copy) {
    on(common::PROVIDERS, net, strength, paint);
}

fn on(providers: &[&str], net: &Net, strength: f64, paint: impl Fn([f64; 3]) -> [f64; 3] + Copy) {
    for provider in providers {
        let (_dir, element) = common::element_on(provider, &net.bytes());
        let sizes = [(33, 17), (16, 16), (64, 49)];
        let sizes = if *provider == "cpu" {
            &sizes[..]
        } else {
            &sizes[..1]
        };
        for format in FORMATS {
            for &size in sizes {
                for padding in [0, 20] {
                    let info = info(format, size, "bt709");
                    let context = format!("{provider} {format} {size:?} padding {padding}");
                    check(&element, &info, padding, strength, paint, &context);
                }
            }
        }
    }
}

#[test]
fn identity_in_every_format() {
    everywhere(&generators::identity(17), 1.0, |rgb| rgb);
}

#[test]
fn negative_in_the_oldest_operator_set() {
    everywhere(&generators::negative(7), 1.0, |rgb| rgb.map(|v| 255.0 - v));
}

#[test]
fn channels_and_strength() {
    let mut swap = generators::rotate_channels(13);
    if let Some(graph) = swap.model.graph.as_mut() {
        let order = [2_i64, 1, 0];
        graph.initializer[0].raw_data = order.iter().flat_map(|i| i.to_le_bytes()).collect();
    }
    everywhere(&swap, 0.4, |[r, g, b]| [b, g, r]);
    // OpenVINO 2025.4 merges a permutation of three channels into the convolution after it and assumes that it is its
    // own inverse (its pass ReverseInputChannelsFusion), which is true of swaps only. No real generator ends with a
    // rotation.
    let rotate = generators::rotate_channels(13);
    on(&["cpu"], &rotate, 0.4, |[r, g, b]| [g, b, r]);
}

#[test]
fn strength_0_is_the_source() {
    for format in FORMATS {
        let (_dir, element) = common::element(&generators::negative(17).bytes());
        element.set_property("strength", 0.0);
        let info = info(format, (33, 17), "bt601");
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps(info.to_caps().expect("caps"));
        let frame = buffer(&info, 0);
        let source = read(&frame, &info);
        let out = harness.push_and_pull(frame).expect("a frame");
        for (a, b) in read(&out, &info).planes.iter().zip(&source.planes) {
            assert_eq!(a.2, b.2, "{format}");
        }
    }
}

#[test]
fn matrices_ranges_and_siting_are_honoured() {
    let (_dir, element) = common::element(&generators::negative(17).bytes());
    let negative = |rgb: [f64; 3]| rgb.map(|v| 255.0 - v);
    for colorimetry in ["bt601", "bt709", "bt2020", "1:4:7:1"] {
        for site in [
            VideoChromaSite::MPEG2,
            VideoChromaSite::JPEG,
            VideoChromaSite::COSITED,
            VideoChromaSite::V_COSITED,
        ] {
            for format in [
                VideoFormat::Nv12,
                VideoFormat::Y42b,
                VideoFormat::Gray8,
                VideoFormat::P01010le,
            ] {
                let parsed = colorimetry.parse::<gst_video::VideoColorimetry>();
                let info = VideoInfo::builder(format, 35, 18)
                    .colorimetry(&parsed.expect("a colorimetry"))
                    .chroma_site(site)
                    .build()
                    .expect("video info");
                let context = format!("{format} {colorimetry} {site:?}");
                check(&element, &info, 0, 1.0, negative, &context);
            }
        }
    }
}

#[test]
fn planes_in_memories_of_their_own_are_joined() {
    let (_dir, element) = common::element(&generators::negative(17).bytes());
    let info = info(VideoFormat::I420, (32, 18), "bt709");
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps(info.to_caps().expect("caps"));
    let whole = buffer(&info, 0);
    let bytes = whole.map_readable().expect("mapped").to_vec();
    let mut parts = gst::Buffer::new();
    let mut ends: Vec<usize> = info.offset()[1..3].to_vec();
    ends.push(info.size());
    let mut begin = 0;
    for end in ends {
        let memory = gst::Memory::from_mut_slice(bytes[begin..end].to_vec());
        parts.get_mut().expect("fresh").append_memory(memory);
        begin = end;
    }
    let strides: Vec<i32> = info.stride()[..3].to_vec();
    gst_video::VideoMeta::add_full(
        parts.get_mut().expect("fresh"),
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
        &info.offset()[..3],
        &strides,
    )
    .expect("video meta");
    let joined = harness.push_and_pull(whole).expect("a frame");
    let apart = harness.push_and_pull(parts).expect("a frame");
    let codes = |buffer: &gst::Buffer| read(buffer, &info).planes.into_iter().map(|p| p.2);
    assert!(codes(&joined).eq(codes(&apart)));
}

#[test]
fn hdr_is_refused_in_words() {
    let (_dir, element) = common::element(&generators::identity(17).bytes());
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    // BT.2100 with the perceptual quantizer.
    harness.set_src_caps(
        info(VideoFormat::Nv12, (64, 48), "bt2100-pq")
            .to_caps()
            .expect("caps"),
    );
    let errors = common::errors(&bus);
    assert_eq!(errors.len(), 1, "{errors:?}");
    let text = errors[0].error.message();
    let told = ["HDR", "tone-mapping"]
        .iter()
        .all(|word| text.contains(word));
    assert!(told, "{text}");
}

#[test]
fn ten_bits_stay_ten_bits() {
    const WIDTH: usize = 1024;
    common::init();
    let info = info(VideoFormat::P01010le, (WIDTH as u32, 16), "bt709");
    // A ramp of all codes of the legal range, without chroma.
    let code = |i: usize| match i < WIDTH * 16 {
        true => (64 + i % WIDTH).min(940) as u16,
        false => 512,
    };
    let ramp: Vec<u8> = (0..WIDTH * 16 * 3 / 2)
        .flat_map(|i| (code(i) << 6).to_le_bytes())
        .collect();
    for (provider, precision) in [("cpu", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")] {
        if !common::PROVIDERS.contains(&provider) {
            continue;
        }
        let (_dir, element) = common::element_on(provider, &generators::negative(17).bytes());
        element.set_property_from_str("precision", precision);
        let lacks = precision == "bf16" && common::lacks_bf16(&element);
        for strength in [0.0, 1.0].into_iter().filter(|_| !lacks) {
            element.set_property("strength", strength);
            let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
            harness.set_src_caps(info.to_caps().expect("caps"));
            let frame = gst::Buffer::from_mut_slice(ramp.clone());
            let out = harness.push_and_pull(frame).expect("a frame");
            let context = format!("{provider} {precision} {strength}");
            if strength == 0.0 {
                let bytes = out.map_readable().expect("mapped");
                assert!(bytes[..] == ramp[..], "{context}: not the source");
            }
            let mut luma = read(&out, &info).planes.swap_remove(0).2;
            luma.sort_by(f64::total_cmp);
            luma.dedup();
            assert!(luma.len() > 800, "{context}: {} levels", luma.len());
        }
    }
}
