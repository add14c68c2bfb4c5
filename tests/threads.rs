// SPDX-License-Identifier: MPL-2.0
//! No thread of the element exists after its stop. A single test, because it lists the threads of the whole process.

#![cfg(target_os = "linux")]

mod common;

use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_check::Harness;

/// The element's threads at present.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_string())
        .filter(|name| name.starts_with("stylize-"))
        .collect()
}

/// Threads that remain: the kernel may list a joined thread for a moment.
fn left() -> Vec<String> {
    let begin = Instant::now();
    while !threads().is_empty() && begin.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    threads()
}

/// Whether the compiler's thread is there. Linux keeps 15 letters of its name.
fn compiling() -> bool {
    threads().iter().any(|name| name == "stylize-compile")
}

fn element(properties: &[(&str, &str)]) -> gst::Element {
    common::init();
    let element = gst::ElementFactory::make("stylize").build().expect("one");
    for (name, value) in properties {
        element.set_property_from_str(name, value);
    }
    element
}

#[test]
fn stops_and_flushes_wait_for_no_compiler_and_leave_no_thread() {
    // Stopped during loading, compiling, and a change of generators.
    for pause in [0, 5, 30, 100, 300] {
        let element = element(&[("while-loading", "passthrough")]);
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps_str("video/x-raw,format=RGB,width=640,height=480,framerate=25/1");
        let frame = || gst::Buffer::from_slice(vec![7; 640 * 480 * 3]);
        harness.push(frame()).expect("taken");
        std::thread::sleep(Duration::from_millis(pause));
        harness.push(frame()).expect("taken");
        element.set_property_from_str("quality", "full");
        harness.push(frame()).expect("taken");
        element.set_state(gst::State::Null).expect("stopped");
        assert_eq!(left(), Vec::<String>::new(), "after {pause} ms");
    }

    // A flush while the streaming thread waits for a graph: the thread continues while the graph is still being
    // compiled. On a busy machine, compiling may end before the flush.
    let sooner = (0..10).any(|_| flush_while_compiling());
    assert!(sooner, "a flush waits for the compiler");
    assert_eq!(left(), Vec::<String>::new());
}

/// Whether the streaming thread continues before compiling has ended.
fn flush_while_compiling() -> bool {
    let element = element(&[]);
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    let sink = element.static_pad("sink").expect("a pad");
    let caps = "video/x-raw,format=RGB,width=1920,height=1080,framerate=25/1";
    let sooner = std::thread::scope(|scope| {
        let set = scope.spawn(|| {
            harness.set_src_caps_str(caps);
            compiling()
        });
        // Waits until it is compiling: an earlier flush would prevent compiling.
        let begin = Instant::now();
        while !compiling() && !set.is_finished() {
            assert!(begin.elapsed() < Duration::from_secs(60), "never compiles");
            std::thread::yield_now();
        }
        assert!(sink.send_event(gst::event::FlushStart::new()));
        let sooner = set.join().expect("no panic");
        assert!(sink.send_event(gst::event::FlushStop::new(true)));
        sooner
    });
    // The same graph is awaited again instead of compiled again.
    harness.set_src_caps_str(caps);
    let frame = gst::Buffer::from_slice(vec![7; 1920 * 1080 * 3]);
    harness.push_and_pull(frame).expect("a painting");
    element.set_state(gst::State::Null).expect("stopped");
    sooner
}
