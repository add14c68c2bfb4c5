// SPDX-License-Identifier: MPL-2.0
//! The element in a stream: timestamps, metas, events, states, controllers, statistics.

mod common;

use common::generators;
use common::picture::Picture;
use gst::prelude::*;
use gst_check::Harness;
use gst_controller::prelude::*;

const RGB: (gst_video::VideoFormat, &str) = (gst_video::VideoFormat::Rgb, "RGB");

fn info(width: u32, height: u32) -> gst_video::VideoInfo {
    gst_video::VideoInfo::builder(RGB.0, width, height)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .expect("video info")
}

fn caps(width: u32, height: u32) -> gst::Caps {
    info(width, height).to_caps().expect("caps")
}

fn frame(width: usize, height: usize, pts: gst::ClockTime) -> gst::Buffer {
    let mut buffer =
        Picture::varied(width, height).buffer(RGB.0, RGB.1, (width * 3).next_multiple_of(4));
    buffer.get_mut().expect("fresh").set_pts(pts);
    buffer
}

/// A harness around `stylize` with the negative generator.
fn negative() -> (tempfile::TempDir, gst::Element, Harness) {
    let (dir, element) = common::element(&generators::negative(17).bytes());
    let harness = Harness::with_element(&element, Some("sink"), Some("src"));
    (dir, element, harness)
}

fn stat<T: for<'a> gst::glib::value::FromValue<'a> + gst::glib::value::ValueType>(
    element: &gst::Element,
    name: &str,
) -> T {
    element
        .property::<gst::Structure>("stats")
        .get(name)
        .expect("a field of the statistics")
}

#[test]
fn timestamps_flags_and_metas_pass_untouched() {
    let (_dir, _element, mut harness) = negative();
    harness.set_src_caps(caps(32, 16));
    let pts = gst::ClockTime::from_mseconds(1234);
    let mut buffer = frame(32, 16, pts);
    {
        let buffer = buffer.get_mut().expect("fresh");
        buffer.set_dts(gst::ClockTime::from_mseconds(1200));
        buffer.set_duration(gst::ClockTime::from_mseconds(40));
        buffer.set_offset(7);
        buffer.set_offset_end(8);
        buffer.set_flags(gst::BufferFlags::DISCONT | gst::BufferFlags::MARKER);
        let reference = gst::Caps::new_empty_simple("timestamp/x-test");
        gst::ReferenceTimestampMeta::add(buffer, &reference, pts, gst::ClockTime::NONE);
        gst_video::VideoRegionOfInterestMeta::add(buffer, "face", (1, 2, 3, 4));
        let crop = gst_video::VideoCropMeta::add(buffer, (4, 2, 16, 8));
        assert_eq!(crop.rect(), (4, 2, 16, 8));
        gst_video::VideoCaptionMeta::add(
            buffer,
            gst_video::VideoCaptionType::Cea708Raw,
            &[0xfc, 0x80, 0x80],
        );
        gst_video::VideoTimeCodeMeta::add(
            buffer,
            &gst_video::VideoTimeCode::new(
                gst::Fraction::new(25, 1),
                None,
                gst_video::VideoTimeCodeFlags::empty(),
                1,
                2,
                3,
                4,
                0,
            )
            .try_into()
            .expect("a valid time code"),
        );
    }
    let out = harness.push_and_pull(buffer).expect("a frame");
    assert_eq!(out.pts(), Some(pts));
    assert_eq!(out.dts(), Some(gst::ClockTime::from_mseconds(1200)));
    assert_eq!(out.duration(), Some(gst::ClockTime::from_mseconds(40)));
    assert_eq!((out.offset(), out.offset_end()), (7, 8));
    assert!(
        out.flags()
            .contains(gst::BufferFlags::DISCONT | gst::BufferFlags::MARKER)
    );
    let roi = out
        .meta::<gst_video::VideoRegionOfInterestMeta>()
        .expect("region");
    assert_eq!(roi.rect(), (1, 2, 3, 4));
    let crop = out.meta::<gst_video::VideoCropMeta>().expect("crop");
    assert_eq!(crop.rect(), (4, 2, 16, 8));
    let caption = out.meta::<gst_video::VideoCaptionMeta>().expect("caption");
    assert_eq!(caption.data(), [0xfc, 0x80, 0x80]);
    assert!(out.meta::<gst_video::VideoTimeCodeMeta>().is_some());
    assert!(out.meta::<gst::ReferenceTimestampMeta>().is_some());
    let video = out.iter_meta::<gst_video::VideoMeta>().count();
    assert_eq!(video, 1, "the output has its own video meta only");
}

