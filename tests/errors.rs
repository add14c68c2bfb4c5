// SPDX-License-Identifier: MPL-2.0
//! Bad input: a single element error with a fitting domain and code and an actionable message; the same pipeline plays
//! once the cause is removed.

mod common;

use std::path::{Path, PathBuf};

use common::generators::{self, F32, I64, NCHW, Net};
use gst::glib;
use gst::prelude::*;

/// `videotestsrc ! stylize name=under-test ! fakesink`, ten small frames.
fn pipeline(properties: &str) -> gst::Pipeline {
    common::init();
    let line = format!(
        "videotestsrc num-buffers=10 ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1 \
         ! stylize name=under-test execution-provider=cpu threads=1 {properties} ! fakesink"
    );
    gst::parse::launch(&line)
        .expect("a pipeline")
        .downcast()
        .expect("a pipeline")
}

/// Plays until the end or the first error; returns the errors of the element under test.
fn play(pipeline: &gst::Pipeline) -> Vec<common::Report> {
    let bus = pipeline.bus().expect("a bus");
    if pipeline.set_state(gst::State::Playing).is_ok() {
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &ends);
        let message = message.expect("an end");
        if message.type_() == gst::MessageType::Error {
            bus.post(message).expect("posted again");
        }
    }
    // The bus is emptied in the state NULL, so it is read before, when no thread runs any more.
    pipeline.set_state(gst::State::Ready).expect("stopped");
    let mut errors = common::errors(&bus);
    errors.retain(|error| error.source == "under-test");
    pipeline.set_state(gst::State::Null).expect("stopped");
    errors
}

fn element(pipeline: &gst::Pipeline) -> gst::Element {
    pipeline.by_name("under-test").expect("the element")
}

/// Plays a pipeline that must fail, removes the cause, and plays it to its end.
#[track_caller]
fn fails_once<E: glib::error::ErrorDomain + PartialEq + std::fmt::Debug>(
    pipeline: &gst::Pipeline,
    code: E,
    words: &[&str],
    mend: impl FnOnce(&gst::Element),
) {
    let errors = play(pipeline);
    let [error] = errors.as_slice() else {
        panic!("one error, not {errors:?}");
    };
    assert_eq!(error.error.kind::<E>(), Some(code), "{error:?}");
    let text = error.error.message();
    for word in words {
        assert!(text.contains(word), "\"{word}\" in: {text}");
    }
    assert!(
        text.ends_with('.') && !text.contains('\n'),
        "a sentence: {text}"
    );
    mend(&element(pipeline));
    let errors = play(pipeline);
    assert!(errors.is_empty(), "after mending: {errors:?}");
}

/// A model file that fails; the fix sets a good one.
#[track_caller]
fn bad_model<E: glib::error::ErrorDomain + PartialEq + std::fmt::Debug>(
    file: &Path,
    code: E,
    words: &[&str],
) {
    let good = common::model_file(&generators::identity(17).bytes());
    let pipeline = pipeline("");
    element(&pipeline).set_property("model-file", file.to_str().expect("UTF-8"));
    fails_once(&pipeline, code, words, |element| {
        element.set_property("model-file", good.1.to_str().expect("UTF-8"));
    });
}

#[track_caller]
fn bad_bytes<E: glib::error::ErrorDomain + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    code: E,
    words: &[&str],
) {
    let (_dir, file) = common::model_file(bytes);
    bad_model(&file, code, words);
}

#[test]
fn model_that_is_missing() {
    let file = Path::new("/nowhere/style.onnx");
    bad_model(
        file,
        gst::ResourceError::NotFound,
        &["/nowhere/style.onnx", "does not exist", "model-file"],
    );
}

#[test]
fn model_that_is_a_directory() {
    let dir = tempfile::tempdir().expect("a folder");
    bad_model(
        dir.path(),
        gst::ResourceError::OpenRead,
        &["is a directory"],
    );
}

#[test]
#[cfg(target_os = "linux")]
fn model_that_cannot_be_read() {
    // Reading it fails for every user, root included.
    let file = PathBuf::from("/proc/self/mem");
    bad_model(&file, gst::ResourceError::OpenRead, &["cannot be read"]);
}

#[test]
fn model_that_is_empty() {
    bad_bytes(b"", gst::StreamError::WrongType, &["empty"]);
}

#[test]
fn model_that_is_not_onnx() {
    let words = ["not an ONNX model"];
    bad_bytes(
        b"<!DOCTYPE html><p>404",
        gst::StreamError::WrongType,
        &words,
    );
    bad_bytes(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        gst::StreamError::WrongType,
        &words,
    );
    bad_bytes(&[0; 4096], gst::StreamError::WrongType, &words);
}

#[test]
fn model_that_is_cut_short() {
    let whole = gststylize::gallery::LITE.onnx;
    for tenth in 0..10 {
        let cut = &whole[..whole.len() * (2 * tenth + 1) / 20];
        bad_bytes(cut, gst::StreamError::WrongType, &["damaged or cut short"]);
    }
}

#[test]
fn model_of_wrong_rank() {
    let net = Net::new(17)
        .input("vector", F32, &[1, 100])
        .output("y", F32, &[1, 100])
        .node("Identity", &["vector"], "y", vec![]);
    bad_bytes(
        &net.bytes(),
        gst::StreamError::Format,
        &["vector [1, 100]", "not an image"],
    );
}

