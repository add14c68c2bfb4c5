// SPDX-License-Identifier: MPL-2.0
//! Inference size, upscaling, colours and the split, against references in double precision.

mod common;

use common::conventions::clamp;
use common::generators::{self, Net};
use common::picture::{FORMATS, Picture};
use gst::prelude::*;
use gst_check::Harness;
use gst_video::VideoFormat;

/// Runs one frame in this format through the element, with this number of padding bytes in each row.
fn play(
    element: &gst::Element,
    picture: &Picture,
    (format, name): (VideoFormat, &str),
    padding: usize,
) -> Picture {
    let info = gst_video::VideoInfo::builder(format, picture.width as u32, picture.height as u32)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .expect("video info");
    let mut harness = Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_src_caps(info.to_caps().expect("caps"));
    let mut buffer = picture.buffer(format, name, picture.width * name.len() + padding);
    let pts = gst::ClockTime::ZERO;
    buffer.get_mut().expect("fresh").set_pts(pts);
    let out = harness.push_and_pull(buffer).expect("a frame");
    Picture::read(&out, &info, name)
}

fn rgb(element: &gst::Element, picture: &Picture) -> Picture {
    play(element, picture, (VideoFormat::Rgb, "RGB"), 0)
}

/// An element with these properties on a provider.
fn element(
    provider: &str,
    net: &Net,
    properties: &[(&str, &str)],
) -> (tempfile::TempDir, gst::Element) {
    let (dir, element) = common::element_on(provider, &net.bytes());
    for (name, value) in properties {
        element.set_property_from_str(name, value);
    }
    (dir, element)
}

fn stat<T>(element: &gst::Element, name: &str) -> T
where
    T: for<'a> gst::glib::value::FromValue<'a> + gst::glib::value::ValueType,
{
    let stats = element.property::<gst::Structure>("stats");
    stats.get(name).expect("a field of the statistics")
}

/// A picture with smooth and sharp parts.
fn scene(width: usize, height: usize) -> Picture {
    let pixel = |i: usize| {
        let (x, y) = (i % width, i / width);
        let dark = u8::from((x / 9 + y / 7) % 2 == 0) * 90;
        let slope = |a: usize, b: usize| ((x * a + y * b) % 120) as u8 + 20;
        [slope(1, 2) + dark, slope(2, 1) + dark / 2, slope(1, 1), 255]
    };
    Picture {
        width,
        height,
        pixels: (0..width * height).map(pixel).collect(),
    }
}

type Planes = [Vec<f64>; 3];

fn planes(picture: &Picture) -> Planes {
    [0, 1, 2].map(|c| picture.pixels.iter().map(|p| f64::from(p[c])).collect())
}

/// Linear interpolation with pixel centres at half integers, the edge repeated.
fn interpolated(plane: &[f64], from: (usize, usize), to: (usize, usize)) -> Vec<f64> {
    let axis = |i: usize, from: usize, to: usize| {
        let t = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let t = t.clamp(0.0, (from - 1) as f64);
        let low = t.floor() as usize;
        (low, (low + 1).min(from - 1), t - low as f64)
    };
    let value = |i: usize| {
        let (y0, y1, ty) = axis(i / to.1, from.0, to.0);
        let (x0, x1, tx) = axis(i % to.1, from.1, to.1);
        let row = |y: usize| plane[y * from.1 + x0] * (1.0 - tx) + plane[y * from.1 + x1] * tx;
        row(y0) * (1.0 - ty) + row(y1) * ty
    };
    (0..to.0 * to.1).map(value).collect()
}

/// Means of blocks of this size.
fn means(plane: &[f64], (height, width): (usize, usize), block: (usize, usize)) -> Vec<f64> {
    let (h, w) = (height / block.0, width / block.1);
    let mean = |i: usize| {
        let rows = (0..block.0).map(|dy| (i / w * block.0 + dy) * width + i % w * block.1);
        let sum: f64 = rows
            .map(|at| plane[at..at + block.1].iter().sum::<f64>())
            .sum();
        sum / (block.0 * block.1) as f64
    };
    (0..h * w).map(mean).collect()
}

