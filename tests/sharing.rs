// SPDX-License-Identifier: MPL-2.0
//! Many elements in one process share a session if they have the same generator, and are otherwise independent.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::generators::{negative, slow};
use gst::prelude::*;
use gst_check::Harness;
use gststylize::engine::session::Blueprint;
use gststylize::engine::{Choice, Lease, Runtime};
use gststylize::stylize::GRAPH_NAMES;

const CAPS: &str = "video/x-raw,format=RGB,width=64,height=48,framerate=25/1";

fn harness(element: &gst::Element) -> Harness {
    let mut harness = Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_src_caps_str(CAPS);
    harness
}

/// Pushes a grey frame; returns the value of the output, which must be grey.
fn paint(harness: &mut Harness, grey: u8) -> u8 {
    let out = harness.push_and_pull(gst::Buffer::from_slice([grey; 64 * 48 * 3]));
    let out = out.expect("a frame");
    let bytes = out.map_readable().expect("bytes");
    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
    bytes[0]
}

fn holders(element: &gst::Element) -> u32 {
    let stats = element.property::<gst::Structure>("stats");
    stats.get("session-holders").expect("a field")
}

#[test]
fn elements_with_the_same_generator_share_a_session() {
    for provider in common::PROVIDERS {
        // A graph that no other test has, in two files.
        let bytes = negative(13).meta("stylize.name", provider).bytes();
        let (_dir, one) = common::element_on(provider, &bytes);
        let (_other_dir, other) = common::element_on(provider, &bytes);
        assert_eq!(holders(&one), 0);
        let (mut a, mut b) = (harness(&one), harness(&other));
        other.set_property("strength", 0.5);
        for grey in [0, 100, 255] {
            assert_eq!(paint(&mut a, grey), 255 - grey);
            assert!([127, 128].contains(&paint(&mut b, grey)), "half a negative");
        }
        assert_eq!((holders(&one), holders(&other)), (2, 2));

        // Another frame size is another graph.
        a.set_src_caps_str("video/x-raw,format=RGB,width=32,height=16,framerate=25/1");
        a.push_and_pull(gst::Buffer::from_slice([9; 32 * 16 * 3]))
            .expect("a frame");
        assert_eq!(holders(&one), 1);

        drop(a);
        one.set_state(gst::State::Null).expect("stopped");
        assert_eq!(holders(&one), 0);
        assert_eq!(holders(&other), 1);
        assert!([127, 128].contains(&paint(&mut b, 55)));
    }
}

/// Two elements share a slow session. The first has a frame in it; the second waits for its turn until `end` ends it,
/// which must not affect the first. Tried a few times, because on a busy machine the first may finish before that.
#[track_caller]
fn while_another_runs(end: impl Fn(&gst::Element)) {
    let sooner = (0..5).any(|_| ends_while_another_runs(&end));
    assert!(sooner, "waited for the other's frame");
}

/// Whether the second ended before the first finished.
fn ends_while_another_runs(end: impl Fn(&gst::Element)) -> bool {
    // A second or more.
    let bytes = slow(200).bytes();
    let (_dir, one) = common::element(&bytes);
    let (_other_dir, other) = common::element(&bytes);
    let caps = "video/x-raw,format=RGB,width=512,height=512,framerate=25/1";
    let frame = || gst::Buffer::from_slice([77; 512 * 512 * 3]);
    let [mut a, mut b] = [&one, &other].map(|element| {
        let mut harness = Harness::with_element(element, Some("sink"), Some("src"));
        harness.set_src_caps_str(caps);
        harness
    });
    let done = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let out = a.push_and_pull(frame());
            done.store(true, Ordering::SeqCst);
            out
        });
        std::thread::sleep(Duration::from_millis(100));
        let waiting = scope.spawn(|| b.push(frame()));
        std::thread::sleep(Duration::from_millis(100));
        end(&other);
        let flow = waiting.join().expect("no panic");
        let sooner = !done.load(Ordering::SeqCst);
        if sooner {
            assert_eq!(flow, Err(gst::FlowError::Flushing));
        }
        let out = running.join().expect("no panic").expect("a frame");
        let bytes = out.map_readable().expect("bytes");
        assert!(bytes.iter().all(|byte| *byte == 77));
        sooner
    })
}

