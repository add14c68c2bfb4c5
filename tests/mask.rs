// SPDX-License-Identifier: MPL-2.0
//! `mask`: the painting in parts of the frame, the source in the others.

mod common;

use common::generators::{Net, negative};
use gst::prelude::*;
use gst_check::Harness;
use gst_video::VideoRegionOfInterestMeta;

const WIDTH: usize = 40;
const HEIGHT: usize = 24;

struct Stream {
    _dir: tempfile::TempDir,
    element: gst::Element,
    bus: gst::Bus,
    harness: Harness,
    number: u64,
}

impl Stream {
    fn new(provider: &str, net: &Net, format: &str, properties: &[(&str, &str)]) -> Self {
        let caps =
            format!("video/x-raw,format={format},width={WIDTH},height={HEIGHT},framerate=25/1");
        let (_dir, element, bus, harness) =
            common::stream(provider, &net.bytes(), properties, &caps);
        Self {
            _dir,
            element,
            bus,
            harness,
            number: 0,
        }
    }

    /// Pushes a uniform frame with regions of interest; returns the output.
    fn play(&mut self, value: u8, size: usize, regions: &[(u32, u32, u32, u32)]) -> Vec<u8> {
        let mut buffer = gst::Buffer::from_mut_slice(vec![value; size]);
        let fresh = buffer.get_mut().expect("fresh");
        fresh.set_pts(gst::ClockTime::from_mseconds(40 * self.number));
        self.number += 1;
        for region in regions {
            VideoRegionOfInterestMeta::add(fresh, "face", *region);
        }
        let out = self.harness.push_and_pull(buffer).expect("a frame");
        assert_eq!(
            out.iter_meta::<VideoRegionOfInterestMeta>().count(),
            regions.len(),
            "the regions go on"
        );
        out.map_readable().expect("bytes").to_vec()
    }
}

const RGB: usize = WIDTH * HEIGHT * 3;
/// The source, and its negative.
const SOURCE: u8 = 40;
const PAINTED: u8 = 215;

fn inside((x, y, w, h): (u32, u32, u32, u32), pixel: usize) -> bool {
    let (px, py) = ((pixel % WIDTH) as u32, (pixel / WIDTH) as u32);
    (x..x + w).contains(&px) && (y..y + h).contains(&py)
}

#[test]
fn regions_of_interest_are_painted_and_the_rest_is_not() {
    let region = (8, 4, 16, 10);
    for provider in common::PROVIDERS {
        for invert in [false, true] {
            let invert_text = if invert { "true" } else { "false" };
            let properties = [("mask", "roi"), ("mask-invert", invert_text)];
            let mut stream = Stream::new(provider, &negative(13), "RGB", &properties);
            let frame = stream.play(SOURCE, RGB, &[region]);
            for (pixel, colour) in frame.chunks(3).enumerate() {
                let wanted = match inside(region, pixel) != invert {
                    true => PAINTED,
                    false => SOURCE,
                };
                assert!(colour.iter().all(|v| v.abs_diff(wanted) <= 1), "{pixel}");
            }
            // Each frame has its own.
            let frame = stream.play(SOURCE, RGB, &[]);
            let wanted = if invert { PAINTED } else { SOURCE };
            assert!(frame.iter().all(|v| v.abs_diff(wanted) <= 1));
        }
    }
}

#[test]
fn strength_and_feather_work_with_a_mask() {
    let properties = [("mask", "roi"), ("mask-feather", "8"), ("strength", "0.5")];
    let mut stream = Stream::new("cpu", &negative(13), "RGB", &properties);
    let frame = stream.play(SOURCE, RGB, &[(10, 0, 100, 100)]);
    let line: Vec<u8> = frame[12 * WIDTH * 3..13 * WIDTH * 3]
        .iter()
        .step_by(3)
        .copied()
        .collect();
    assert_eq!(line[4], SOURCE, "{line:?}");
    assert!(line.windows(2).all(|pair| pair[0] <= pair[1]), "{line:?}");
    let half = (SOURCE / 2 + PAINTED / 2) as i32;
    assert!((i32::from(line[30]) - half).abs() <= 2, "{line:?}");
    assert!(
        line[10] > SOURCE + 20 && line[10] < line[30] - 20,
        "{line:?}"
    );
}

