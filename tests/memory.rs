// SPDX-License-Identifier: MPL-2.0
//! Too little memory for a frame: one error that says so, and no crash.

mod common;

use std::process::Command;

use gst::prelude::*;

/// Environment variable of the process with limited memory: the name of the provider.
const CHILD: &str = "STYLIZE_MEMORY_CHILD";

/// Plays a frame that is too large, then a small one, for which memory is free again.
fn child(provider: &str) {
    common::init();
    for (side, fits) in [(8192, false), (64, true)] {
        let pipeline = gst::parse::launch(&format!(
            "videotestsrc num-buffers=1 ! video/x-raw,format=RGB,width={side},height={side} \
             ! stylize execution-provider={provider} threads=1 ! fakesink"
        ));
        let pipeline: gst::Pipeline = pipeline.expect("a pipeline").downcast().expect("one");
        let bus = pipeline.bus().expect("a bus");
        pipeline.set_state(gst::State::Playing).expect("started");
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(300), &ends);
        match end.expect("an end").view() {
            gst::MessageView::Error(error) => {
                let (error, from) = (error.error(), error.src().expect("a source").name());
                assert!(!fits && from.starts_with("stylize"), "{from}: {error}");
                assert!(error.matches(gst::ResourceError::NoSpaceLeft), "{error}");
                assert!(error.message().contains("inference-height"), "{error}");
            }
            message => assert!(fits, "{message:?}"),
        }
        pipeline.set_state(gst::State::Null).expect("stopped");
    }
}

#[test]
fn too_little_memory_is_one_error_and_the_next_start_works() {
    if let Ok(provider) = std::env::var(CHILD) {
        return child(&provider);
    }
    let test = std::env::current_exe().expect("this test");
    for provider in common::PROVIDERS {
        let output = Command::new("sh")
            // Address space in KiB: enough to start, but not for such frames.
            .args(["-c", "ulimit -v 2500000; exec \"$@\"", "sh"])
            .arg(&test)
            .args([
                "--exact",
                "too_little_memory_is_one_error_and_the_next_start_works",
            ])
            .env(CHILD, provider)
            .output()
            .expect("a child process");
        let log = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{provider}: {said} {log}");
    }
}
