// SPDX-License-Identifier: MPL-2.0
//! A stream whose settings change at random on several threads: no frame is lost, late or out of order, the stream does
//! not end, and memory does not grow.
//!
//! `STYLIZE_SOAK=1000000 cargo test --release --test soak_changes` sets the number of frames; the default is small.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::memory::resident;
use common::{generators, styled};
use gst::prelude::*;

const FRAMES: u64 = 3000;
/// Frames between two changes, at least, and in a long run, of all threads together; a tenth of the changes load or
/// compile.
const EVERY: u64 = 10;
const CHANGES: u64 = 10_000;
const THREADS: u64 = 3;
const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);
/// Allowed growth of memory after all events have occurred, as a share, and in MiB for events that a short run has not
/// had.
const GROWTH: f64 = 0.02;
const SHORT: f64 = 16.0;

/// Reproducible pseudorandom numbers (Knuth's constants).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn share(&mut self) -> f64 {
        self.below(101) as f64 / 100.0
    }
}

/// Properties that change without a new graph, and those for which one is loaded or compiled.
const QUICK: [&str; 18] = [
    "strength",
    "split",
    "style",
    "style-a",
    "style-b",
    "style-mix",
    "transition",
    "mask-file",
    "mask-invert",
    "mask-feather",
    "seed",
    "target-latency",
    "adapt",
    "playlist",
    "qos",
    "stats",
    "styles",
    "stability",
];
const SLOW: [&str; 21] = [
    "model-file",
    "quality",
    "style-image",
    "style-predictor",
    "execution-provider",
    "provider-library",
    "provider-options",
    "device",
    "precision",
    "channel-order",
    "input-range",
    "output-range",
    "model-cache-dir",
    "runtime-library",
    "mask",
    "color",
    "inference-height",
    "upscale",
    "threads",
    "optimization-level",
    "dump-graph",
];

/// Changes one property, or reads a read-only one.
fn change(element: &gst::Element, name: &str, folder: &Path, random: &mut Random) {
    let one = |random: &mut Random, values: &[&str]| {
        values[random.below(values.len() as u64) as usize].to_string()
    };
    let file = |name: &str| folder.join(name).display().to_string();
    let (left, right, list, graph) = (
        file("left.png"),
        file("right.png"),
        file("list.txt"),
        file("graph.onnx"),
    );
    let styles = ["red", "blue:0.3,grey:0.7", "1", "nobody", ""];
    let text = match name {
        "stats" => return drop(element.property::<gst::Structure>("stats")),
        "styles" => return drop(element.property::<Vec<String>>("styles")),
        "strength" | "split" | "style-mix" | "stability" => {
            return element.set_property(name, random.share());
        }
        "style" | "style-a" | "style-b" => one(random, &styles),
        "transition" => one(random, &["0", "200000000", "86400000000000"]),
        "target-latency" => one(random, &["0", "1", "40000000"]),
        "mask-file" => one(random, &["", "/nowhere.png", &left, &right]),
        "mask-invert" | "qos" => one(random, &["true", "false"]),
        "mask-feather" => one(random, &["0", "3", "1024"]),
        "seed" => one(random, &["0", "4294967295"]),
        "adapt" => one(random, &["off", "resolution"]),
        "playlist" => one(random, &["", "/nowhere.txt", &list]),
        "model-file" => one(
            random,
            &[&file("model.onnx"), &file("other.onnx"), "/nowhere.onnx"],
        ),
        "quality" => one(random, &["quick", "lite", "full"]),
        "style-image" => one(random, &["", "/nowhere.jpg", &left]),
        "style-predictor" => one(random, &["", "/nowhere.onnx", &left]),
        // On Linux a warning, and the previous one stays in use.
        "execution-provider" => one(random, &["cpu", "cpu", "coreml"]),
        "provider-library" => one(random, &["", "/nowhere.so"]),
        "provider-options" => one(random, &["options", "options,nobody=1"]),
        "device" => one(random, &["", "0", "nobody"]),
        "precision" => one(random, &["auto", "fp32"]),
        "channel-order" => one(random, &["auto", "rgb", "bgr"]),
        "input-range" => one(random, &["", "0,255", "0,1;0,1;0,1", "nonsense"]),
        "output-range" => one(random, &["", "0,255", "0,1"]),
        "model-cache-dir" => one(random, &["", &file("cache")]),
        "runtime-library" => one(random, &["", "/nowhere.so"]),
        "mask" => one(random, &["none", "roi", "image", "analytics"]),
        "color" => one(random, &["style", "source", "match"]),
        "inference-height" => one(random, &["0", "16", "24"]),
        "upscale" => one(random, &["bilinear", "guided"]),
        "threads" => one(random, &["1", "2"]),
        "optimization-level" => one(random, &["enable-all", "enable-basic"]),
        "dump-graph" => one(random, &["", &graph]),
        other => unreachable!("{other}"),
    };
    let spec = element.find_property(name).expect("a property");
    let Ok(value) = gst::glib::Value::deserialize_with_pspec(&text, &spec) else {
        panic!("{name}={text}");
    };
    element.set_property_from_value(name, &value);
}

