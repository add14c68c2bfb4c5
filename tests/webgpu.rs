// SPDX-License-Identifier: MPL-2.0
//! A GPU execution provider without a GPU: WebGPU on SwiftShader, a Vulkan driver in software.
//!
//! `make test` fetches both. In a process of its own, because a process can load only one ONNX Runtime, and this is
//! another one than in the other tests.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use common::generators::{self, Net, int, ints, text};
use common::picture::{Picture, varied};
use common::play::play;
use gst::prelude::*;
use gst_video::{VideoFormat as Format, VideoInfo};

const CHILD: &str = "STYLIZE_WEBGPU_CHILD";

fn deps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps")
}

/// Whether the dependencies of these tests have been fetched; prints a message if not. Sets up the driver.
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
        // With the default it would wait for a second frame.
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
        // The large one is slow in software.
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
    assert!(stats.get::<u32>("nodes").is_ok_and(|nodes| nodes > 10));
    assert_eq!(stats.get::<u32>("nodes-on-cpu"), Ok(0));
    pipeline.set_state(gst::State::Null).expect("stopped");
}

/// Numbers around zero, of at most 9 by this.
fn weights(count: usize, by: f32) -> Vec<f32> {
    let wave = |i: usize| ((i * 7 % 19) as f32 - 9.0) / by;
    (0..count).map(wave).collect()
}

/// A convolution of patches of 2x2 pixels and a sigmoid, as generators end, which makes blocks or, by a
/// transposed convolution, planes.
fn net(blocks: bool) -> Net {
    let patches = weights(12 * 3 * 4, 12.0);
    let net = generators::open(13, "0,1", 2)
        .floats("patches", &[12, 3, 2, 2], &patches)
        .node(
            "Conv",
            &["x", "patches"],
            "seen",
            vec![ints("strides", &[2, 2])],
        );
    match blocks {
        true => net.node("Sigmoid", &["seen"], "painted", vec![]).node(
            "DepthToSpace",
            &["painted"],
            "y",
            vec![int("blocksize", 2), text("mode", "DCR")],
        ),
        false => net
            .floats("pixels", &[12, 3, 2, 2], &patches)
            .node(
                "ConvTranspose",
                &["seen", "pixels"],
                "wide",
                vec![ints("strides", &[2, 2])],
            )
            .node("Sigmoid", &["wide"], "y", vec![]),
    }
}

/// Runs three frames of varied bytes through the element on this provider. Returns the last one, and the number of
/// graph nodes on the CPU.
fn bytes(
    provider: &str,
    model: &str,
    info: &VideoInfo,
    properties: &[(&str, &str)],
) -> (Vec<u8>, u32) {
    let element = stylize(provider, model);
    for (name, value) in properties {
        element.set_property_from_str(name, value);
    }
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps(info.to_caps().expect("caps"));
    let mut last = None;
    for number in 0..3 {
        let frame = varied(info, number);
        last = harness.push_and_pull(frame).ok();
    }
    let told = || format!("{properties:?}: {:?}", common::errors(&bus));
    let last = last.unwrap_or_else(|| panic!("{} {}", info.format(), told()));
    let last = last.into_mapped_buffer_readable();
    let stats = element.property::<gst::Structure>("stats");
    let on_cpu = stats.get::<u32>("nodes-on-cpu").expect("a number");
    (last.expect("mapped").to_vec(), on_cpu)
}

/// The largest difference, in codes.
fn most(info: &VideoInfo, a: &[u8], b: &[u8]) -> u32 {
    let (depth, shift) = (info.format_info().depth()[0], info.format_info().shift()[0]);
    let codes = |bytes: &[u8]| -> Vec<u32> {
        match depth {
            8 => bytes.iter().map(|byte| u32::from(*byte)).collect(),
            _ => {
                let pairs = bytes.chunks_exact(2);
                pairs
                    .map(|p| u32::from(u16::from_le_bytes([p[0], p[1]]) >> shift))
                    .collect()
            }
        }
    };
    let (a, b) = (codes(a), codes(b));
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| a.abs_diff(b))
        .max()
        .unwrap_or(0)
}

