// SPDX-License-Identifier: MPL-2.0
//! A GPU's execution provider without a GPU: WebGPU on SwiftShader, a Vulkan driver in software.
//!
//! `make test` fetches both. A process can load one ONNX Runtime only, and this is another one than
//! that of the other tests.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use common::picture::Picture;
use common::play::play;
use gst::prelude::*;

const CHILD: &str = "STYLIZE_WEBGPU_CHILD";

fn deps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps")
}

/// Whether what these tests need has been fetched; says so if not. Sets up the driver.
fn ready() -> bool {
    static SET_UP: Once = Once::new();
    let driver = deps().join("swiftshader/vk_swiftshader_icd.json");
    if !driver.is_file() || !deps().join("webgpu").is_dir() {
        println!("skipped: no WebGPU or no SwiftShader in .deps (scripts/providers.sh)");
        return false;
    }
    SET_UP.call_once(|| {
        if std::env::var_os(CHILD).is_none() {
            // Older loaders know the second name only.
            for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
                // SAFETY: every test of this process waits here before it does anything else.
                unsafe { std::env::set_var(name, &driver) };
            }
        }
        common::init();
    });
    true
}

fn stylize(provider: &str, model: &str) -> gst::Element {
    let element = gst::ElementFactory::make("stylize")
        .property("runtime-library", deps().join("webgpu").to_str())
        .property_from_str("execution-provider", provider)
        .property_from_str("precision", "fp32")
        // By itself it would wait for a second frame.
        .property("frames-in-flight", 1_u32)
        .build()
        .expect("stylize");
    match model {
        "lite" | "full" => element.set_property_from_str("quality", model),
        file => {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            element.set_property("model-file", file.to_str());
        }
    }
    element
}

#[test]
fn the_shipped_generators_paint_as_on_the_cpu() {
    if !ready() {
        return;
    }
    let source = Picture::varied(128, 72);
    for model in ["lite", "full", "models/great-wave.onnx"] {
        // In software the large one takes its time.
        let strengths: &[f64] = if model == "full" { &[1.0] } else { &[1.0, 0.4] };
        for &strength in strengths {
            let [on_gpu, on_cpu] = ["webgpu", "cpu"].map(|provider| {
                let element = stylize(provider, model);
                element.set_property("strength", strength);
                let (picture, _) = play(&element, &source);
                let stats = element.property::<gst::Structure>("stats");
                assert_eq!(stats.get::<String>("provider").as_deref(), Ok(provider));
                picture
            });
            let pairs = on_gpu
                .pixels
                .iter()
                .flatten()
                .zip(on_cpu.pixels.iter().flatten());
            let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(1), "{model:?} at {strength}: {worst:?}");
            assert_ne!(on_gpu, source);
        }
    }
}

#[test]
fn a_pipeline_plays_to_its_end() {
    if !ready() {
        return;
    }
    let line = format!(
        "videotestsrc num-buffers=3 ! video/x-raw,format=BGRx,width=96,height=64 \
         ! stylize name=s execution-provider=webgpu runtime-library={} ! fakesink",
        deps().join("webgpu").display()
    );
    let pipeline = gst::parse::launch(&line).expect("a pipeline");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    pipeline.set_state(gst::State::Playing).expect("plays");
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let bus = pipeline.bus().expect("a bus");
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends);
    let message = message.expect("an end");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    let element = pipeline.by_name("s").expect("stylize");
    let stats = element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("frames"), Ok(3));
    assert_eq!(stats.get::<u32>("frames-in-flight"), Ok(2));
    let model = stats.get::<String>("model");
    assert_eq!(model.as_deref(), Ok("gallery-full"), "as it is a GPU");
    // What it has no kernels for is told, not hidden.
    assert!(stats.get::<u32>("nodes").is_ok_and(|nodes| nodes > 10));
    assert!(
        stats
            .get::<u32>("nodes-on-cpu")
            .is_ok_and(|nodes| nodes > 0)
    );
    pipeline.set_state(gst::State::Null).expect("stopped");
}

/// The tensors that go from frame to frame stay in the device's memory.
#[test]
fn what_is_still_stays() {
    if !ready() {
        return;
    }
    let element = stylize("webgpu", "lite");
    element.set_property("stability", 1.0);
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, 96, 64)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .expect("video info");
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps(info.to_caps().expect("caps"));
    let source = Picture::varied(96, 64).map(|colour| colour.map(|v| v / 2));
    let mut paint = |more: u8, number: u64| {
        let picture = source.map(|colour| colour.map(|v| v + more));
        let mut buffer = picture.buffer(gst_video::VideoFormat::Rgb, "RGB", 96 * 3);
        let pts = gst::ClockTime::from_mseconds(40 * number);
        buffer.get_mut().expect("fresh").set_pts(pts);
        let out = harness.push_and_pull(buffer).expect("a frame");
        Picture::read(&out, &info, "RGB")
    };
    let first = paint(0, 0);
    for number in 1..4 {
        let difference = paint((number % 2) as u8, number).max_difference(&first);
        assert_eq!(difference, 0, "frame {number}");
    }
    assert_ne!(paint(100, 4), first, "a cut");
}

/// In a process of its own, because drivers are looked for once.
#[test]
fn without_a_driver_it_is_one_error_and_never_the_cpu() {
    if std::env::var_os(CHILD).is_some() {
        assert!(ready());
        let element = stylize("webgpu", "lite");
        let error = common::refused(&element);
        let text = error.error.message();
        assert!(text.contains("webgpu is not available"), "{text}");
        assert!(text.contains("Vulkan driver"), "{text}");
        // The same element works elsewhere.
        element.set_property_from_str("execution-provider", "cpu");
        play(&element, &Picture::varied(32, 32));
        return;
    }
    if !ready() {
        return;
    }
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "without_a_driver_it_is_one_error_and_never_the_cpu",
        ])
        .env(CHILD, "1")
        .env("VK_DRIVER_FILES", "/nowhere")
        .env("VK_ICD_FILENAMES", "/nowhere")
        .output()
        .expect("a child process");
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{log}");
}