#[test]
fn chroma_follows_the_mask_as_luma_does() {
    let size = WIDTH * HEIGHT * 3 / 2;
    for provider in common::PROVIDERS {
        let mut stream = Stream::new(provider, &negative(13), "I420", &[("mask", "roi")]);
        let region = (8, 4, 16, 10);
        let frame = stream.play(90, size, &[region]);
        stream.element.set_property_from_str("mask", "none");
        let everywhere = Stream::new(provider, &negative(13), "I420", &[]).play(90, size, &[]);
        for (pixel, luma) in frame[..WIDTH * HEIGHT].iter().enumerate() {
            let wanted = match inside(region, pixel) {
                true => everywhere[pixel],
                false => 90,
            };
            assert!(luma.abs_diff(wanted) <= 1, "{provider} luma {pixel}");
        }
        for (sample, chroma) in frame[WIDTH * HEIGHT..].iter().enumerate() {
            let plane = WIDTH * HEIGHT / 4;
            let (x, y) = (sample % plane % (WIDTH / 2), sample % plane / (WIDTH / 2));
            let wanted = match inside(region, 2 * y * WIDTH + 2 * x) {
                true => everywhere[WIDTH * HEIGHT + sample],
                false => 90,
            };
            assert!(chroma.abs_diff(wanted) <= 1, "{provider} chroma {sample}");
        }
    }
}

#[test]
fn the_rest_may_have_a_style_of_its_own() {
    common::init();
    let source: Vec<u8> = (0..RGB).map(|i| (i * 7 % 251) as u8).collect();
    let paint = |properties: &[(&str, &str)], regions: &[(u32, u32, u32, u32)]| {
        let element = gst::ElementFactory::make("stylize")
            .property_from_str("execution-provider", "cpu")
            .property_from_str("quality", "lite")
            .build()
            .expect("stylize");
        for (name, value) in properties {
            element.set_property_from_str(name, value);
        }
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps_str(&format!(
            "video/x-raw,format=RGB,width={WIDTH},height={HEIGHT},framerate=25/1"
        ));
        let mut frames = Vec::new();
        for number in 0..3_u64 {
            let mut buffer = gst::Buffer::from_slice(source.clone());
            let fresh = buffer.get_mut().expect("fresh");
            fresh.set_pts(gst::ClockTime::from_mseconds(40 * number));
            for region in regions {
                VideoRegionOfInterestMeta::add(fresh, "face", *region);
            }
            let out = harness.push_and_pull(buffer).expect("a frame");
            frames.push(out.map_readable().expect("bytes").to_vec());
        }
        assert!(frames.windows(2).all(|pair| pair[0] == pair[1]));
        frames.remove(0)
    };
    let one = paint(&[("style", "scream")], &[]);
    let other = paint(&[("style", "great-wave")], &[]);
    let region = (0, 0, 16, HEIGHT as u32);
    for stability in ["0", "0.8"] {
        let both = [
            ("style", "scream"),
            ("style-b", "great-wave"),
            ("mask", "roi"),
            ("stability", stability),
        ];
        let frame = paint(&both, &[region]);
        for (pixel, colour) in frame.chunks(3).enumerate() {
            let wanted = match inside(region, pixel) {
                true => &one,
                false => &other,
            };
            let wanted = &wanted[pixel * 3..pixel * 3 + 3];
            let close = colour.iter().zip(wanted).all(|(a, b)| a.abs_diff(*b) <= 1);
            assert!(close, "{pixel}: {colour:?} {wanted:?}");
        }
    }
}

fn picture(dir: &std::path::Path, name: &str, bright: impl Fn(u32) -> bool) -> String {
    let file = dir.join(name);
    let picture = image::GrayImage::from_fn(80, 48, |x, _| {
        image::Luma([if bright(x) { 255 } else { 0 }])
    });
    picture.save(&file).expect("a file");
    file.to_str().expect("UTF-8").into()
}