fn picture(planes: &Planes, size: (usize, usize)) -> Picture {
    let pixel = |i: usize| {
        let [r, g, b] = [0, 1, 2].map(|c: usize| clamp(planes[c][i]));
        [r, g, b, 255]
    };
    Picture {
        width: size.1,
        height: size.0,
        pixels: (0..size.0 * size.1).map(pixel).collect(),
    }
}

#[track_caller]
fn close(got: &Picture, wanted: &Picture, bound: u8, context: &str) {
    let difference = got.max_difference(wanted);
    assert!(difference <= bound, "{context}: off by {difference}");
}

/// Frame size, `inference-height`, size of the generator's input, and factors of reduction (height and width).
type Case = ((usize, usize), u32, (usize, usize), (usize, usize));
const CASES: [Case; 6] = [
    ((64, 96), 32, (32, 48), (2, 2)),
    ((60, 90), 20, (20, 30), (3, 3)),
    ((64, 96), 16, (16, 24), (4, 4)),
    ((80, 100), 16, (16, 20), (5, 5)),
    ((48, 80), 32, (32, 53), (2, 2)),
    ((41, 33), 35, (35, 28), (1, 1)),
];

fn reduced(plane: &[f64], case: &Case) -> Vec<f64> {
    let (frame, _, shown, block) = *case;
    let (plane, height) = match repeats(frame.0, shown.0) {
        true => (areas(plane, frame, (shown.0, frame.1)), shown.0),
        false => (plane.to_vec(), frame.0),
    };
    let (plane, width) = match repeats(frame.1, shown.1) {
        true => (areas(&plane, (height, frame.1), (height, shown.1)), shown.1),
        false => (plane, frame.1),
    };
    if (height, width) == shown {
        return plane;
    }
    let block = (
        if height == shown.0 { 1 } else { block.0 },
        if width == shown.1 { 1 } else { block.1 },
    );
    let whole = (shown.0 * block.0, shown.1 * block.1);
    means(&interpolated(&plane, (height, width), whole), whole, block)
}

/// Whether the ratio of two sizes has small numerator and denominator.
fn repeats(from: usize, to: usize) -> bool {
    let common = (1..=to).rfind(|n| from.is_multiple_of(*n) && to.is_multiple_of(*n));
    from / common.unwrap_or(1) <= 32
}

/// Means over the areas of new pixels.
fn areas(plane: &[f64], from: (usize, usize), to: (usize, usize)) -> Vec<f64> {
    let shares = |i: usize, from: usize, to: usize| -> Vec<(usize, f64)> {
        let scale = from as f64 / to as f64;
        let (begin, end) = (i as f64 * scale, (i + 1) as f64 * scale);
        let share = |p: usize| (end.min(p as f64 + 1.0) - begin.max(p as f64)).max(0.0) / scale;
        (0..from)
            .map(|p| (p, share(p)))
            .filter(|(_, s)| *s > 0.0)
            .collect()
    };
    let value = |i: usize| {
        let mut sum = 0.0;
        for (y, v) in shares(i / to.1, from.0, to.0) {
            for (x, h) in shares(i % to.1, from.1, to.1) {
                sum += v * h * plane[y * from.1 + x];
            }
        }
        sum
    };
    (0..to.0 * to.1).map(value).collect()
}

