// SPDX-License-Identifier: MPL-2.0
//! Faults outside the element: the process ends while a generator is loaded, ONNX Runtime's file is replaced while it
//! runs, one of many elements fails, a provider fails while it runs. docs/reliability.md has the results.
//!
//! `STYLIZE_FAULTS=200 cargo test --test faults` sets the number of tries of each; the default is small.

mod common;

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::generators;
use gst::prelude::*;

/// Environment variable with the role of a child process.
const CHILD: &str = "STYLIZE_FAULTS_CHILD";

fn times() -> u32 {
    std::env::var("STYLIZE_FAULTS").map_or(20, |n| n.parse().expect("a number"))
}

/// The role of this process, if it is a child.
fn role() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Runs a test of this file in a child process with this role.
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

/// Delays in ms: at all stages of loading, compiling and playing, with every value of `while-loading`.
#[test]
fn a_process_may_end_while_a_generator_is_loaded() {
    if let Some(role) = role() {
        let (time, way) = role.split_once(' ').expect("time and way");
        common::init();
        let (dir, file) = common::model_file(&generators::negative(17).bytes());
        // ONNX Runtime has been initialized; exit during its initialization is another test.
        let first = play(&line(&file, "").replace("videotestsrc", "videotestsrc num-buffers=1"));
        let bus = first.bus().expect("a bus");
        let end = [gst::MessageType::Eos, gst::MessageType::Error];
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &end)
            .expect("an end");
        first.set_state(gst::State::Null).expect("stopped");
        let line = line(&file, &format!("while-loading={way}"));
        // With `block` the state change blocks, so it is made on another thread.
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

/// The same while ONNX Runtime is loaded and initialized, which happens once in a process.
#[test]
fn a_process_may_end_while_the_runtime_is_loaded() {
    if let Some(role) = role() {
        let (time, way) = role.split_once(' ').expect("time and way");
        common::init();
        let (dir, file) = common::model_file(&generators::negative(17).bytes());
        let line = line(&file, &format!("while-loading={way}"));
        // Created by the thread that ends the process, and started on another one.
        let pipeline = gst::parse::launch(&line).expect("a pipeline");
        std::thread::spawn(move || pipeline.set_state(gst::State::Playing));
        std::thread::sleep(Duration::from_millis(time.parse().expect("a number")));
        drop(dir);
        std::process::exit(0);
    }
    // Short enough to be repeated often: one in thirty crashed.
    for turn in 0..5 * times() {
        let way = ["block", "passthrough", "hold"][turn as usize % 3];
        let role = format!("{} {way}", turn * 7 % 120);
        let output = child("a_process_may_end_while_the_runtime_is_loaded", &role);
        ended_well(&output, &role);
    }
}

/// An update replaces the library file that this process has mapped.
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
        // Another graph is compiled with the loaded library.
        stylize.set_property("inference-height", 24_u32);
        go_on("another graph");
        // An element that starts later gets the same.
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

/// Waits until this holds.
#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed().as_secs() < 120, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Elements that share a generator and its threads, each in a pipeline of its own.
struct Sixteen {
    pipelines: Vec<gst::Pipeline>,
    /// Number of output frames of each.
    counts: Vec<Arc<AtomicU64>>,
}

impl Sixteen {
    /// With properties by the element's number.
    fn play(model: &std::path::Path, properties: impl Fn(usize) -> String) -> Self {
        let counts: Vec<_> = (0..16).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let pipeline = |(index, count): (usize, &Arc<AtomicU64>)| {
            let line = line(model, &properties(index)).replace("200/1", "50/1");
            let pipeline = play(&line.replace("videotestsrc", "videotestsrc is-live=true"));
            let sink = pipeline.iterate_sinks().into_iter().flatten().next();
            let pad = sink.and_then(|sink| sink.static_pad("sink"));
            let count = count.clone();
            pad.expect("a pad")
                .add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                    count.fetch_add(1, Ordering::Relaxed);
                    gst::PadProbeReturn::Ok
                });
            pipeline
        };
        Self {
            pipelines: counts.iter().enumerate().map(pipeline).collect(),
            counts,
        }
    }

    /// Waits until each of these has output five more frames.
    #[track_caller]
    fn go_on(&self, which: std::ops::Range<usize>, what: &str) {
        let counts = &self.counts[which];
        let before: Vec<_> = counts.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        until(what, || {
            let mut pairs = counts.iter().zip(&before);
            pairs.all(|(count, before)| count.load(Ordering::Relaxed) >= before + 5)
        });
    }

    fn stylize(&self, index: usize) -> gst::Element {
        self.pipelines[index].by_name("s").expect("the element")
    }

    /// A field of the element's statistics.
    fn stat(&self, index: usize, name: &str) -> u64 {
        let stats = self.stylize(index).property::<gst::Structure>("stats");
        stats.get(name).expect("a number")
    }

    /// Waits for a message of the element itself.
    #[track_caller]
    fn wait_for(&self, index: usize, kind: gst::MessageType) -> gst::Message {
        let bus = self.pipelines[index].bus().expect("a bus");
        let begin = std::time::Instant::now();
        while begin.elapsed().as_secs() < 120 {
            let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(1), &[kind]);
            let own = |message: &gst::Message| message.src().is_some_and(|src| src.name() == "s");
            if let Some(message) = message.filter(own) {
                return message;
            }
        }
        panic!("{index}: no {kind:?}");
    }

    /// Stops all. Returns the numbers of further errors and warnings of each element.
    fn stop(self) -> Vec<usize> {
        let stop = |pipeline: &gst::Pipeline| {
            let bus = pipeline.bus().expect("a bus");
            let kinds = [gst::MessageType::Error, gst::MessageType::Warning];
            let messages = std::iter::from_fn(|| bus.pop_filtered(&kinds));
            let own = messages.filter(|message| message.src().is_some_and(|src| src.name() == "s"));
            let count = own.count();
            pipeline.set_state(gst::State::Null).expect("stopped");
            count
        };
        self.pipelines.iter().map(stop).collect()
    }
}