#[test]
fn settings_that_change_on_all_threads_lose_no_frame_and_no_memory() {
    common::init();
    let frames = std::env::var("STYLIZE_SOAK").map_or(FRAMES, |n| n.parse().expect("a number"));
    let caps = "video/x-raw,format=RGB,width=64,height=36,framerate=25/1";
    let net = styled::bytes(styled::net(&[4]));
    let (dir, element, bus, mut harness) = common::stream("cpu", &net, &[], caps);
    let folder = dir.path();
    for (name, bright) in [("left.png", 0..32), ("right.png", 32..64)] {
        let picture = image::GrayImage::from_fn(64, 36, |x, _| {
            image::Luma([if bright.contains(&x) { 255 } else { 0 }])
        });
        picture.save(folder.join(name)).expect("a file");
    }
    let other = generators::negative(17).bytes();
    std::fs::write(folder.join("other.onnx"), other).expect("a file");
    std::fs::write(folder.join("list.txt"), "0 red\n5 blue 1\nloop 10\n").expect("a file");

    let (played, changed, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let every = (frames / CHANGES).max(EVERY);
    let mut growth = None;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (element, played, changed, done) = (&element, &played, &changed, &done);
            scope.spawn(move || {
                let mut random = Random(thread + 1);
                while !done.load(Ordering::Relaxed) {
                    // In step with the stream, so that slow machines have as many.
                    let due = (played.load(Ordering::Relaxed) + every) / every;
                    if changed.load(Ordering::Relaxed) > due {
                        std::thread::sleep(std::time::Duration::from_micros(200));
                        continue;
                    }
                    let names: &[&str] = match random.below(10) {
                        0 => &SLOW,
                        _ => &QUICK,
                    };
                    let name = names[random.below(names.len() as u64) as usize];
                    change(element, name, folder, &mut random);
                    changed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut before = None;
        for number in 0..frames {
            let mut frame = gst::Buffer::from_mut_slice(vec![(number % 200) as u8; 64 * 36 * 3]);
            let fresh = frame.get_mut().expect("fresh");
            fresh.set_pts(FRAME * number);
            fresh.set_duration(FRAME);
            gst_video::VideoRegionOfInterestMeta::add(fresh, "face", (8, 4, 16, 16));
            let painted = harness.push_and_pull(frame).expect("a frame");
            assert_eq!(painted.pts(), Some(FRAME * number));
            while let Some(event) = harness.try_pull_event() {
                drop(event);
            }
            // Warnings for wrong values.
            while let Some(message) = bus.pop() {
                assert!(
                    message.type_() != gst::MessageType::Error,
                    "{number}: {message:?}"
                );
            }
            played.store(number + 1, Ordering::Relaxed);
            if number == frames / 2 {
                before = Some(resident());
            }
        }
        done.store(true, Ordering::Relaxed);
        growth = before.map(|before| (before, resident() - before));
    });
    assert!(harness.try_pull().is_none());
    let (before, growth) = growth.expect("half of it");
    println!(
        "{frames} frames, {} changes; {before:.1} MiB after the first half, {growth:+.1} after the second",
        changed.into_inner()
    );
    let short = if frames < 100_000 { SHORT } else { 0.0 };
    let limit = before * GROWTH + short;
    assert!(growth < limit, "{growth} MiB of {limit}");
}