#[test]
fn the_generator_is_shown_a_smaller_picture_that_is_enlarged_again() {
    for provider in common::PROVIDERS {
        for case in CASES {
            let (frame, height, shown, _) = case;
            let properties = [("inference-height", &*height.to_string())];
            let (_dir, element) = element(provider, &generators::negative(13), &properties);
            let source = scene(frame.1, frame.0);
            let painted = planes(&source).map(|plane| {
                let small = reduced(&plane, &case)
                    .iter()
                    .map(|v| 255.0 - v)
                    .collect::<Vec<_>>();
                interpolated(&small, shown, frame)
            });
            let context = format!("{provider} {case:?}");
            close(
                &rgb(&element, &source),
                &picture(&painted, frame),
                1,
                &context,
            );
            assert_eq!(stat::<u32>(&element, "inference-height"), shown.0 as u32);
            assert_eq!(stat::<u32>(&element, "inference-width"), shown.1 as u32);
            assert_eq!(stat::<u32>(&element, "frame-height"), frame.0 as u32);
        }
    }
}

#[test]
fn old_operator_sets_are_shown_smaller_pictures_too() {
    let source = scene(90, 60);
    let (_dir, old) = element(
        "cpu",
        &generators::negative(7),
        &[("inference-height", "25")],
    );
    let (_dir, new) = element(
        "cpu",
        &generators::negative(13),
        &[("inference-height", "25")],
    );
    // Two low-pass filters, both below the Nyquist frequency of the small picture.
    let (old, new) = (rgb(&old, &source), rgb(&new, &source));
    let pairs = old.pixels.iter().zip(&new.pixels);
    let sum: u32 = pairs.map(|(a, b)| u32::from(a[1].abs_diff(b[1]))).sum();
    assert!(sum / (90 * 60) <= 6, "{}", sum / (90 * 60));
    for opset in [11, 12] {
        let (_dir, element) = element(
            "cpu",
            &generators::negative(opset),
            &[("inference-height", "25")],
        );
        close(&rgb(&element, &source), &new, 1, &format!("{opset}"));
    }
}

#[test]
fn larger_than_the_frame_is_the_frame_and_tiny_is_16() {
    let source = scene(64, 48);
    for (height, shown) in [("48", 48), ("5000", 48), ("1", 16)] {
        let (_dir, element) = element(
            "cpu",
            &generators::identity(17),
            &[("inference-height", height)],
        );
        let got = rgb(&element, &source);
        assert_eq!(stat::<u32>(&element, "inference-height"), shown);
        assert_eq!(got.max_difference(&source) == 0, shown == 48);
    }
}

/// The reference of `guided`, from planes of 0..255.
fn guided(source: &Planes, painted: &Planes, case: &Case, weights: [f64; 3]) -> Planes {
    let (frame, _, shown, _) = *case;
    let luma = |planes: &Planes| -> Vec<f64> {
        let value = |i: usize| (0..3).map(|c: usize| weights[c] * planes[c][i]).sum();
        (0..planes[0].len()).map(value).collect()
    };
    let window = |plane: &[f64]| -> Vec<f64> {
        let (height, width) = (shown.0 as i64, shown.1 as i64);
        let mean = |i: i64| {
            let mut sum = 0.0;
            for (dy, dx) in (-1..2).flat_map(|dy| (-1..2).map(move |dx| (dy, dx))) {
                let y = (i / width + dy).clamp(0, height - 1);
                let x = (i % width + dx).clamp(0, width - 1);
                sum += plane[(y * width + x) as usize];
            }
            sum / 9.0
        };
        (0..height * width).map(mean).collect()
    };
    let with = |a: &[f64], b: &[f64], f: fn(f64, f64) -> f64| -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()
    };
    let small = source.clone().map(|plane| reduced(&plane, case));
    let (guide, paint) = (luma(&small), luma(painted));
    let (mean, mean_paint) = (window(&guide), window(&paint));
    let d = with(&guide, &mean, |a, b| a - b);
    let e = with(&paint, &mean_paint, |a, b| a - b);
    let variance = window(&with(&d, &d, |a, b| a * b));
    let covariance = window(&with(&d, &e, |a, b| a * b));
    let slope = window(&with(&covariance, &variance, |c, v| c / (v + 13.0)));
    let full = luma(source);
    let large_slope = interpolated(&slope, shown, frame);
    painted.clone().map(|plane| {
        let offset = |i: usize| {
            let rest = 0.5 * (e[i] - slope[i] * d[i]);
            plane[i] - paint[i] + mean_paint[i] - slope[i] * mean[i] + rest
        };
        let offset: Vec<f64> = (0..plane.len()).map(offset).collect();
        let offset = interpolated(&offset, shown, frame);
        let light = with(&large_slope, &full, |a, b| a * b);
        with(&offset, &light, |a, b| a + b)
    })
}