/// One element gets a frame that it cannot map, one a model that is invalid: one message each, and the others continue.
#[test]
fn one_of_sixteen_that_fails_is_alone() {
    common::init();
    let (dir, file) = common::model_file(&generators::negative(17).bytes());
    let sixteen = Sixteen::play(&file, |_| String::new());
    sixteen.go_on(0..16, "all of them");
    // Too short for its caps: an error of the element upstream.
    let pad = sixteen.stylize(0).static_pad("sink").expect("a pad");
    let once = Mutex::new(true);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if std::mem::take(&mut *once.lock().expect("once")) {
            info.data = Some(gst::PadProbeData::Buffer(gst::Buffer::from_slice([0; 16])));
        }
        gst::PadProbeReturn::Ok
    });
    sixteen.wait_for(0, gst::MessageType::Error);
    // An invalid model is a warning, and the old one stays in use.
    let none = dir.path().join("none.onnx");
    std::fs::write(&none, "no model").expect("a file");
    let stylize = sixteen.stylize(1);
    stylize.set_property("model-file", none.to_str());
    sixteen.wait_for(1, gst::MessageType::Warning);
    sixteen.go_on(1..16, "all but one");
    assert_eq!(sixteen.stop(), [0; 16], "one message each");
}

/// The provider fails within a stream for some elements that share a session: each follows its `on-error`, and the
/// session continues for all.
#[test]
fn a_provider_that_fails_while_it_runs_fails_for_those_frames_only() {
    common::init();
    let (_dir, file) = common::model_file(&generators::fragile().bytes());
    let sixteen = Sixteen::play(&file, |index| {
        let on_error = ["fail", "hold", "passthrough"][index % 3];
        format!("style=sound transition=0 on-error={on_error}")
    });
    sixteen.go_on(0..16, "all of them");
    let stats = sixteen.stylize(5).property::<gst::Structure>("stats");
    let holders = stats.get::<u32>("session-holders");
    assert_eq!(holders, Ok(16), "one session");
    for index in 0..3 {
        sixteen.stylize(index).set_property("style", "broken");
    }
    let error = sixteen.wait_for(0, gst::MessageType::Error);
    let gst::MessageView::Error(error) = error.view() else {
        panic!("{error:?}");
    };
    let text = error.error().message().to_string();
    assert!(text.contains("failed on a frame"), "{text}");
    for index in 1..3 {
        sixteen.wait_for(index, gst::MessageType::Warning);
    }
    sixteen.go_on(1..16, "all but one");
    for (index, shown) in [(1, "held"), (2, "passed")] {
        let failed = sixteen.stat(index, "failed");
        assert!(failed > 0, "{index}");
        until(&format!("{index}: all that failed are {shown}"), || {
            sixteen.stat(index, shown) >= failed
        });
        // The fault is gone: frames are stylized again.
        let before = sixteen.stat(index, "frames");
        sixteen.stylize(index).set_property("style", "sound");
        sixteen.go_on(index..index + 1, "mended");
        until(&format!("{index} is painted"), || {
            sixteen.stat(index, "frames") > before
        });
    }
    for index in 3..16 {
        assert_eq!(sixteen.stat(index, "failed"), 0, "{index}");
    }
    assert_eq!(sixteen.stop(), [0; 16], "one message each");
}