#[test]
fn a_picture_is_a_mask_and_changes_while_playing() {
    let dir = tempfile::tempdir().expect("a folder");
    let left = picture(dir.path(), "left.png", |x| x < 40);
    let right = picture(dir.path(), "right.png", |x| x >= 40);
    let properties = [("mask", "image"), ("mask-file", left.as_str())];
    let mut stream = Stream::new("cpu", &negative(13), "RGB", &properties);
    let at = |frame: &[u8], x: usize| frame[(12 * WIDTH + x) * 3];
    let frame = stream.play(SOURCE, RGB, &[]);
    assert_eq!((at(&frame, 5), at(&frame, 35)), (PAINTED, SOURCE));

    // No such file: a warning, and the mask stays.
    stream.element.set_property("mask-file", "/nowhere.png");
    let begin = std::time::Instant::now();
    let warning = loop {
        let frame = stream.play(SOURCE, RGB, &[]);
        assert_eq!((at(&frame, 5), at(&frame, 35)), (PAINTED, SOURCE));
        if let Some(message) = stream.bus.pop_filtered(&[gst::MessageType::Warning]) {
            break message;
        }
        assert!(begin.elapsed().as_secs() < 120, "no warning");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let gst::MessageView::Warning(warning) = warning.view() else {
        unreachable!("filtered");
    };
    let text = warning.error().message().to_string();
    assert!(
        text.contains("/nowhere.png") && text.contains("mask-file"),
        "{text}"
    );

    stream.element.set_property("mask-file", &right);
    let begin = std::time::Instant::now();
    while at(&stream.play(SOURCE, RGB, &[]), 5) != SOURCE {
        assert!(begin.elapsed().as_secs() < 120, "never changed");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let frame = stream.play(SOURCE, RGB, &[]);
    assert_eq!((at(&frame, 5), at(&frame, 35)), (SOURCE, PAINTED));

    // Off and on again; every frame is complete.
    for (mask, wanted) in [("none", (PAINTED, PAINTED)), ("image", (SOURCE, PAINTED))] {
        stream.element.set_property_from_str("mask", mask);
        let begin = std::time::Instant::now();
        loop {
            let frame = stream.play(SOURCE, RGB, &[]);
            if (at(&frame, 5), at(&frame, 35)) == wanted {
                break;
            }
            assert!(begin.elapsed().as_secs() < 120, "never {mask}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    assert!(common::errors(&stream.bus).is_empty());
}

/// Sets a property, and plays until its effect; the frames before must be as they were.
#[track_caller]
fn refused(stream: &mut Stream, name: &str, value: &str, words: &[&str]) {
    let before = stream.play(SOURCE, RGB, &[]);
    stream.element.set_property_from_str(name, value);
    let begin = std::time::Instant::now();
    let warning = loop {
        assert!(stream.play(SOURCE, RGB, &[]) == before, "{name}={value}");
        if let Some(message) = stream.bus.pop_filtered(&[gst::MessageType::Warning]) {
            break message;
        }
        assert!(
            begin.elapsed().as_secs() < 120,
            "no warning: {name}={value}"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let gst::MessageView::Warning(warning) = warning.view() else {
        unreachable!("filtered");
    };
    let text = warning.error().message().to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    for _ in 0..3 {
        assert!(stream.play(SOURCE, RGB, &[]) == before, "{name}={value}");
    }
    let more = stream.bus.pop_filtered(&[gst::MessageType::Warning]);
    assert!(more.is_none(), "{name}={value}: one warning: {more:?}");
    assert!(common::errors(&stream.bus).is_empty());
}

/// After any setting: a wrong mask changes nothing, and a right one is then accepted.
#[test]
fn a_mask_that_cannot_be_shown_is_a_warning_while_playing() {
    let dir = tempfile::tempdir().expect("a folder");
    let left = picture(dir.path(), "left.png", |x| x < 40);
    let text = dir.path().join("text.png");
    std::fs::write(&text, "no picture").expect("a file");
    let at = |frame: &[u8], x: usize| frame[(12 * WIDTH + x) * 3];
    for before in ["none", "roi"] {
        let mut stream = Stream::new("cpu", &negative(13), "RGB", &[("mask", before)]);
        refused(&mut stream, "mask", "image", &["mask-file"]);
        for file in ["/nowhere.png", text.to_str().expect("UTF-8"), "/dev/zero"] {
            refused(&mut stream, "mask-file", file, &[file]);
        }
        stream.element.set_property("mask-file", &left);
        let begin = std::time::Instant::now();
        let wanted = (PAINTED, SOURCE);
        loop {
            let frame = stream.play(SOURCE, RGB, &[]);
            if (at(&frame, 5), at(&frame, 35)) == wanted {
                break;
            }
            assert!(begin.elapsed().as_secs() < 120, "never taken");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // The file may be removed: it has been read, also for other frame sizes.
        refused(&mut stream, "mask-file", "/nowhere.png", &["/nowhere.png"]);
        let caps = format!(
            "video/x-raw,format=RGB,width={},height={HEIGHT},framerate=25/1",
            WIDTH / 2
        );
        stream.harness.set_src_caps_str(&caps);
        let frame = stream.play(SOURCE, RGB / 2, &[]);
        let line = 12 * WIDTH / 2 * 3;
        assert_eq!((frame[line + 3], frame[line + 51]), wanted);
        assert!(common::errors(&stream.bus).is_empty());
    }
}

#[test]
fn a_mask_that_is_not_there_is_one_error() {
    let (_dir, element) = common::element(&negative(13).bytes());
    element.set_property_from_str("mask", "image");
    let text = common::refused(&element).error.message().to_string();
    assert!(text.contains("mask-file"), "{text}");
    element.set_bus(None);
    element.set_property("mask-file", "/nowhere.png");
    let error = common::refused(&element);
    assert!(error.error.matches(gst::ResourceError::OpenRead));
    let text = error.error.message();
    assert!(text.contains("/nowhere.png"), "{text}");
}
