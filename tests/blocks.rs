// SPDX-License-Identifier: MPL-2.0
//! Generators that end with a shuffle of channels to 2x2 pixels: the frame is converted from the channels, and is the
//! same as with the shuffle.

mod common;

use common::generators::{self, Net, int, text};
use common::picture::varied;
use gst::prelude::*;
use gst_video::{VideoChromaSite as Site, VideoFormat as Format, VideoInfo};
use gststylize::onnx::{Message, ModelProto};

/// A gain for each colour, on blocks, in the order of `mode`: a convolution, as in real generators. A last `Identity`
/// keeps the shuffle in the graph.
fn net(mode: &str, last: bool) -> Net {
    let (mut weights, mut bias) = (vec![0.0; 12 * 12], Vec::new());
    for channel in 0..12 {
        // The order that SpaceToDepth makes is DCR: by pixel, then by colour.
        let from = match mode {
            "CRD" => channel % 4 * 3 + channel / 4,
            _ => channel,
        };
        let (gain, offset) = [(0.9, -0.1), (-0.6, 0.9), (1.2, -0.1)][from % 3];
        weights[channel * 12 + from] = gain;
        bias.push(offset);
    }
    let shuffled = if last { "y" } else { "shuffled" };
    let net = generators::open(13, "0,1", 2)
        .floats("weights", &[12, 12, 1, 1], &weights)
        .floats("bias", &[12], &bias)
        .node("SpaceToDepth", &["x"], "blocks", vec![int("blocksize", 2)])
        .node("Conv", &["blocks", "weights", "bias"], "painted", vec![])
        .node(
            "DepthToSpace",
            &["painted"],
            shuffled,
            vec![int("blocksize", 2), text("mode", mode)],
        );
    match last {
        true => net,
        false => net.node("Identity", &["shuffled"], "y", vec![]),
    }
}

/// The output for varied bytes, and whether the shuffle was removed from the graph.
fn play(
    provider: &str,
    net: &Net,
    info: &VideoInfo,
    properties: &[(&str, &str)],
) -> (Vec<u8>, bool) {
    let (dir, element) = common::element_on(provider, &net.bytes());
    let graph = dir.path().join("graph.onnx");
    element.set_property("dump-graph", graph.to_str().expect("UTF-8"));
    for (name, value) in properties {
        element.set_property_from_str(name, value);
    }
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps(info.to_caps().expect("caps"));
    let frame = varied(info, 0);
    let out = harness.push_and_pull(frame).expect("a frame");
    let bytes = out.map_readable().expect("mapped").to_vec();
    let graph = std::fs::read(graph).expect("a graph");
    let graph = ModelProto::decode(&graph[..])
        .expect("a graph")
        .graph
        .expect("a graph");
    let shuffles = graph.node.iter().any(|n| n.output.iter().any(|o| o == "y"));
    (bytes, shuffles)
}

/// Compares both; `taken`: whether the shuffle must be removed.
#[track_caller]
fn same(provider: &str, info: &VideoInfo, properties: &[(&str, &str)], taken: bool) {
    for mode in ["DCR", "CRD"] {
        let context = format!("{provider} {mode} {} {properties:?}", info.format());
        let (wanted, left) = play(provider, &net(mode, false), info, properties);
        assert!(left, "{context}: nothing to leave out");
        let (got, left) = play(provider, &net(mode, true), info, properties);
        assert_eq!(!left, taken, "{context}");
        let off = |(a, b): (&u8, &u8)| a.abs_diff(*b);
        let most = got.iter().zip(&wanted).map(off).max().expect("bytes");
        assert!(most <= 1, "{context}: off by {most}");
        let range = wanted.iter().max().zip(wanted.iter().min());
        assert!(range.is_some_and(|(max, min)| max - min > 100), "{context}");
    }
}

fn info(format: Format, (width, height): (u32, u32), site: Site) -> VideoInfo {
    common::init();
    let builder = VideoInfo::builder(format, width, height).fps(gst::Fraction::new(25, 1));
    let builder = match gst_video::VideoFormatInfo::from_format(format).is_yuv() {
        true => builder.chroma_site(site),
        false => builder,
    };
    builder.build().expect("video info")
}

#[test]
fn luma_and_chroma_are_made_of_blocks() {
    for provider in common::PROVIDERS {
        for format in [
            Format::I420,
            Format::Nv21,
            Format::Y42b,
            Format::Uyvy,
            Format::Y444,
        ] {
            for site in [Site::MPEG2, Site::JPEG, Site::COSITED, Site::V_COSITED] {
                same(provider, &info(format, (34, 18), site), &[], true);
            }
        }
        same(
            provider,
            &info(Format::Gray8, (34, 18), Site::NONE),
            &[],
            true,
        );
    }
}

#[test]
fn pixels_are_made_of_blocks() {
    for provider in common::PROVIDERS {
        for format in [Format::Rgb, Format::Bgr, Format::Rgba, Format::Xbgr] {
            let info = info(format, (36, 18), Site::NONE);
            for strength in ["1.0", "0.4"] {
                same(provider, &info, &[("strength", strength)], true);
            }
            same(provider, &info, &[("split", "0.3")], true);
        }
    }
}

#[test]
fn every_effect_works_on_blocks() {
    for provider in common::PROVIDERS {
        for format in [Format::Nv12, Format::Bgr, Format::Rgba] {
            let info = info(format, (36, 18), Site::MPEG2);
            for properties in [
                [("strength", "0.4"), ("split", "0.3")],
                [("color", "source"), ("stability", "0.5")],
                [("color", "match"), ("mask", "roi")],
            ] {
                same(provider, &info, &properties, true);
            }
            for upscale in ["bilinear", "guided"] {
                let properties = [("inference-height", "18"), ("upscale", upscale)];
                let planar = format == Format::Nv12;
                same(
                    provider,
                    &self::info(format, (72, 36), Site::MPEG2),
                    &properties,
                    planar,
                );
            }
        }
    }
}

#[test]
fn other_graphs_keep_the_shuffle() {
    let cases = [
        (Format::I420, (35, 18), None),
        (Format::I42010le, (34, 18), None),
        (Format::Gbr, (34, 18), None),
        (Format::Rgba, (35, 18), None),
        (Format::Rgb, (48, 36), Some(("inference-height", "18"))),
    ];
    for (format, size, property) in cases {
        let properties: Vec<_> = property.into_iter().collect();
        same("cpu", &info(format, size, Site::MPEG2), &properties, false);
    }
}
