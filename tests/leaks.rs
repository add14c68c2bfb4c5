// SPDX-License-Identifier: MPL-2.0
//! State cycles, watched by GStreamer's own `leaks` tracer in a process of its own.
//!
//! `STYLIZE_CYCLES=1000 cargo test --test leaks` sets the number of cycles; the default is 200.

mod common;

use std::process::Command;

use common::generators;
use gst::prelude::*;

const CHILD: &str = "STYLIZE_LEAKS_CHILD";

fn cycles() -> usize {
    std::env::var("STYLIZE_CYCLES").map_or(200, |n| n.parse().expect("a number"))
}

/// Plays and stops a pipeline many times; the tracer writes what is still alive at the end.
fn child() {
    let (dir, file) = common::model_file(&generators::negative(17).bytes());
    common::init();
    {
        let line = format!(
            "videotestsrc num-buffers=2 ! video/x-raw,format=RGB,width=64,height=48 \
             ! stylize execution-provider=cpu threads=1 model-file={} ! fakesink",
            file.display()
        );
        let pipeline = gst::parse::launch(&line).expect("a pipeline");
        let bus = pipeline.bus().expect("a bus");
        for cycle in 0..cycles() {
            pipeline.set_state(gst::State::Playing).expect("playing");
            // Some cycles stop immediately, some at EOS.
            if cycle % 4 != 0 {
                let ends = [gst::MessageType::Eos, gst::MessageType::Error];
                let message = bus
                    .timed_pop_filtered(gst::ClockTime::from_seconds(30), &ends)
                    .expect("an end");
                assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
            }
            pipeline.set_state(gst::State::Null).expect("stopped");
        }
    }
    drop(dir);
    // SAFETY: nothing of GStreamer is used after this.
    unsafe { gst::deinit() };
}

#[test]
fn state_cycles_leak_nothing() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "state_cycles_leak_nothing", "--nocapture"])
        .env(CHILD, "1")
        .env("GST_TRACERS", "leaks(check-refs=true)")
        .env("GST_DEBUG", "GST_TRACER:7,leaks:7")
        .env("GST_DEBUG_NO_COLOR", "1")
        .output()
        .expect("a child process");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let leaks: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("object-alive, type-name=") && !line.contains("new format"))
        .collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    let clean = log.contains("checking for leaks") && log.contains("No objects alive");
    assert!(clean, "the tracer ran: {log}");
}
