// SPDX-License-Identifier: MPL-2.0
//! Effects on planar and chroma-subsampled formats.

mod common;

use common::generators;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoInfo};

const FORMATS: [VideoFormat; 7] = [
    VideoFormat::Nv12,
    VideoFormat::I420,
    VideoFormat::Y42b,
    VideoFormat::Y444,
    VideoFormat::Yuy2,
    VideoFormat::Gbr,
    VideoFormat::Gray8,
];
const SIZE: (u32, u32) = (35, 22);

/// Width of each component's plane, and its bytes row by row.
type Components = Vec<(usize, Vec<u8>)>;

fn info(format: VideoFormat) -> VideoInfo {
    common::init();
    let info = VideoInfo::builder(format, SIZE.0, SIZE.1);
    info.build().expect("video info")
}

fn read(buffer: &gst::Buffer, info: &VideoInfo) -> Components {
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).expect("mapped");
    let component = |c: u32| {
        let (w, h) = (frame.comp_width(c) as usize, frame.comp_height(c) as usize);
        let (stride, step) = (
            frame.comp_stride(c) as usize,
            frame.comp_pstride(c) as usize,
        );
        let data = frame.comp_data(c).expect("a component");
        let bytes = (0..w * h).map(|i| data[i / w * stride + i % w * step]);
        (w, bytes.collect())
    };
    (0..info.n_components()).map(component).collect()
}

/// Bytes like a picture's: gradients and some noise, mid-range so that no colour is out of gamut.
fn buffer(info: &VideoInfo) -> gst::Buffer {
    let byte = |i: usize| (90 + i / 9 % 60 + (i * 37) % 13) as u8;
    gst::Buffer::from_mut_slice((0..info.size()).map(byte).collect::<Vec<_>>())
}

fn play(element: &gst::Element, info: &VideoInfo) -> Components {
    let mut harness = Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_src_caps(info.to_caps().expect("caps"));
    let out = harness.push_and_pull(buffer(info)).expect("a frame");
    read(&out, info)
}

#[test]
fn chroma_of_the_source_is_kept_to_the_byte() {
    for provider in common::PROVIDERS {
        for format in FORMATS {
            let info = info(format);
            let (_dir, element) = common::element_on(provider, &generators::negative(13).bytes());
            let source = read(&buffer(&info), &info);
            let painted = play(&element, &info);
            element.set_property_from_str("color", "source");
            element.set_state(gst::State::Null).expect("stopped");
            let got = play(&element, &info);
            if format == VideoFormat::Gbr {
                // The source, plus one offset for all three.
                let moved = |c: usize, i: usize| i16::from(got[c].1[i]) - i16::from(source[c].1[i]);
                for i in 0..got[0].1.len() {
                    let [a, b, c] = [0, 1, 2].map(|c| moved(c, i));
                    assert!(a.abs_diff(b) <= 1 && a.abs_diff(c) <= 1, "{a} {b} {c}");
                }
                continue;
            }
            let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 1;
            assert!(
                got[0].1.iter().zip(&painted[0].1).all(near),
                "{provider} {format}"
            );
            assert_eq!(got[1..], source[1..], "{provider} {format}");
        }
    }
}

#[test]
fn every_component_is_matched_to_the_source() {
    let statistics = |bytes: &[u8]| {
        let n = bytes.len() as f64;
        let mean = bytes.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let square = |v: &u8| (f64::from(*v) - mean).powi(2);
        (mean, (bytes.iter().map(square).sum::<f64>() / n).sqrt())
    };
    for provider in common::PROVIDERS {
        for format in FORMATS {
            let info = info(format);
            let (_dir, element) = common::element_on(provider, &generators::negative(13).bytes());
            let source = read(&buffer(&info), &info);
            let painted = play(&element, &info);
            element.set_property_from_str("color", "match");
            element.set_state(gst::State::Null).expect("stopped");
            let got = play(&element, &info);
            let mut differ = false;
            for (c, (_, bytes)) in got.iter().enumerate() {
                let [got, wanted, before] =
                    [bytes, &source[c].1, &painted[c].1].map(|bytes| statistics(bytes));
                let place = format!("{provider} {format} {c}: {got:?}, not {wanted:?}");
                assert!((got.0 - wanted.0).abs() < 0.6, "{place}");
                assert!((got.1 - wanted.1).abs() < 0.1 * wanted.1, "{place}");
                differ |= (before.0 - wanted.0).abs() > 1.0;
            }
            assert!(differ, "{provider} {format}: nothing was to be done");
        }
    }
}

