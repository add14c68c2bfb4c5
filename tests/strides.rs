// SPDX-License-Identifier: MPL-2.0
//! Sources whose strides change: few graphs are compiled, and every frame is painted.

mod common;

use std::time::{Duration, Instant};

use common::generators::negative;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoFrameFlags};

const WIDTH: usize = 64;
const HEIGHT: usize = 48;

/// A frame of this value whose rows have so many bytes more than they need.
fn padded(value: u8, padding: usize) -> gst::Buffer {
    let stride = WIDTH * 3 + padding;
    let mut buffer = gst::Buffer::from_mut_slice(vec![value; stride * HEIGHT]);
    let fresh = buffer.get_mut().expect("fresh");
    gst_video::VideoMeta::add_full(
        fresh,
        VideoFrameFlags::empty(),
        VideoFormat::Rgb,
        WIDTH as u32,
        HEIGHT as u32,
        &[0],
        &[stride as i32],
    )
    .expect("a meta");
    buffer
}

fn value(buffer: &gst::Buffer) -> u8 {
    let bytes = buffer.map_readable().expect("bytes");
    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
    bytes[0]
}

fn harness(properties: &[(&str, &str)]) -> (tempfile::TempDir, gst::Element, Harness) {
    let (dir, element) = common::element(&negative(13).bytes());
    for (name, value) in properties {
        element.set_property_from_str(name, value);
    }
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str("video/x-raw,format=RGB,width=64,height=48,framerate=25/1");
    (dir, element, harness)
}

fn compiled(element: &gst::Element) -> u64 {
    let stats = element.property::<gst::Structure>("stats");
    stats.get("compiled-graphs").expect("a number")
}

#[test]
fn many_strides_take_few_graphs() {
    let (_dir, element, mut harness) = harness(&[]);
    for round in 0..3 {
        for step in 0..8_u8 {
            let frame = padded(step, usize::from(step) * 16);
            let out = harness.push_and_pull(frame).expect("a painting");
            assert_eq!(value(&out), 255 - step, "round {round}");
        }
    }
    assert_eq!(compiled(&element), 3);
}

#[test]
fn alternating_strides_are_painted_while_graphs_are_compiled() {
    let (_dir, element, mut harness) = harness(&[("while-loading", "passthrough")]);
    let begin = Instant::now();
    let mut number = 0_u8;
    // From the first painting on nothing passes.
    let mut painted = 0;
    while painted < 50 {
        assert!(begin.elapsed() < Duration::from_secs(120), "never");
        number = (number + 1) % 100;
        let frame = padded(number, usize::from(number % 4) * 16);
        match value(&harness.push_and_pull(frame).expect("a frame")) {
            out if out == 255 - number => painted += 1,
            out => assert_eq!((out, painted), (number, 0)),
        }
    }
    assert!(compiled(&element) <= 3, "{}", compiled(&element));
}
