// SPDX-License-Identifier: MPL-2.0
//! What goes wrong around the element: the process ends while a generator is loaded, ONNX Runtime's file is
//! replaced while it runs, one of many elements fails. Each in a process of its own; docs/reliability.md has
//! what came out.
//!
//! `STYLIZE_FAULTS=200 cargo test --test faults` tries each so often; without it a few times.

mod common;

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::generators;
use gst::prelude::*;

/// Says to a child process what to do.
const CHILD: &str = "STYLIZE_FAULTS_CHILD";

fn times() -> u32 {
    std::env::var("STYLIZE_FAULTS").map_or(20, |n| n.parse().expect("a number"))
}

/// What this process is to do, if it is a child.
fn role() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Runs a test of this file in a process of its own, which knows its role.
fn child(test: &str, role: &str) -> Output {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, role)
        .output()
        .expect("a child process")
}

#[track_caller]
fn ended_well(output: &Output, what: &str) {
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{what}: {:?}: {log}",
        output.status
    );
}

fn line(model: &std::path::Path, more: &str) -> String {
    format!(
        "videotestsrc ! video/x-raw,format=RGB,width=64,height=48,framerate=200/1 \
         ! stylize name=s execution-provider=cpu threads=2 model-file={} {more} ! fakesink sync=false",
        model.display()
    )
}

fn play(line: &str) -> gst::Pipeline {
    let pipeline = gst::parse::launch(line).expect("a pipeline");
    pipeline.set_state(gst::State::Playing).expect("plays");
    pipeline.downcast().expect("a pipeline")
}

/// Milliseconds after the start, at all stages of loading, compiling and playing, in every way of waiting.
#[test]
fn a_process_may_end_while_a_generator_is_loaded() {
    if let Some(role) = role() {
        let (time, way) = role.split_once(' ').expect("time and way");
        common::init();
        let (dir, file) = common::model_file(&generators::negative(17).bytes());
        // ONNX Runtime is there: the process may not end while that is set up.
        let first = play(&line(&file, "").replace("videotestsrc", "videotestsrc num-buffers=1"));
        let bus = first.bus().expect("a bus");
        let end = [gst::MessageType::Eos, gst::MessageType::Error];
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &end)
            .expect("an end");
        first.set_state(gst::State::Null).expect("stopped");
        let line = line(&file, &format!("while-loading={way}"));
        // With `block` the start itself waits, so it is made elsewhere.
        std::thread::spawn(move || play(&line));
        std::thread::sleep(Duration::from_millis(time.parse().expect("a number")));
        drop(dir);
        std::process::exit(0);
    }
    for turn in 0..times() {
        let way = ["block", "passthrough", "hold"][turn as usize % 3];
        let role = format!("{} {way}", turn * 7 % 300);
        let output = child("a_process_may_end_while_a_generator_is_loaded", &role);
        ended_well(&output, &role);
    }
}

/// An update puts another file in the place of the library that this process has mapped.
#[test]
fn the_runtime_s_file_may_be_replaced_while_it_runs() {
    if role().is_some() {
        common::init();
        let setup = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/onnxruntime");
        let dir = tempfile::tempdir().expect("a folder");
        for entry in std::fs::read_dir(&setup).expect("`make setup`").flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("libonnxruntime") {
                std::fs::copy(entry.path(), dir.path().join(&name)).expect("a copy");
            }
        }
        let (_model, file) = common::model_file(&generators::negative(17).bytes());
        let runtime = format!("runtime-library={}", dir.path().display());
        let pipeline = play(&line(&file, &runtime));
        let stylize = pipeline.by_name("s").expect("the element");
        let frames = || {
            let stats = stylize.property::<gst::Structure>("stats");
            stats.get::<u64>("frames").expect("a number")
        };
        let go_on = |what: &str| {
            let (before, begin) = (frames(), std::time::Instant::now());
            while frames() < before + 50 {
                assert!(begin.elapsed().as_secs() < 120, "{what}");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        go_on("before");
        for entry in std::fs::read_dir(dir.path()).expect("a folder").flatten() {
            let new = dir.path().join("new");
            std::fs::write(&new, "another version").expect("a file");
            std::fs::rename(&new, entry.path()).expect("replaced");
        }
        go_on("after");
        // Another graph is compiled by what is loaded.
        stylize.set_property("inference-height", 24_u32);
        go_on("another graph");
        // And an element that starts now gets the same.
        let other = play(&line(&file, &runtime));
        for pipeline in [pipeline, other] {
            let bus = pipeline.bus().expect("a bus");
            assert!(common::errors(&bus).is_empty());
            pipeline.set_state(gst::State::Null).expect("stopped");
        }
        return;
    }
    let output = child("the_runtime_s_file_may_be_replaced_while_it_runs", "1");
    ended_well(&output, "replaced");
}

/// Sixteen elements that share a generator and its threads. One gets frames that it cannot take, one a model that is
/// none: one error each, and the others go on.
#[test]
fn one_of_sixteen_that_fails_is_alone() {
    common::init();
    let (dir, file) = common::model_file(&generators::negative(17).bytes());
    let counts: Vec<_> = (0..16).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let pipelines: Vec<_> = counts
        .iter()
        .map(|count| {
            let pipeline = play(
                &line(&file, "")
                    .replace("200/1", "50/1")
                    .replace("videotestsrc", "videotestsrc is-live=true"),
            );
            let sink = pipeline.iterate_sinks().into_iter().flatten().next();
            let pad = sink
                .and_then(|sink| sink.static_pad("sink"))
                .expect("a pad");
            let count = count.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                count.fetch_add(1, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
            pipeline
        })
        .collect();
    let go_on = |which: std::ops::Range<usize>, what: &str| {
        let begin = std::time::Instant::now();
        let before: Vec<_> = counts.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        for (count, before) in counts.iter().zip(before).take(which.end).skip(which.start) {
            while count.load(Ordering::Relaxed) < before + 5 {
                assert!(begin.elapsed().as_secs() < 120, "{what}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    };
    go_on(0..16, "all of them");
    let stylize = |index: usize| pipelines[index].by_name("s").expect("the element");
    // Too short for its caps: the fault of whoever made it.
    let pad = stylize(0).static_pad("sink").expect("a pad");
    let once = Mutex::new(true);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if std::mem::take(&mut *once.lock().expect("once")) {
            info.data = Some(gst::PadProbeData::Buffer(gst::Buffer::from_slice([0; 16])));
        }
        gst::PadProbeReturn::Ok
    });
    let bus = pipelines[0].bus().expect("a bus");
    let error =
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &[gst::MessageType::Error]);
    assert!(error.is_some(), "a short frame is an error");
    // A model that is none is a warning, and the old one goes on.
    let none = dir.path().join("none.onnx");
    std::fs::write(&none, "no model").expect("a file");
    stylize(1).set_property("model-file", none.to_str());
    let bus = pipelines[1].bus().expect("a bus");
    let warning = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Warning],
    );
    assert!(warning.is_some(), "no model is a warning");
    go_on(1..16, "all but one");
    for (index, pipeline) in pipelines.iter().enumerate() {
        let errors = common::errors(&pipeline.bus().expect("a bus"));
        assert!(index == 0 || errors.is_empty(), "{index}: {errors:?}");
        pipeline.set_state(gst::State::Null).expect("stopped");
    }
}