#[test]
fn left_of_the_split_every_component_is_the_source() {
    for provider in common::PROVIDERS {
        for format in FORMATS {
            let info = info(format);
            let (_dir, element) = common::element_on(provider, &generators::negative(13).bytes());
            let source = read(&buffer(&info), &info);
            let painted = play(&element, &info);
            for (split, columns) in [(0.0, 0), (0.25, 9), (0.6, 21), (1.0, 35)] {
                element.set_property("split", split);
                let got = play(&element, &info);
                for (c, (width, bytes)) in got.iter().enumerate() {
                    let step = (SIZE.0 as usize).div_ceil(*width);
                    for (i, byte) in bytes.iter().enumerate() {
                        let left = i % width * step < columns;
                        let (wanted, bound) = match left {
                            true => (source[c].1[i], 0),
                            false => (painted[c].1[i], 1),
                        };
                        let place = format!("{provider} {format} {split} {c} {i}");
                        assert!(
                            byte.abs_diff(wanted) <= bound,
                            "{place}: {byte}, not {wanted}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn planes_are_shown_small_like_pixels() {
    for upscale in ["bilinear", "guided"] {
        let (_dir, element) = common::element(&generators::negative(13).bytes());
        element.set_property("inference-height", 16_u32);
        element.set_property_from_str("upscale", upscale);
        let planar = info(VideoFormat::Gbr);
        let planes = play(&element, &planar);
        let packed = info(VideoFormat::Rgb);
        let mut pixels = gst::Buffer::with_size(packed.size()).expect("memory");
        {
            let source = read(&buffer(&planar), &planar);
            let pixels = pixels.get_mut().expect("fresh");
            let mut frame =
                gst_video::VideoFrameRef::from_buffer_ref_writable(pixels, &packed).expect("map");
            let stride = frame.plane_stride()[0] as usize;
            let data = frame.plane_data_mut(0).expect("a plane");
            for (c, (width, bytes)) in source.iter().enumerate() {
                for (i, byte) in bytes.iter().enumerate() {
                    data[i / width * stride + i % width * 3 + c] = *byte;
                }
            }
        }
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps(packed.to_caps().expect("caps"));
        let out = harness.push_and_pull(pixels).expect("a frame");
        drop(harness);
        assert_eq!(read(&out, &packed), planes, "{upscale}");
        // Luma only, and with chroma: smooth parts equal those at full size.
        for format in [VideoFormat::Gray8, VideoFormat::Nv12] {
            let info = info(format);
            let mean = |planes: &Components| {
                let (_, luma) = &planes[0];
                luma.iter().map(|v| f64::from(*v)).sum::<f64>() / luma.len() as f64
            };
            let small = mean(&play(&element, &info));
            let (_dir, whole) = common::element(&generators::negative(13).bytes());
            assert!((small - mean(&play(&whole, &info))).abs() < 1.0, "{format}");
        }
    }
}

#[test]
fn chroma_lies_where_it_lay_when_frames_are_shown_small() {
    use gst_video::VideoChromaSite as Site;
    // Gradients are the same at any size; a shift of chroma would change the mean. The channels are permuted, so that
    // chroma affects luma.
    let (width, height) = (64, 48);
    for (format, site) in [
        (VideoFormat::I420, Site::JPEG),
        (VideoFormat::I420, Site::MPEG2),
        (VideoFormat::Nv12, Site::COSITED),
        (VideoFormat::Y42b, Site::MPEG2),
        (VideoFormat::Y444, Site::NONE),
    ] {
        common::init();
        let info = VideoInfo::builder(format, width, height).chroma_site(site);
        let info = info.build().expect("video info");
        let mut source = gst::Buffer::with_size(info.size()).expect("memory");
        {
            let source = source.get_mut().expect("fresh");
            let mut frame =
                gst_video::VideoFrameRef::from_buffer_ref_writable(source, &info).expect("map");
            for c in 0..3 {
                let (w, h) = (frame.comp_width(c) as i32, frame.comp_height(c) as i32);
                let (stride, step) = (frame.comp_stride(c), frame.comp_pstride(c));
                let (plane, offset) = (
                    frame.format_info().plane()[c as usize],
                    frame.comp_poffset(c),
                );
                let data = frame.plane_data_mut(plane).expect("a plane");
                for (x, y) in (0..h).flat_map(|y| (0..w).map(move |x| (x, y))) {
                    let value = match c {
                        0 => 128,
                        1 => 64 + 127 * x / (w - 1),
                        _ => 96 + 63 * y / (h - 1),
                    };
                    data[(y * stride + x * step + offset as i32) as usize] = value as u8;
                }
            }
        }
        for provider in common::PROVIDERS {
            let net = generators::rotate_channels(13).bytes();
            let paint = |shown: u32| {
                let (_dir, element) = common::element_on(provider, &net);
                element.set_property("inference-height", shown);
                let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
                harness.set_src_caps(info.to_caps().expect("caps"));
                read(
                    &harness.push_and_pull(source.clone()).expect("a frame"),
                    &info,
                )
            };
            let whole = paint(0);
            for shown in [36, 24, 16, 12] {
                for (c, (small, whole)) in paint(shown).iter().zip(&whole).enumerate() {
                    let w = small.0;
                    let h = small.1.len() / w;
                    // Not at the edges, where gradients end.
                    let inside = |i: &usize| {
                        let (x, y) = (i % w, i / w);
                        (w / 8..w - w / 8).contains(&x) && (h / 8..h - h / 8).contains(&y)
                    };
                    let pixels: Vec<usize> = (0..w * h).filter(inside).collect();
                    let error = |i: &usize| f64::from(small.1[*i]) - f64::from(whole.1[*i]);
                    let mean = pixels.iter().map(error).sum::<f64>() / pixels.len() as f64;
                    let place = format!("{provider} {format} {site:?} {shown} {c}: {mean}");
                    assert!(mean.abs() < 0.4, "{place}");
                    assert!(pixels.iter().all(|i| error(i).abs() < 3.0), "{place}");
                }
            }
        }
    }
}
