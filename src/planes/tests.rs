// SPDX-License-Identifier: MPL-2.0
use gst_video::{VideoFormat, VideoFrameFlags, VideoMeta};

use super::*;

const WIDTH: u32 = 16;
const HEIGHT: u32 = 8;
/// Rows and bytes of the planes of I420.
const EXTENTS: [(usize, usize); 3] = [(8, 16), (4, 8), (4, 8)];
const STRIDES: [i32; 3] = [16, 8, 8];

fn info() -> VideoInfo {
    gst::init().expect("GStreamer");
    let info = VideoInfo::builder(VideoFormat::I420, WIDTH, HEIGHT);
    info.offset(&[0, 128, 160])
        .stride(&STRIDES)
        .build()
        .expect("a format")
}

/// Memories of these lengths, filled with a value that counts up from `from`, and a meta.
fn buffer(lengths: &[usize], from: u8, offsets: &[usize], strides: &[i32]) -> gst::Buffer {
    gst::init().expect("GStreamer");
    let mut buffer = gst::Buffer::new();
    let fresh = buffer.get_mut().expect("fresh");
    let mut values = from..=u8::MAX;
    for len in lengths {
        let bytes: Vec<u8> = values.by_ref().take(*len).collect();
        assert_eq!(bytes.len(), *len);
        fresh.append_memory(gst::Memory::from_mut_slice(bytes));
    }
    let flags = VideoFrameFlags::empty();
    VideoMeta::add_full(
        fresh,
        flags,
        VideoFormat::I420,
        WIDTH,
        HEIGHT,
        offsets,
        strides,
    )
    .expect("a meta");
    buffer
}

fn copied(source: &gst::Buffer, target: &mut gst::Buffer) -> Result<(), PlaneError> {
    let target = target.get_mut().expect("not shared");
    copy(&info(), EXTENTS.into_iter(), source, target)
}

fn bytes(buffer: &gst::Buffer) -> Vec<u8> {
    buffer.map_readable().expect("bytes").to_vec()
}

#[test]
fn planes_are_copied_between_memories_that_end_anywhere() {
    let info = info();
    let source = buffer(&[70, 65, 57], 0, &[0, 128, 160], &STRIDES);
    // Rows of the target have padding, and its last row has none.
    let mut target = buffer(&[90, 116], 50, &[0, 132, 168], &[16, 9, 10]);
    copied(&source, &mut target).expect("is copied");
    let (from, to) = (bytes(&source), bytes(&target));
    assert_eq!(to[..128], from[..128]);
    for row in 0..4 {
        let (u, v) = (128 + row * 8, 160 + row * 8);
        assert_eq!(to[132 + row * 9..][..8], from[u..][..8]);
        assert_eq!(to[168 + row * 10..][..8], from[v..][..8]);
    }
    // Padding is not written.
    assert_eq!(to[132 + 8], 50 + 132 + 8);
    assert_eq!(info.size(), from.len());
}

#[test]
fn planes_outside_the_memory_are_refused_for_reading_and_writing() {
    let whole = || buffer(&[192], 0, &[0, 128, 160], &STRIDES);
    for (offsets, strides, text) in [
        ([0, 128, 161], [16, 8, 8], "plane 2 of its GstVideoMeta"),
        ([65, 128, 160], [16, 8, 8], "ends at byte 193"),
        ([0, 128, 160], [26, 8, 8], "a stride of 26"),
        ([0, 128, 160], [16, 8, 9], "and the buffer has 192"),
        ([0, usize::MAX, 160], [16, 8, 8], "plane 1"),
        ([0, 128, usize::MAX], [16, 8, i32::MAX], "plane 2"),
        ([0, 128, 160], [16, 7, 8], "7 bytes where a row has 8"),
        ([0, 128, 160], [16, 8, 0], "0 bytes where a row has 8"),
        ([112, 128, 160], [-16, 8, 8], "stride of -16 bytes"),
        ([0, 128, 160], [16, i32::MIN, 8], "is negative"),
    ] {
        // In one memory, and in one for each plane.
        for lengths in [&[192][..], &[128, 32, 32]] {
            let faulty = buffer(lengths, 60, &offsets, &strides);
            let error = copied(&faulty, &mut whole()).expect_err("is not read");
            assert!(error.to_string().contains(text), "{error}");
            let (mut faulty, before) = (faulty.copy_deep().expect("memory"), bytes(&faulty));
            let error = copied(&whole(), &mut faulty).expect_err("is not written");
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(bytes(&faulty), before, "nothing is written");
        }
    }
}

#[test]
fn a_meta_of_another_frame_is_refused() {
    let change = |change: fn(&mut gst_video::ffi::GstVideoMeta)| {
        let mut faulty = buffer(&[192], 0, &[0, 128, 160], &STRIDES);
        let fresh = faulty.get_mut().expect("not shared");
        let mut meta = fresh.meta_mut::<VideoMeta>().expect("a meta");
        // SAFETY: the meta is borrowed mutably; it is changed to what a faulty element could write.
        change(unsafe { &mut *meta.as_mut_ptr() });
        let mut target = buffer(&[192], 0, &[0, 128, 160], &STRIDES);
        let error = copied(&faulty, &mut target).expect_err("is not read");
        error.to_string()
    };
    let error = change(|meta| meta.n_planes = 5);
    assert_eq!(error, "its GstVideoMeta has 5 planes where 3 are needed");
    let error = change(|meta| meta.n_planes = 1);
    assert_eq!(error, "its GstVideoMeta has 1 planes where 3 are needed");
    let error = change(|meta| meta.width = 15);
    let wanted = "its GstVideoMeta is of I420 in 15x8, its caps of I420 in 16x8";
    assert_eq!(error, wanted);
    let error = change(|meta| meta.format = gst_video::ffi::GST_VIDEO_FORMAT_NV12);
    assert!(error.contains("is of NV12 in 16x8"), "{error}");
}

#[test]
fn a_buffer_without_meta_is_as_long_as_its_caps_say() {
    gst::init().expect("GStreamer");
    let short = gst::Buffer::from_mut_slice(vec![1_u8; 191]);
    let mut target = buffer(&[192], 0, &[0, 128, 160], &STRIDES);
    let error = copied(&short, &mut target).expect_err("is not read");
    assert_eq!(error.to_string(), "it has 191 bytes where 192 are needed");
    let whole = gst::Buffer::from_mut_slice(vec![1_u8; 192]);
    copied(&whole, &mut target).expect("is copied");
    assert_eq!(bytes(&target), [1; 192]);
}