#[track_caller]
fn same(model: &str, info: &VideoInfo, properties: &[(&str, &str)]) {
    let context = format!(
        "{} {}x{} {properties:?}",
        info.format(),
        info.width(),
        info.height()
    );
    let (wanted, _) = bytes("cpu", model, info, properties);
    let (got, on_cpu) = bytes("webgpu", model, info, properties);
    let off = most(info, &got, &wanted);
    assert!(off <= 1, "{context}: off by {off}");
    assert_eq!(on_cpu, 0, "{context}: nodes on the CPU");
}

fn info(format: Format, (width, height): (u32, u32)) -> VideoInfo {
    let builder = VideoInfo::builder(format, width, height).fps(gst::Fraction::new(25, 1));
    builder.build().expect("video info")
}

#[test]
fn every_format_is_painted_as_on_the_cpu_and_on_the_device_alone() {
    if !ready() {
        return;
    }
    let formats = |blocks: bool, size, formats: &[Format]| {
        let (_dir, file) = common::model_file(&net(blocks).bytes());
        let model = file.to_str().expect("UTF-8");
        for format in formats {
            same(model, &info(*format, size), &[("strength", "0.7")]);
        }
    };
    let (even, odd) = ((36, 18), (33, 17));
    formats(
        true,
        even,
        &[Format::I420, Format::Nv12, Format::Yuy2, Format::Gray8],
    );
    formats(true, even, &[Format::Rgb, Format::Bgrx, Format::P01010le]);
    formats(
        false,
        odd,
        &[Format::I420, Format::Uyvy, Format::Gbr, Format::Argb],
    );
    formats(false, odd, &[Format::Y44410le, Format::Gray8]);
}

/// A generator with byte tensors, one of an old opset, and frames that do not fill or begin at whole words.
#[test]
fn unaligned_frames_and_byte_tensors_are_painted() {
    if !ready() {
        return;
    }
    let size = [1, -1, -1, 3];
    let cast = |to: i32| vec![int("to", i64::from(to))];
    let bytes = Net::new(13)
        .input("x", generators::U8, &size)
        .output("y", generators::U8, &size)
        .floats("gain", &[3], &[0.5, 0.9, 0.7])
        .node("Cast", &["x"], "seen", cast(generators::F32))
        .node("Mul", &["seen", "gain"], "painted", vec![])
        .node("Cast", &["painted"], "y", cast(generators::U8));
    let info = info(Format::Gray8, (33, 17));
    for net in [bytes, generators::negative(9), generators::negative(8)] {
        let (_dir, file) = common::model_file(&net.bytes());
        let [cpu, webgpu] = ["cpu", "webgpu"].map(|provider| {
            let element = stylize(provider, file.to_str().expect("UTF-8"));
            let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
            harness.set_src_caps(info.to_caps().expect("caps"));
            let mut painted = Vec::new();
            for (stride, begin) in [(36, 0), (35, 0), (36, 1)] {
                let bytes: Vec<u8> = (0..begin + stride * 17).map(|i| (i * 7) as u8).collect();
                let memory = gst::Memory::from_slice(bytes);
                let memory = memory.share(begin..begin + stride * 17);
                let mut frame = gst::Buffer::new();
                let buffer = frame.get_mut().expect("fresh");
                buffer.append_memory(memory);
                let flags = gst_video::VideoFrameFlags::empty();
                let strides = [stride as i32];
                gst_video::VideoMeta::add_full(
                    buffer,
                    flags,
                    Format::Gray8,
                    33,
                    17,
                    &[0],
                    &strides,
                )
                .expect("a meta");
                let out = harness.push_and_pull(frame).expect("a frame");
                painted.extend_from_slice(&out.map_readable().expect("mapped"));
            }
            painted
        });
        let off = most(&info, &webgpu, &cpu);
        assert!(
            off <= 1,
            "{}: off by {off}",
            net.model.opset_import[0].version
        );
    }
}

/// A number of channels that WebGPU's kernels take for three.
#[test]
fn convolutions_of_six_channels_are_right() {
    if !ready() {
        return;
    }
    let pads = || vec![ints("pads", &[1; 4])];
    let net = generators::open(13, "0,1", 1)
        .floats("w1", &[6, 3, 3, 3], &weights(6 * 3 * 9, 30.0))
        .floats("w2", &[8, 6, 3, 3], &weights(8 * 6 * 9, 30.0))
        .floats("w3", &[3, 8, 3, 3], &weights(3 * 8 * 9, 30.0))
        .node("Conv", &["x", "w1"], "six", pads())
        .node("Conv", &["six", "w2"], "eight", pads())
        .node("Conv", &["eight", "w3"], "three", pads())
        .node("Sigmoid", &["three"], "y", vec![]);
    let (_dir, file) = common::model_file(&net.bytes());
    let model = file.to_str().expect("UTF-8");
    same(model, &info(Format::Rgb, (36, 18)), &[]);
}