#[test]
fn guided_upscaling_is_the_filter_of_the_reference() {
    for provider in common::PROVIDERS {
        for case in CASES {
            let properties = [
                ("inference-height", &*case.1.to_string()),
                ("upscale", "guided"),
            ];
            let (_dir, element) = element(provider, &generators::negative(13), &properties);
            let source = scene(case.0.1, case.0.0);
            let wanted = planes(&source);
            let painted = wanted.clone().map(|plane| {
                let small = reduced(&plane, &case);
                small.iter().map(|v| 255.0 - v).collect()
            });
            let wanted = guided(&wanted, &painted, &case, [0.2126, 0.7152, 0.0722]);
            let context = format!("{provider} {case:?}");
            close(
                &rgb(&element, &source),
                &picture(&wanted, case.0),
                1,
                &context,
            );
            assert_eq!(stat::<String>(&element, "upscale"), "guided");
        }
    }
}

#[test]
fn every_format_is_shown_small() {
    let upscales = ["bilinear", "guided"];
    let pairs = common::PROVIDERS
        .iter()
        .flat_map(|p| upscales.map(|u| (p, u)));
    for (provider, upscale) in pairs {
        let properties = [("inference-height", "24"), ("upscale", upscale)];
        let (_dir, element) = element(provider, &generators::negative(17), &properties);
        let source = scene(64, 48);
        let wanted = rgb(&element, &source);
        for (format, name) in FORMATS {
            for padding in [0, 8] {
                let got = play(&element, &source, (format, name), padding);
                let context = format!("{provider} {upscale} {name} {padding}");
                close(&got, &wanted, 0, &context);
            }
        }
    }
}

#[test]
fn a_generator_of_fixed_size_keeps_it() {
    let net = common::conventions::Convention {
        fixed: Some((40, 32)),
        ..Default::default()
    };
    let net = net.pixelwise().meta("stylize.input-range", "0,255");
    let net = net.meta("stylize.resizable", "false");
    let (_dir, element) = element("cpu", &net, &[("inference-height", "24")]);
    rgb(&element, &scene(64, 48));
    let shown = stat::<u32>(&element, "inference-height");
    assert!([24, 32].contains(&shown), "{shown}");
    let fixed = stat::<String>(&element, "signature").contains("40x32 only");
    assert_eq!(shown == 32, fixed);
}

const WEIGHTS: [f64; 3] = [0.2126, 0.7152, 0.0722];

fn luma(rgb: [f64; 3]) -> f64 {
    (0..3).map(|c| WEIGHTS[c] * rgb[c]).sum()
}

#[test]
fn colours_of_the_source_on_the_luma_of_the_painting() {
    for provider in common::PROVIDERS {
        let (_dir, element) = element(provider, &generators::negative(13), &[("color", "source")]);
        let source = scene(50, 38);
        let wanted = source.map(|rgb| {
            let rgb = rgb.map(f64::from);
            let lift = luma(rgb.map(|v| 255.0 - v)) - luma(rgb);
            rgb.map(|v| clamp(v + lift))
        });
        for (format, name) in [(VideoFormat::Rgb, "RGB"), (VideoFormat::Xbgr, "xBGR")] {
            let got = play(&element, &source, (format, name), 0);
            close(&got, &wanted, 1, &format!("{provider} {name}"));
        }
        assert_eq!(stat::<String>(&element, "color"), "source");
    }
}