#[test]
fn model_with_two_image_inputs() {
    let net = Net::new(17)
        .input("content", F32, &NCHW)
        .input("style", F32, &NCHW)
        .output("y", F32, &NCHW)
        .node("Add", &["content", "style"], "y", vec![]);
    bad_bytes(
        &net.bytes(),
        gst::StreamError::Format,
        &["content [1, 3, ?, ?]", "style [1, 3, ?, ?]", "exactly one"],
    );
}

#[test]
fn model_without_an_image_output() {
    let net = Net::new(17)
        .input("x", F32, &NCHW)
        .output("score", F32, &[1, 10])
        .node("GlobalAveragePool", &["x"], "score", vec![]);
    bad_bytes(
        &net.bytes(),
        gst::StreamError::Format,
        &["score [1, 10]", "no image output"],
    );
}

#[test]
fn model_of_an_unsupported_type() {
    let net = Net::new(17)
        .input("x", I64, &NCHW)
        .output("y", I64, &NCHW)
        .node("Identity", &["x"], "y", vec![]);
    bad_bytes(
        &net.bytes(),
        gst::StreamError::Format,
        &["int64", "float32"],
    );
}

#[test]
fn model_with_an_unknown_operator() {
    let mut net = generators::identity(17);
    net.model.graph.get_or_insert_default().node[0].op_type = "Impressionism".into();
    bad_bytes(
        &net.bytes(),
        gst::StreamError::WrongType,
        &["ONNX Runtime cannot run", "Impressionism"],
    );
}

#[test]
fn model_that_changes_the_size() {
    let net = Net::new(17)
        .input("x", F32, &NCHW)
        .output("y", F32, &NCHW)
        .floats("twice", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("Resize", &["x", "", "twice"], "y", vec![]);
    bad_bytes(&net.bytes(), gst::StreamError::Format, &["keep the size"]);
}

#[test]
fn model_of_an_ancient_operator_set() {
    let mut net = generators::identity(17);
    net.model.opset_import[0].version = 6;
    bad_bytes(
        &net.bytes(),
        gst::StreamError::WrongType,
        &["operator set 6"],
    );
}

#[test]
fn provider_that_is_missing() {
    let pipeline = pipeline("");
    element(&pipeline).set_property_from_str("execution-provider", "coreml");
    fails_once(
        &pipeline,
        gst::LibraryError::Init,
        &["coreml", "not available", "Apple"],
        |element| element.set_property_from_str("execution-provider", "cpu"),
    );
}

#[test]
fn precision_that_the_provider_lacks() {
    fails_once(
        &pipeline("precision=bf16"),
        gst::LibraryError::Settings,
        &["cpu", "bf16", "fp32"],
        |element| element.set_property_from_str("precision", "auto"),
    );
}

#[test]
fn range_that_is_nonsense() {
    fails_once(
        &pipeline("input-range=warm"),
        gst::LibraryError::Settings,
        &["input-range=warm", "min,max"],
        |element| element.set_property("input-range", None::<String>),
    );
}

#[test]
fn frames_that_are_too_small() {
    let pipeline = pipeline("");
    // Sent directly to the pad, so that caps are not checked when pads are linked.
    let element = element(&pipeline);
    let bus = gst::Bus::new();
    let mut harness = gst_check::Harness::new("stylize");
    let small = harness.element().expect("the element");
    small.set_bus(Some(&bus));
    let caps = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, 8, 240)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .and_then(|info| info.to_caps())
        .expect("caps");
    harness.set_src_caps(caps);
    let flow = harness.push(gst::Buffer::with_size(24 * 240).expect("a buffer"));
    assert_eq!(flow, Err(gst::FlowError::NotNegotiated));
    let errors = common::errors(&bus);
    let [error] = errors.as_slice() else {
        panic!("one error, not {errors:?}");
    };
    assert_eq!(error.error.kind(), Some(gst::StreamError::Format));
    assert!(error.error.message().contains("8x240"), "{error:?}");
    drop(element);
}

#[test]
fn values_out_of_range_are_refused_by_gobject() {
    let pipeline = pipeline("strength=0.5");
    let element = element(&pipeline);
    let pspec = element.find_property("strength").expect("a property");
    let pspec = pspec.downcast::<glib::ParamSpecDouble>().expect("a double");
    assert_eq!((pspec.minimum(), pspec.maximum()), (0.0, 1.0));
    let set = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        element.set_property("strength", 1.5);
    }));
    assert!(set.is_err());
    assert_eq!(element.property::<f64>("strength"), 0.5);
}

#[test]
fn stopping_while_a_frame_is_in_work_does_not_hang() {
    common::init();
    for round in 0..10 {
        let pipeline = gst::parse::launch(
            "videotestsrc ! video/x-raw,format=RGB,width=640,height=480,framerate=1000/1 \
             ! stylize execution-provider=cpu ! fakesink sync=false",
        )
        .expect("a pipeline");
        pipeline.set_state(gst::State::Playing).expect("playing");
        std::thread::sleep(std::time::Duration::from_millis(20 * round));
        pipeline.set_state(gst::State::Null).expect("stopped");
    }
}
