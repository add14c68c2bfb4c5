// SPDX-License-Identifier: MPL-2.0
//! Metadata of a stream is kept, and interlaced streams are refused.

mod common;

use common::generators;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoInfo, VideoInterlaceMode};

const CUSTOM: &str = "GstStylizeTestMeta";

fn info() -> VideoInfo {
    VideoInfo::builder(VideoFormat::Rgba, 32, 16)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .expect("video info")
}

/// A frame with all metadata; `index` makes it another one.
fn frame(index: u64) -> gst::Buffer {
    let bytes: Vec<u8> = (0..info().size()).map(|i| (i * 7 % 251) as u8).collect();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let frame = buffer.get_mut().expect("fresh");
    frame.set_pts(gst::ClockTime::from_mseconds(40 * index));
    frame.set_dts(gst::ClockTime::from_mseconds(40 * index + 1));
    frame.set_duration(gst::ClockTime::from_mseconds(40));
    frame.set_offset(index);
    frame.set_flags(gst::BufferFlags::MARKER);
    let at = index as u32;
    gst_video::VideoCropMeta::add(frame, (1 + at, 2, 20, 10));
    gst_video::VideoRegionOfInterestMeta::add(frame, "face", (3, 4, 5 + at, 6));
    let captions = [0x80, 0x41 + index as u8, 0x42];
    gst_video::VideoCaptionMeta::add(frame, gst_video::VideoCaptionType::Cea608S3341a, &captions);
    let clock = gst::Caps::new_empty_simple("timestamp/x-ntp");
    let time = gst::ClockTime::from_seconds(1000 + index);
    gst::ReferenceTimestampMeta::add(frame, &clock, time, None);
    let mut custom = gst::meta::CustomMeta::add(frame, CUSTOM).expect("registered");
    custom.mut_structure().set("index", index);
    buffer
}

#[track_caller]
fn check(frame: &gst::BufferRef, index: u64) {
    let at = index as u32;
    assert_eq!(
        frame.pts(),
        Some(gst::ClockTime::from_mseconds(40 * index)),
        "in order"
    );
    assert_eq!(
        frame.dts(),
        Some(gst::ClockTime::from_mseconds(40 * index + 1))
    );
    assert_eq!(frame.duration(), Some(gst::ClockTime::from_mseconds(40)));
    assert_eq!(frame.offset(), index);
    assert!(frame.flags().contains(gst::BufferFlags::MARKER));
    let crop = frame.meta::<gst_video::VideoCropMeta>().expect("a crop");
    assert_eq!(crop.rect(), (1 + at, 2, 20, 10));
    let region = frame.meta::<gst_video::VideoRegionOfInterestMeta>();
    let region = region.expect("a region");
    assert_eq!(region.roi_type(), "face");
    assert_eq!(region.rect(), (3, 4, 5 + at, 6));
    let captions = frame.meta::<gst_video::VideoCaptionMeta>();
    let captions = captions.expect("captions");
    assert_eq!(
        captions.caption_type(),
        gst_video::VideoCaptionType::Cea608S3341a
    );
    assert_eq!(captions.data(), [0x80, 0x41 + index as u8, 0x42]);
    let clock = frame.meta::<gst::ReferenceTimestampMeta>().expect("a time");
    assert_eq!(
        clock.timestamp(),
        gst::ClockTime::from_seconds(1000 + index)
    );
    let custom = gst::meta::CustomMeta::from_buffer(frame, CUSTOM).expect("a custom meta");
    assert_eq!(custom.structure().get::<u64>("index"), Ok(index));
    let each = [
        frame.iter_meta::<gst_video::VideoCropMeta>().count(),
        frame.iter_meta::<gst_video::VideoCaptionMeta>().count(),
        frame.iter_meta::<gst::ReferenceTimestampMeta>().count(),
    ];
    assert_eq!(each, [1, 1, 1], "each once");
    let video = frame.iter_meta::<gst_video::VideoMeta>().count();
    assert!(video <= 1, "memory is described once");
}

#[test]
fn frames_keep_their_metas() {
    common::init();
    gst::meta::CustomMeta::register(CUSTOM, &[]);
    for in_flight in [1_u32, 3] {
        let (_dir, element) = common::element(&generators::negative(17).bytes());
        element.set_property("frames-in-flight", in_flight);
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps(info().to_caps().expect("caps"));
        for index in 0..6 {
            harness.push(frame(index)).expect("pushed");
        }
        harness.push_event(gst::event::Eos::new());
        for index in 0..6 {
            check(&harness.pull().expect("a frame"), index);
        }
    }
}

#[test]
fn caps_and_tags_pass_untouched() {
    let (_dir, element) = common::element(&generators::negative(17).bytes());
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    // Metadata that a tone mapper may leave, and that players need.
    let caps: gst::Caps = "video/x-raw, format=NV12, width=32, height=16, framerate=25/1, \
         pixel-aspect-ratio=4/3, colorimetry=bt709, chroma-site=mpeg2, interlace-mode=progressive, \
         multiview-mode=mono, content-light-level=(string)1000:400, \
         mastering-display-info=(string)34000:16000:13250:34500:7500:3000:15635:16450:10000000:1"
        .parse()
        .expect("caps");
    harness.set_src_caps(caps.clone());
    let mut tags = gst::TagList::new();
    let list = tags.get_mut().expect("fresh");
    list.add::<gst::tags::ImageOrientation>(&"rotate-90", gst::TagMergeMode::Append);
    harness.push_event(gst::event::Tag::new(tags));
    let frame = gst::Buffer::from_mut_slice(vec![100_u8; 32 * 16 * 3 / 2]);
    harness.push_and_pull(frame).expect("a frame");
    let out = harness.sinkpad().and_then(|pad| pad.current_caps());
    assert_eq!(out, Some(caps));
    let mut orientation = None;
    while let Some(event) = harness.try_pull_event() {
        if let gst::EventView::Tag(tag) = event.view() {
            let value = tag.tag().get::<gst::tags::ImageOrientation>();
            orientation = value.map(|value| value.get().to_string());
        }
    }
    assert_eq!(orientation.as_deref(), Some("rotate-90"));
}

#[test]
fn interlaced_video_is_refused_in_words() {
    use VideoInterlaceMode::{Alternate, Fields, Interleaved, Mixed};
    for mode in [Interleaved, Mixed, Fields, Alternate] {
        let (_dir, element) = common::element(&generators::identity(17).bytes());
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        let info = VideoInfo::builder(VideoFormat::I420, 64, 48)
            .fps(gst::Fraction::new(25, 1))
            .interlace_mode(mode)
            .build()
            .expect("video info");
        harness.set_src_caps(info.to_caps().expect("caps"));
        let errors = common::errors(&bus);
        assert_eq!(errors.len(), 1, "{mode:?}: {errors:?}");
        let text = errors[0].error.message();
        assert!(
            text.contains("nterlaced") && text.contains("`deinterlace`"),
            "{text}"
        );
        assert!(errors[0].error.matches(gst::StreamError::Format), "{text}");
    }
}

#[test]
fn streams_that_do_not_say_are_progressive() {
    for field in ["", ", interlace-mode=progressive"] {
        let (_dir, element) = common::element(&generators::identity(17).bytes());
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        let text = format!("video/x-raw, format=GRAY8, width=32, height=16, framerate=25/1{field}");
        harness.set_src_caps(text.parse().expect("caps"));
        let frame = gst::Buffer::from_mut_slice(vec![100_u8; 32 * 16]);
        harness.push_and_pull(frame).expect("a frame");
    }
}
