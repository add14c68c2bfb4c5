// SPDX-License-Identifier: MPL-2.0
//! The built-in gallery: styles by name without a model file, in three qualities.

mod common;

use std::time::{Duration, Instant};

use common::picture::Picture;
use common::play::play;
use gst::prelude::*;
use gst_check::Harness;

fn stylize(quality: &str) -> gst::Element {
    common::init();
    gst::ElementFactory::make("stylize")
        .property_from_str("quality", quality)
        .property_from_str("execution-provider", "cpu")
        .build()
        .expect("stylize")
}

fn model(element: &gst::Element) -> String {
    let stats = element.property::<gst::Structure>("stats");
    stats.get("model").expect("a model")
}

/// Mean absolute difference of the colours, in codes.
fn difference(a: &Picture, b: &Picture) -> f64 {
    let pairs = a.pixels.iter().flatten().zip(b.pixels.iter().flatten());
    let sum: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    sum / (a.width * a.height * 3) as f64
}

#[test]
fn every_style_of_all_paints_in_its_own_manner() {
    let source = Picture::varied(128, 96);
    for quality in ["quick", "lite", "full"] {
        let element = stylize(quality);
        let styles = element.property::<Vec<String>>("styles");
        assert!(styles.len() >= 24, "{styles:?}");
        assert!(styles.contains(&"great-wave".into()), "{styles:?}");
        let mut paintings: Vec<(&String, Picture)> = Vec::new();
        for style in &styles {
            element.set_property("style", style);
            let (painting, _) = play(&element, &source);
            assert!(difference(&painting, &source) > 8.0, "{quality} {style}");
            for (other, before) in &paintings {
                let apart = difference(&painting, before);
                assert!(apart > 4.0, "{quality}: {style} and {other}: {apart}");
            }
            paintings.push((style, painting));
        }
    }
}

#[test]
fn quality_says_which_generator_paints() {
    let source = Picture::varied(64, 48);
    let [quick, lite, full, auto] = ["quick", "lite", "full", "auto"].map(|quality| {
        let element = stylize(quality);
        let (painting, _) = play(&element, &source);
        (painting, model(&element))
    });
    assert_eq!(quick.1, "gallery-quick");
    assert_eq!(lite.1, "gallery-lite");
    assert_eq!(full.1, "gallery-full");
    assert_ne!(quick.0, lite.0);
    assert_ne!(lite.0, full.0);
    assert_eq!(auto, lite, "on a CPU");
}

#[test]
fn quality_is_changed_between_two_frames() {
    let element = stylize("lite");
    element.set_property("style", "great-wave");
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str("video/x-raw,format=RGB,width=64,height=48,framerate=10/1");
    let source: Vec<u8> = (0..64 * 48 * 3).map(|i| (i * 7 % 251) as u8).collect();
    let mut number = 0;
    let mut frame = || {
        let mut buffer = gst::Buffer::from_slice(source.clone());
        let pts = gst::ClockTime::from_mseconds(100 * number);
        buffer.get_mut().expect("fresh").set_pts(pts);
        number += 1;
        assert_eq!(harness.push(buffer), Ok(gst::FlowSuccess::Ok));
        let painted = harness.pull().expect("a frame for each");
        assert_eq!(painted.pts(), Some(pts));
        painted.map_readable().expect("bytes").to_vec()
    };
    let lite = frame();
    assert_eq!(frame(), lite);
    element.set_property_from_str("quality", "full");
    let begin = Instant::now();
    let full = loop {
        let painting = frame();
        if painting != lite {
            break painting;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "never changed");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(frame(), full);
    assert_eq!(model(&element), "gallery-full");
    let fresh = stylize("full");
    fresh.set_property("style", "great-wave");
    let mut harness = Harness::with_element(&fresh, Some("sink"), Some("src"));
    harness.set_src_caps_str("video/x-raw,format=RGB,width=64,height=48,framerate=10/1");
    harness
        .push(gst::Buffer::from_slice(source.clone()))
        .expect("taken");
    let wanted = harness.pull().expect("a frame");
    let wanted = wanted.map_readable().expect("bytes").to_vec();
    assert_eq!(full, wanted, "the style is kept");
}

#[test]
fn a_style_that_is_not_there_is_told_with_the_nearest() {
    let element = stylize("auto");
    element.set_property("style", "grate-wave");
    let text = common::refused(&element).error.message().to_string();
    assert!(text.contains("did you mean \"great-wave\"?"), "{text}");
    assert!(text.contains("udnie"), "{text}");
}

#[test]
fn int8_only_on_request() {
    // A real frame: ranges are calibrated on photos.
    let source = common::fixture::png("frame.png");
    let element = stylize("auto");
    let (exact, _) = play(&element, &source);
    element.set_property_from_str("precision", "int8");
    let (rough, _) = play(&element, &source);
    assert_eq!(model(&element), "gallery-lite-int8");
    let stats = element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<String>("precision").as_deref(), Ok("int8"));
    let apart = difference(&exact, &rough);
    assert!(apart > 0.0 && apart < 4.0, "{apart} grey levels");

    element.set_property_from_str("quality", "full");
    let text = common::refused(&element).error.message().to_string();
    assert!(
        text.contains("gallery-full is not in 8-bit integers"),
        "{text}"
    );
}