/// A painting's colours matched to those of the source, with statistics from every `step`-th row.
fn matched(source: &Picture, painted: impl Fn([f64; 3]) -> [f64; 3], step: usize) -> Picture {
    // To luma and differences from it, as mean and deviation.
    let opponent = |rgb: [f64; 3]| [luma(rgb), rgb[0] - luma(rgb), rgb[2] - luma(rgb)];
    let rows = source.pixels.chunks(source.width).skip(step / 2);
    let sample: Vec<_> = rows.step_by(step).flatten().collect();
    let statistics = |f: &dyn Fn([f64; 3]) -> [f64; 3]| {
        let pixels = sample.iter();
        let values: Vec<[f64; 3]> = pixels
            .map(|p| opponent(f([0, 1, 2].map(|c: usize| f64::from(p[c])))))
            .collect();
        [0, 1, 2].map(|c: usize| {
            let n = values.len() as f64;
            let mean = values.iter().map(|v| v[c]).sum::<f64>() / n;
            let variance = values.iter().map(|v| (v[c] - mean).powi(2)).sum::<f64>() / n;
            (mean, variance + 1.0)
        })
    };
    let (from, to) = (statistics(&painted), statistics(&|rgb| rgb));
    source.map(|rgb| {
        let v = opponent(painted(rgb.map(f64::from)));
        let [y, r, b] =
            [0, 1, 2].map(|c: usize| (v[c] - from[c].0) * (to[c].1 / from[c].1).sqrt() + to[c].0);
        let g = y - (WEIGHTS[0] * r + WEIGHTS[2] * b) / WEIGHTS[1];
        [y + r, g, y + b].map(clamp)
    })
}

#[test]
fn matched_colours_have_the_statistics_of_the_source() {
    for provider in common::PROVIDERS {
        // Within 0..255 everywhere, so that nothing is clamped.
        let net = generators::negative(13);
        let (_dir, element) = element(provider, &net, &[("color", "match")]);
        // Numbers of pixels that are and are not multiples of four; enough rows that statistics are taken from some
        // only.
        for (size, step) in [((50, 38), 1), ((33, 17), 1), ((20, 300), 2)] {
            let source = scene(size.0, size.1);
            let wanted = matched(&source, |rgb| rgb.map(|v| 255.0 - v), step);
            for (format, name) in [(VideoFormat::Rgb, "RGB"), (VideoFormat::Xbgr, "xBGR")] {
                let got = play(&element, &source, (format, name), 0);
                close(&got, &wanted, 1, &format!("{provider} {name} {size:?}"));
            }
        }
    }
}

#[test]
fn left_of_the_split_is_the_source() {
    for provider in common::PROVIDERS {
        for (format, name) in FORMATS {
            let (_dir, element) = element(provider, &generators::negative(13), &[]);
            let source = Picture::varied(33, 17);
            for (split, columns) in [(0.0, 0), (0.5, 17), (0.25, 8), (1.0, 33)] {
                element.set_property("split", split);
                let mut wanted = source.map(|rgb| rgb.map(|v| 255 - v));
                for i in (0..33 * 17).filter(|i| i % 33 < columns) {
                    wanted.pixels[i] = source.pixels[i];
                }
                let mut got = play(&element, &source, (format, name), 0);
                // Equal on the left, at most one off on the right.
                for i in (0..33 * 17).filter(|i| i % 33 < columns) {
                    let whole = &got.pixels[i][..name.len().min(4)];
                    assert_eq!(whole, &source.pixels[i][..whole.len()], "{provider} {name}");
                }
                got.pixels.iter_mut().for_each(|p| p[3] = 0);
                close(&got, &wanted, 1, &format!("{provider} {name} {split}"));
            }
        }
    }
}
