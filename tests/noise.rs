// SPDX-License-Identifier: MPL-2.0
//! Generators with noise inputs: the element supplies noise, one picture for each seed.

mod common;

use common::generators::{F32, Net, text};
use common::picture::Picture;
use common::play::play;
use gst::prelude::*;

/// Grey 128 with noise of deviation 40 in 2x2 blocks, the same in all channels; only the size depends on the input.
fn net(noise: &str) -> Net {
    Net::new(13)
        .input("x", F32, &[1, 3, -1, -1])
        .input("coarse:noise", F32, &[1, 1, -1, -1])
        .output("y", F32, &[1, 3, -1, -1])
        .meta("stylize.noise", noise)
        .meta("stylize.input-range", "0,255")
        .meta("stylize.size-multiple", "2")
        .meta("stylize.size-minimum", "16")
        .floats("nothing", &[], &[0.0])
        .floats("middle", &[], &[128.0])
        .floats("deviation", &[], &[40.0])
        .floats("twice", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("Mul", &["x", "nothing"], "flat", vec![])
        .node("Add", &["flat", "middle"], "grey", vec![])
        .node(
            "Resize",
            &["coarse:noise", "", "twice"],
            "blocks",
            vec![text("mode", "nearest")],
        )
        .node("Mul", &["blocks", "deviation"], "grain", vec![])
        .node("Add", &["grey", "grain"], "y", vec![])
}

#[test]
fn one_picture_for_each_seed() {
    for provider in common::PROVIDERS {
        let (_dir, element) = common::element_on(provider, &net("coarse:noise:1:2").bytes());
        let source = Picture::varied(101, 64);
        let seen = [0_u32, 0, 7, 0].map(|seed| {
            element.set_property("seed", seed);
            play(&element, &source).0
        });
        assert_eq!(seen[0], seen[1]);
        assert_ne!(seen[0], seen[2]);
        assert_eq!(seen[0], seen[3]);

        let grey = |x: usize, y: usize| f64::from(seen[0].pixels[y * 101 + x][0]);
        let cells = (0..50 * 32).map(|i| grey(i % 50 * 2, i / 50 * 2));
        let mean = cells.clone().sum::<f64>() / 1600.0;
        let deviation = (cells.map(|v| (v - mean).powi(2)).sum::<f64>() / 1600.0).sqrt();
        assert!((mean - 128.0).abs() < 4.0, "{mean}");
        assert!((deviation - 40.0).abs() < 3.0, "{deviation}");
        for (x, y) in [(0, 0), (48, 30), (98, 62)] {
            let block = [(0, 1), (1, 0), (1, 1)].map(|(dx, dy)| grey(x + dx, y + dy));
            assert_eq!(block, [grey(x, y); 3], "{x} {y}");
        }
    }
}

#[test]
fn the_seed_changes_while_frames_flow() {
    let (_dir, element) = common::element(&net("coarse:noise:1:2").bytes());
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str("video/x-raw,format=RGB,width=32,height=32,framerate=25/1");
    let frames = [1_u32, 1, 2].map(|seed| {
        element.set_property("seed", seed);
        let buffer = gst::Buffer::from_slice([9; 32 * 32 * 3]);
        let out = harness.push_and_pull(buffer).expect("a frame");
        out.map_readable().expect("bytes").to_vec()
    });
    assert_eq!(frames[0], frames[1]);
    assert_ne!(frames[0], frames[2]);
    let stats = element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("compiled-graphs"), Ok(1));
}

#[test]
fn a_list_that_does_not_fit_the_graph_is_refused() {
    for noise in ["coarse:noise", "other:1:2", "coarse:noise:1:2,x"] {
        let (_dir, element) = common::element(&net(noise).bytes());
        let error = common::refused(&element);
        let text = error.error.message();
        assert!(text.contains("stylize.noise"), "{text}");
    }
}

#[test]
fn an_input_that_is_not_listed_is_still_refused() {
    let mut net = net("coarse:noise:1:2");
    net.model.metadata_props.clear();
    let (_dir, element) = common::element(&net.bytes());
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    element.set_state(gst::State::Null).expect("stopped");
    let text = format!("{:?}", common::errors(&bus));
    assert!(text.contains("exactly one image input"), "{text}");
    assert!(text.contains("coarse:noise"), "{text}");
}

/// Mean difference of two frames' bytes.
fn apart(one: &gst::Buffer, other: &gst::Buffer) -> f64 {
    let (one, other) = (one.map_readable(), other.map_readable());
    let (one, other) = (one.expect("bytes"), other.expect("bytes"));
    let sum: f64 = (one.iter().zip(other.iter()))
        .map(|(a, b)| f64::from(a.abs_diff(*b)))
        .sum();
    sum / one.len() as f64
}

#[test]
fn nothing_is_kept_across_a_gap() {
    let (_dir, element) = common::element(&net("coarse:noise:1:2").bytes());
    element.set_property("stability", 1.0);
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str("video/x-raw,format=RGB,width=64,height=48,framerate=25/1");
    const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);
    let mut number = 0;
    let mut frame = |flags| {
        let mut buffer = gst::Buffer::from_slice([90; 64 * 48 * 3]);
        let fresh = buffer.get_mut().expect("fresh");
        fresh.set_pts(FRAME * number);
        fresh.set_duration(FRAME);
        fresh.set_flags(flags);
        number += 1;
        buffer
    };
    let none = gst::BufferFlags::empty();
    let mut last = harness.push_and_pull(frame(none)).expect("a painting");
    for (seed, how) in ["event", "flag", "discont", "dropped"]
        .into_iter()
        .enumerate()
    {
        element.set_property("seed", seed as u32 + 1);
        let still = harness.push_and_pull(frame(none)).expect("a painting");
        assert!(apart(&still, &last) < 1.0, "{how}: the past is kept");
        let flags = match how {
            "event" => {
                let begin = gst::ClockTime::ZERO;
                harness.push_event(gst::event::Gap::builder(begin).build());
                none
            }
            "flag" => gst::BufferFlags::GAP,
            "discont" => gst::BufferFlags::DISCONT,
            _ => {
                let gone = frame(gst::BufferFlags::DISCONT);
                let late = gone.pts().expect("a time");
                let qos = gst::event::Qos::new(gst::QOSType::Underflow, 1.0, 0, late);
                harness.push_upstream_event(qos);
                harness.push(gone).expect("dropped");
                assert!(harness.try_pull().is_none(), "it was dropped");
                none
            }
        };
        let next = harness.push_and_pull(frame(flags)).expect("a painting");
        assert!(
            apart(&next, &last) > 10.0,
            "{how}: the past is kept all the same"
        );
        last = next;
    }
}