#[test]
fn colorimetry_and_other_caps_fields_pass_untouched() {
    let (_dir, _element, mut harness) = negative();
    let caps = "video/x-raw,format=RGB,width=32,height=16,framerate=30000/1001,\
                pixel-aspect-ratio=16/11,colorimetry=(string)1:1:5:1,chroma-site=(string)mpeg2,\
                interlace-mode=progressive,multiview-mode=mono";
    harness.set_src_caps_str(caps);
    harness
        .push_and_pull(frame(32, 16, gst::ClockTime::ZERO))
        .expect("a frame");
    let out = harness
        .sinkpad()
        .and_then(|pad| pad.current_caps())
        .expect("caps");
    let wanted: gst::Caps = caps.parse().expect("caps");
    assert!(out.is_strictly_equal(&wanted), "{out}");
}

#[test]
fn caps_may_change_in_mid_stream() {
    let (_dir, element, mut harness) = negative();
    for (round, (width, height)) in [(32, 16), (33, 17), (48, 64), (32, 16)]
        .into_iter()
        .enumerate()
    {
        harness.set_src_caps(caps(width, height));
        let pts = gst::ClockTime::from_mseconds(40 * round as u64);
        let out = harness
            .push_and_pull(frame(width as usize, height as usize, pts))
            .expect("a frame");
        let wanted = Picture::varied(width as usize, height as usize).map(|p| p.map(|v| 255 - v));
        let got = Picture::read(&out, &info(width, height), RGB.1);
        assert!(got.max_difference(&wanted) <= 1, "{width}x{height}");
        assert_eq!(stat::<u32>(&element, "frame-width"), width);
    }
    // The first size's graph was kept.
    assert_eq!(stat::<u64>(&element, "compiled-graphs"), 3);
}

#[test]
fn a_padded_stride_gets_its_own_graph_once() {
    let (_dir, element, mut harness) = negative();
    harness.set_src_caps(caps(32, 16));
    for stride in [96, 128, 96, 128, 128] {
        let buffer = Picture::varied(32, 16).buffer(RGB.0, RGB.1, stride);
        harness.push_and_pull(buffer).expect("a frame");
    }
    assert_eq!(stat::<u64>(&element, "compiled-graphs"), 2);
    assert_eq!(stat::<u64>(&element, "frames"), 5);
}

#[test]
fn output_comes_from_a_pool_and_upstream_is_told_of_video_meta() {
    let (_dir, _element, mut harness) = negative();
    harness.set_src_caps(caps(32, 16));
    let mut query = gst::query::Allocation::new(Some(&caps(32, 16)), true);
    let src = harness.srcpad().expect("a pad");
    assert!(src.peer_query(&mut query));
    assert!(
        query
            .find_allocation_meta::<gst_video::VideoMeta>()
            .is_some()
    );
    let out = harness
        .push_and_pull(frame(32, 16, gst::ClockTime::ZERO))
        .expect("a frame");
    // SAFETY: reads a field of a live buffer.
    assert!(unsafe { !(*out.as_ptr()).pool.is_null() });
}

#[test]
fn strength_follows_a_control_source() {
    let (_dir, element, mut harness) = negative();
    let control = gst_controller::InterpolationControlSource::new();
    control.set_property("mode", gst_controller::InterpolationMode::Linear);
    control.set(gst::ClockTime::ZERO, 0.0);
    control.set(gst::ClockTime::from_seconds(1), 1.0);
    let binding = gst_controller::DirectControlBinding::new(&element, "strength", &control);
    element.add_control_binding(&binding).expect("controllable");
    harness.set_src_caps(caps(32, 16));
    let source = Picture::varied(32, 16);
    for ms in [0_u64, 250, 500, 1000] {
        let strength = ms as f64 / 1000.0;
        let out = harness
            .push_and_pull(frame(32, 16, gst::ClockTime::from_mseconds(ms)))
            .expect("a frame");
        let wanted = source.map(|p| {
            p.map(|v| (f64::from(v) + strength * (255.0 - 2.0 * f64::from(v))).round() as u8)
        });
        let got = Picture::read(&out, &info(32, 16), RGB.1);
        assert!(got.max_difference(&wanted) <= 1, "at {ms} ms");
    }
    assert_eq!(
        stat::<u64>(&element, "compiled-graphs"),
        1,
        "strength never recompiles"
    );
}