#[test]
fn effects_are_those_of_the_cpu_and_on_the_device_alone() {
    if !ready() {
        return;
    }
    let (_dir, file) = common::model_file(&net(true).bytes());
    let model = file.to_str().expect("UTF-8");
    let slope = file.with_file_name("slope.png");
    let picture = image::GrayImage::from_fn(48, 36, |x, _| image::Luma([x as u8 * 5]));
    picture.save(&slope).expect("a file");
    let slope = slope.to_string_lossy();
    for format in [Format::I420, Format::Rgb] {
        let info = info(format, (48, 36));
        for properties in [
            &[("stability", "0.8")][..],
            &[
                ("mask", "image"),
                ("mask-file", &slope),
                ("strength", "0.6"),
            ],
            &[("color", "source"), ("split", "0.4")],
            &[("color", "match")],
            &[("inference-height", "18"), ("upscale", "bilinear")],
            &[("inference-height", "18"), ("upscale", "guided")],
            &[("inference-height", "24"), ("upscale", "guided")],
        ] {
            same(model, &info, properties);
        }
    }
    // With `style-b`, the parts outside the mask are painted in that style.
    let rest = [
        ("mask", "image"),
        ("mask-file", &slope),
        ("style-a", "scream"),
        ("style-b", "great-wave"),
    ];
    same("lite", &info(Format::I420, (48, 36)), &rest);
}

/// State tensors stay in the device's memory.
#[test]
fn still_parts_stay() {
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

/// One frame at a time on the CPU, two on a GPU: the frames stay in order, and none is lost.
#[test]
fn a_change_of_provider_changes_how_many_frames_are_in_flight() {
    if !ready() {
        return;
    }
    let (_dir, file) = common::model_file(&generators::negative(13).bytes());
    let element = stylize("cpu", file.to_str().expect("UTF-8"));
    element.set_property("frames-in-flight", 0_u32);
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str("video/x-raw,format=RGB,width=64,height=48,framerate=25/1");
    let in_flight = || {
        let stats = element.property::<gst::Structure>("stats");
        stats.get::<u32>("frames-in-flight").expect("a number")
    };
    let time = gst::ClockTime::from_mseconds(40);
    let mut number = 0;
    let mut push = |harness: &mut gst_check::Harness| {
        let grey = (number % 251) as u8;
        let mut buffer = gst::Buffer::from_slice([grey; 64 * 48 * 3]);
        buffer.get_mut().expect("fresh").set_pts(time * number);
        harness.push(buffer).expect("taken");
        number += 1;
        number
    };
    let mut pushed = 0;
    for (provider, frames) in [("webgpu", 2), ("cpu", 1), ("webgpu", 2), ("cpu", 1)] {
        element.set_property_from_str("execution-provider", provider);
        let begin = std::time::Instant::now();
        while in_flight() != frames {
            assert!(begin.elapsed().as_secs() < 120, "never on {provider}");
            push(&mut harness);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        for _ in 0..20 {
            pushed = push(&mut harness);
        }
    }
    for number in 0..pushed {
        let out = harness.pull().expect("a frame");
        assert_eq!(out.pts(), Some(time * number));
        let bytes = out.map_readable().expect("bytes");
        let grey = 255 - (number % 251) as u8;
        assert!(
            bytes.iter().all(|byte| byte.abs_diff(grey) <= 1),
            "{number}"
        );
    }
    assert!(harness.try_pull().is_none());
}

/// In a process of its own, because drivers are searched once.
#[test]
fn without_a_driver_it_is_one_error_and_never_the_cpu() {
    if std::env::var_os(CHILD).is_some() {
        assert!(ready());
        let element = stylize("webgpu", "lite");
        let error = common::refused(&element);
        let text = error.error.message();
        assert!(text.contains("webgpu is not available"), "{text}");
        assert!(text.contains("Vulkan driver"), "{text}");
        // The same element works on another provider.
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