#[test]
fn a_flush_of_one_that_waits_leaves_the_other_alone() {
    while_another_runs(|element| {
        let pad = element.static_pad("sink").expect("a pad");
        assert!(pad.send_event(gst::event::FlushStart::new()));
    });
}

#[test]
fn a_stop_of_one_that_waits_leaves_the_other_alone() {
    while_another_runs(|element| {
        element.set_state(gst::State::Null).expect("stopped");
    });
}

#[test]
fn sixteen_pipelines_play_to_their_ends() {
    const FRAMES: u64 = 40;
    let (_dir, file) = common::model_file(&negative(15).bytes());
    common::init();
    let line = format!(
        "videotestsrc num-buffers={FRAMES} ! video/x-raw,format=RGB,width=64,height=48 \
         ! stylize name=s execution-provider=cpu model-file={} ! fakesink",
        file.display()
    );
    let pipelines: Vec<gst::Pipeline> = (0..16)
        .map(|_| gst::parse::launch(&line).expect("a pipeline"))
        .map(|pipeline| pipeline.downcast().expect("a pipeline"))
        .collect();
    for pipeline in &pipelines {
        pipeline.set_state(gst::State::Playing).expect("plays");
    }
    for pipeline in &pipelines {
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let bus = pipeline.bus().expect("a bus");
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends);
        let message = message.expect("an end");
        assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    }
    for pipeline in &pipelines {
        let element = pipeline.by_name("s").expect("stylize");
        let stats = element.property::<gst::Structure>("stats");
        assert_eq!(stats.get::<u64>("frames"), Ok(FRAMES));
        assert_eq!(holders(&element), 16);
    }
    for pipeline in &pipelines {
        pipeline.set_state(gst::State::Null).expect("stopped");
    }
}

/// The graph that an element compiles for these frames.
fn compiled(name: &str) -> Vec<u8> {
    let (dir, element) = common::element(&negative(13).meta("stylize.name", name).bytes());
    let file = dir.path().join("graph.onnx");
    element.set_property("dump-graph", file.to_str());
    let _compiled = harness(&element);
    std::fs::read(Path::new(&file)).expect("a graph")
}

fn lease(graph: &[u8]) -> Lease {
    let blueprint = Blueprint {
        names: GRAPH_NAMES,
        style: None,
        noise: Vec::new(),
        mask: None,
        states: Vec::new(),
    };
    let runtime = Runtime::get(None).expect("ONNX Runtime");
    Lease::new(&runtime, graph, &Choice::cpu(), &blueprint).expect("a session")
}

#[test]
fn concurrent_loads_share_a_session() {
    const MANY: usize = 8;
    let graph = compiled("at once");
    for round in 0..10 {
        let start = Barrier::new(MANY);
        let leases: Vec<Lease> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..MANY)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        lease(&graph)
                    })
                })
                .collect();
            let leases = threads.into_iter().map(|thread| thread.join());
            leases.map(|lease| lease.expect("no panic")).collect()
        });
        for lease in &leases {
            assert_eq!(lease.canceller().holders(), MANY, "round {round}");
        }
    }
}

/// Until the next frame, the streaming thread keeps a canceller and a runner of the generator that was replaced.
/// Dropping the session, which may be slow, is done by the thread that disposes of the old generator.
#[test]
fn cancelling_does_not_drop_the_session() {
    let lease = lease(&compiled("dropped"));
    let (canceller, other) = (lease.canceller(), lease.clone());
    drop(lease);
    assert_eq!(canceller.holders(), 1);
    drop(other);
    assert_eq!(canceller.holders(), 0);
    // Nothing is left to cancel.
    canceller.cancel();
    canceller.reset().expect("allowed again");
}