#[test]
fn flush_seek_and_end_of_stream() {
    let (_dir, element) = common::element(&generators::negative(17).bytes());
    let pipeline = gst::Pipeline::new();
    let source = gst::ElementFactory::make("videotestsrc")
        .property("num-buffers", 50)
        .build()
        .expect("videotestsrc");
    let filter = gst::ElementFactory::make("capsfilter")
        .property("caps", caps(64, 48))
        .build()
        .expect("capsfilter");
    let sink = gst::ElementFactory::make("fakesink")
        .property("signal-handoffs", true)
        .build()
        .expect("fakesink");
    pipeline
        .add_many([&source, &filter, &element, &sink])
        .expect("added");
    gst::Element::link_many([&source, &filter, &element, &sink]).expect("linked");
    let bus = pipeline.bus().expect("a bus");
    pipeline.set_state(gst::State::Paused).expect("paused");
    pipeline
        .state(gst::ClockTime::from_seconds(20))
        .0
        .expect("prerolled");
    for target in [800_u64, 200, 1000] {
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let target = gst::ClockTime::from_mseconds(target);
        pipeline.seek_simple(flags, target).expect("seeked");
        pipeline
            .state(gst::ClockTime::from_seconds(20))
            .0
            .expect("prerolled");
        assert_eq!(pipeline.query_position::<gst::ClockTime>(), Some(target));
    }
    pipeline.set_state(gst::State::Playing).expect("playing");
    let message = bus
        .timed_pop_filtered(
            gst::ClockTime::from_seconds(30),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        )
        .expect("an end");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).expect("stopped");
}

#[test]
fn a_flush_during_a_run_ends_it_and_the_stream_goes_on() {
    let (_dir, _element, mut harness) = negative();
    harness.set_src_caps(caps(32, 16));
    for round in 0..20 {
        harness
            .push(frame(32, 16, gst::ClockTime::from_mseconds(round)))
            .expect("pushed");
        assert!(harness.push_event(gst::event::FlushStart::new()));
        assert!(harness.push_event(gst::event::FlushStop::new(true)));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        assert!(harness.push_event(gst::event::Segment::new(&segment)));
    }
    let before = harness.buffers_received();
    harness
        .push(frame(32, 16, gst::ClockTime::ZERO))
        .expect("the stream goes on");
    assert_eq!(harness.buffers_received(), before + 1);
}

#[test]
fn late_frames_are_dropped_before_inference_and_counted() {
    for in_flight in [1_u32, 3] {
        let (_dir, element) = common::element(&common::generators::negative(13).bytes());
        element.set_property("frames-in-flight", in_flight);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps(caps(32, 16));
        let second = gst::ClockTime::from_seconds;
        harness.push(frame(32, 16, second(0))).expect("pushed");
        harness.pull().expect("painted");
        let qos = gst::event::Qos::new(gst::QOSType::Underflow, 2.0, 1_000_000, second(5));
        assert!(harness.push_upstream_event(qos));
        let late = frame(32, 16, second(1));
        harness.push(late).expect("dropped without an error");
        // Numbers of stylized and dropped frames, for applications that read the bus.
        let message = bus.pop_filtered(&[gst::MessageType::Qos]).expect("told");
        let gst::MessageView::Qos(qos) = message.view() else {
            unreachable!("of this type");
        };
        assert_eq!(
            qos.stats(),
            (
                gst::GenericFormattedValue::Buffers(Some(gst::format::Buffers::ONE)),
                gst::GenericFormattedValue::Buffers(Some(gst::format::Buffers::ONE)),
            ),
            "{in_flight} in flight"
        );
        harness.push(frame(32, 16, second(10))).expect("pushed");
        harness.pull().expect("painted");
        assert_eq!(stat::<u64>(&element, "dropped"), 1);
        assert_eq!(stat::<u64>(&element, "frames"), 2);
        assert_eq!(harness.buffers_received(), 2);
    }
}

#[test]
fn statistics_have_all_fields_before_and_after_start() {
    let (_dir, element, mut harness) = negative();
    let fields = |element: &gst::Element| -> Vec<String> {
        let stats = element.property::<gst::Structure>("stats");
        stats.fields().map(|name| name.to_string()).collect()
    };
    let before = fields(&element);
    harness.set_src_caps(caps(33, 17));
    harness
        .push(frame(33, 17, gst::ClockTime::ZERO))
        .expect("pushed");
    assert_eq!(fields(&element), before);
    assert_eq!(stat::<String>(&element, "provider"), "cpu");
    assert_eq!(stat::<String>(&element, "precision"), "fp32");
    assert!(stat::<u64>(&element, "time-median") > 0);
    assert!(stat::<String>(&element, "runtime").starts_with("1."));
}

#[test]
fn the_built_in_generator_plays_any_size_without_a_property() {
    common::init();
    for (width, height) in [(16, 16), (33, 61), (131, 97)] {
        let mut harness = Harness::new("stylize");
        harness.set_src_caps(caps(width, height));
        let source = Picture::varied(width as usize, height as usize);
        let out = harness
            .push_and_pull(frame(width as usize, height as usize, gst::ClockTime::ZERO))
            .expect("a frame");
        let got = Picture::read(&out, &info(width, height), RGB.1);
        assert!(
            got.max_difference(&source) > 30,
            "{width}x{height} is stylized"
        );
    }
}
