// SPDX-License-Identifier: MPL-2.0
//! Memory layouts of source frames: few graphs are compiled while strides change, and every frame is painted.

mod common;

use std::time::{Duration, Instant};

use common::generators::negative;
use gst::glib::{self, ffi::gpointer};
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoFrameFlags};

const WIDTH: usize = 64;
const HEIGHT: usize = 48;

/// A frame of this value whose rows have this number of padding bytes.
fn padded(value: u8, padding: usize) -> gst::Buffer {
    let stride = WIDTH * 3 + padding;
    described(vec![vec![value; stride * HEIGHT]], stride)
}

/// A frame of these memories with this stride in bytes.
fn described(memories: Vec<Vec<u8>>, stride: usize) -> gst::Buffer {
    let mut buffer = gst::Buffer::new();
    let fresh = buffer.get_mut().expect("fresh");
    for memory in memories {
        fresh.append_memory(gst::Memory::from_mut_slice(memory));
    }
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
    // After the first painting no frame is passed through.
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

/// A `GstVideoMeta::map` that sets the plane and leaves the `GstMapInfo` empty except for its user data, as a source
/// with its own memory may do.
unsafe extern "C" fn map_without_info(
    meta: *mut gst_video::ffi::GstVideoMeta,
    plane: u32,
    info: *mut gst::ffi::GstMapInfo,
    data: *mut gpointer,
    stride: *mut i32,
    flags: gst::ffi::GstMapFlags,
) -> glib::ffi::gboolean {
    // SAFETY: GStreamer passes a meta of a buffer, a plane that it has and pointers to write to. All bits 0 are a
    // valid `GstMapInfo`. The mapping belongs to `info` until `unmap_without_info`.
    unsafe {
        let mut mapping = Box::new(std::mem::zeroed::<gst::ffi::GstMapInfo>());
        let buffer = (*meta).buffer;
        let mapped = gst::ffi::gst_buffer_map(buffer, &raw mut *mapping, flags);
        if mapped != glib::ffi::GFALSE {
            *data = mapping.data.add((*meta).offset[plane as usize]).cast();
            *stride = (*meta).stride[plane as usize];
            *info = std::mem::zeroed();
            (*info).user_data[0] = Box::into_raw(mapping).cast();
        }
        mapped
    }
}

/// Undoes [`map_without_info`].
unsafe extern "C" fn unmap_without_info(
    meta: *mut gst_video::ffi::GstVideoMeta,
    _plane: u32,
    info: *mut gst::ffi::GstMapInfo,
) -> glib::ffi::gboolean {
    // SAFETY: GStreamer passes the `info` of a call of `map_without_info` that returned true, once.
    unsafe {
        let mapping = (*info).user_data[0].cast::<gst::ffi::GstMapInfo>();
        let mut mapping = Box::from_raw(mapping);
        gst::ffi::gst_buffer_unmap((*meta).buffer, &raw mut *mapping);
    }
    glib::ffi::GTRUE
}

#[test]
fn a_meta_with_its_own_map_function_is_painted() {
    let (_dir, _element, mut harness) = harness(&[]);
    let mut frame = padded(7, 16);
    let fresh = frame.get_mut().expect("fresh");
    let mut meta = fresh.meta_mut::<gst_video::VideoMeta>().expect("a meta");
    let raw = meta.as_mut_ptr();
    // SAFETY: the meta is borrowed mutably, and both functions keep the contract of the fields.
    unsafe {
        (*raw).map = Some(map_without_info);
        (*raw).unmap = Some(unmap_without_info);
    }
    let out = harness.push_and_pull(frame).expect("a painting");
    assert_eq!(value(&out), 255 - 7);
}

#[test]
fn a_packed_frame_in_several_memories_is_painted() {
    let (_dir, _element, mut harness) = harness(&[]);
    let stride = WIDTH * 3 + 16;
    // The memories are divided in the middle of a row.
    let first = stride * HEIGHT / 3 + 7;
    let frame = described(
        vec![vec![7; first], vec![7; stride * HEIGHT - first]],
        stride,
    );
    assert_eq!(frame.n_memory(), 2);
    let out = harness.push_and_pull(frame).expect("a painting");
    assert_eq!(value(&out), 255 - 7);
}

#[test]
fn a_meta_of_another_size_is_refused() {
    let (_dir, _element, mut harness) = harness(&[]);
    let mut frame = gst::Buffer::from_mut_slice(vec![7_u8; WIDTH * 3 * HEIGHT]);
    let fresh = frame.get_mut().expect("fresh");
    let format = VideoFormat::Rgb;
    let (width, height) = (WIDTH as u32 / 2, HEIGHT as u32);
    gst_video::VideoMeta::add(fresh, VideoFrameFlags::empty(), format, width, height)
        .expect("a meta");
    assert_eq!(harness.push(frame), Err(gst::FlowError::Error));
}

/// An I420 frame with a memory for each plane, so that it is copied, whose meta has these offsets and strides.
fn planar(offsets: &[usize; 3], strides: &[i32; 3]) -> gst::Buffer {
    let mut buffer = gst::Buffer::new();
    let fresh = buffer.get_mut().expect("fresh");
    for samples in [WIDTH * HEIGHT, WIDTH * HEIGHT / 4, WIDTH * HEIGHT / 4] {
        fresh.append_memory(gst::Memory::from_mut_slice(vec![128_u8; samples]));
    }
    let flags = VideoFrameFlags::empty();
    let (format, width, height) = (VideoFormat::I420, WIDTH as u32, HEIGHT as u32);
    gst_video::VideoMeta::add_full(fresh, flags, format, width, height, offsets, strides)
        .expect("a meta");
    buffer
}

#[test]
fn a_frame_outside_its_memory_is_one_error() {
    for (offsets, strides, reason) in [
        ([0, 3072, 3841], [64, 32, 32], "ends at byte 4609"),
        ([0, 3072, 3840], [64, 66, 32], "ends at byte 4622"),
        ([0, 3072, 3840], [128, 32, 32], "a stride of 128"),
        ([0, 3072, 4576], [64, 32, -32], "stride of -32 bytes"),
    ] {
        for while_loading in ["block", "passthrough"] {
            let (_dir, element) = common::element(&negative(13).bytes());
            element.set_property_from_str("while-loading", while_loading);
            let bus = gst::Bus::new();
            element.set_bus(Some(&bus));
            let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
            harness.set_src_caps_str("video/x-raw,format=I420,width=64,height=48,framerate=25/1");
            let right = planar(&[0, 3072, 3840], &[64, 32, 32]);
            harness.push_and_pull(right).expect("a frame");
            let pushed = harness.push(planar(&offsets, &strides));
            assert_eq!(pushed, Err(gst::FlowError::Error), "{reason}");
            let errors = common::errors(&bus);
            let [error] = &errors[..] else {
                panic!("{reason}: {} errors", errors.len());
            };
            let text = error.error.message();
            assert!(
                text.starts_with("A frame's memory cannot be used: "),
                "{text}"
            );
            assert!(text.contains(reason), "{text}");
            assert!(text.contains("Correct the element"), "{text}");
        }
    }
}
