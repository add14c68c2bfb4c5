// SPDX-License-Identifier: MPL-2.0
//! `mask=analytics`: the painting within objects and segmentations of `GstAnalyticsRelationMeta`.

mod common;

#[cfg(not(feature = "analytics"))]
mod without {
    use super::common::{self, generators::negative};
    use gst::prelude::*;

    #[test]
    fn a_build_without_it_says_what_it_needs() {
        let (_dir, element) = common::element(&negative(13).bytes());
        element.set_property_from_str("mask", "analytics");
        let error = common::refused(&element).error;
        assert!(error.matches(gst::CoreError::Disabled));
        let text = error.message();
        assert!(
            text.contains("mask=analytics") && text.contains("--features analytics"),
            "{text}"
        );
        assert!(text.contains("1.26"), "{text}");
    }

    #[test]
    fn a_stream_that_plays_goes_on() {
        let caps = "video/x-raw,format=GRAY8,width=16,height=16,framerate=25/1";
        for mask in ["none", "roi"] {
            let (_dir, element, bus, mut harness) =
                common::stream("cpu", &negative(13).bytes(), &[("mask", mask)], caps);
            let mut play = || {
                let frame = gst::Buffer::from_mut_slice(vec![40_u8; 256]);
                let out = harness.push_and_pull(frame).expect("a frame");
                out.map_readable().expect("bytes")[0]
            };
            let before = play();
            element.set_property_from_str("mask", "analytics");
            let begin = std::time::Instant::now();
            while bus.pop_filtered(&[gst::MessageType::Warning]).is_none() {
                assert_eq!(play(), before);
                assert!(begin.elapsed().as_secs() < 120, "no warning");
            }
            assert_eq!(play(), before);
            assert!(common::errors(&bus).is_empty());
        }
    }
}

#[cfg(feature = "analytics")]
mod with {
    use super::common::{self, generators::negative};
    use gst::glib::{self, translate::IntoGlibPtr};
    use gst::prelude::*;
    use gst_analytics::prelude::*;
    use gst_analytics::{AnalyticsAnyMtd, AnalyticsODMtd, AnalyticsRelationMeta, RelTypes, ffi};
    use gst_check::Harness;
    use gst_video::{VideoFormat, VideoFrameFlags, VideoMeta};

    const WIDTH: usize = 40;
    const HEIGHT: usize = 24;
    /// The source, and its negative.
    const SOURCE: u8 = 40;
    const PAINTED: u8 = 215;

    type Meta<'a> = gst::MetaRefMut<'a, AnalyticsRelationMeta, gst::meta::Standalone>;

    struct Stream {
        _dir: tempfile::TempDir,
        element: gst::Element,
        bus: gst::Bus,
        harness: Harness,
    }

    impl Stream {
        fn new(provider: &str, properties: &[(&str, &str)]) -> Self {
            let caps =
                format!("video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT},framerate=25/1");
            let properties = [&[("mask", "analytics")], properties].concat();
            let (_dir, element, bus, harness) =
                common::stream(provider, &negative(13).bytes(), &properties, &caps);
            Self {
                _dir,
                element,
                bus,
                harness,
            }
        }

        /// Pushes a uniform frame with analytics metadata; returns the output.
        fn play(&mut self, find: impl FnOnce(&mut Meta)) -> Vec<u8> {
            let out = self.harness.push_and_pull(frame(find)).expect("a frame");
            out.map_readable().expect("bytes").to_vec()
        }
    }

    fn frame(find: impl FnOnce(&mut Meta)) -> gst::Buffer {
        let mut buffer = gst::Buffer::from_mut_slice(vec![SOURCE; WIDTH * HEIGHT]);
        find(&mut AnalyticsRelationMeta::add(
            buffer.get_mut().expect("fresh"),
        ));
        buffer
    }

    /// Adds an object; its id.
    fn object(meta: &mut Meta, [x, y, w, h]: [i32; 4], turned: f32) -> u32 {
        let kind = glib::Quark::from_str("person");
        let object = meta.add_oriented_od_mtd(kind, x, y, w, h, turned, 0.9);
        object.expect("an object").id()
    }

    /// A mask of 8 or 16 bits with three bytes of padding in each row.
    fn picture(format: VideoFormat, rows: &[&[u16]]) -> gst::Buffer {
        let wide = rows[0].len();
        let bytes = if format == VideoFormat::Gray8 { 1 } else { 2 };
        let stride = wide * bytes + 3;
        let mut memory = vec![0xEE; stride * rows.len()];
        for (line, row) in memory.chunks_mut(stride).zip(rows) {
            for (place, value) in line.chunks_mut(bytes).zip(*row) {
                place.copy_from_slice(&value.to_le_bytes()[..bytes]);
            }
        }
        let mut buffer = gst::Buffer::from_mut_slice(memory);
        let (fresh, high) = (buffer.get_mut().expect("fresh"), rows.len() as u32);
        let flags = VideoFrameFlags::empty();
        VideoMeta::add_full(
            fresh,
            flags,
            format,
            wide as u32,
            high,
            &[0],
            &[stride as i32],
        )
        .expect("a meta");
        buffer
    }

    /// Adds a segmentation; its id.
    fn segments(meta: &mut Meta, mask: gst::Buffer, [x, y, w, h]: [i32; 4]) -> u32 {
        let mut regions = [0, 2, 7];
        let mut segmentation = std::mem::MaybeUninit::uninit();
        // SAFETY: as the documentation of the function says.
        unsafe {
            let added = ffi::gst_analytics_relation_meta_add_segmentation_mtd(
                meta.as_mut_ptr(),
                mask.into_glib_ptr(),
                ffi::GST_SEGMENTATION_TYPE_INSTANCE,
                regions.len(),
                regions.as_mut_ptr(),
                x,
                y,
                w as u32,
                h as u32,
                segmentation.as_mut_ptr(),
            );
            assert_eq!(added, glib::ffi::GTRUE);
            segmentation.assume_init().id
        }
    }

    #[track_caller]
    fn assert_painted(frame: &[u8], painted: impl Fn(usize, usize) -> bool) {
        for (pixel, value) in frame.iter().enumerate() {
            let (x, y) = (pixel % WIDTH, pixel / WIDTH);
            let wanted = match painted(x, y) {
                true => PAINTED,
                false => SOURCE,
            };
            assert!(value.abs_diff(wanted) <= 1, "{x},{y}: {value}");
        }
    }

    fn inside([x, y, w, h]: [i32; 4]) -> impl Fn(usize, usize) -> bool {
        move |column, row| {
            (x..x + w).contains(&(column as i32)) && (y..y + h).contains(&(row as i32))
        }
    }

    #[test]
    fn objects_are_painted_and_the_rest_is_not() {
        let (one, two) = ([8, 4, 16, 10], [-5, 20, 10, 100]);
        for provider in common::PROVIDERS {
            for invert in ["false", "true"] {
                let mut stream = Stream::new(provider, &[("mask-invert", invert)]);
                let frame = stream.play(|meta| {
                    object(meta, one, 0.0);
                    object(meta, two, 0.0);
                });
                let found = |x, y| inside(one)(x, y) || inside(two)(x, y);
                assert_painted(&frame, |x, y| found(x, y) != (invert == "true"));
                // Each frame has its own.
                assert_painted(&stream.play(|_| ()), |_, _| invert == "true");
                let bare = gst::Buffer::from_mut_slice(vec![SOURCE; WIDTH * HEIGHT]);
                let out = stream.harness.push_and_pull(bare).expect("a frame");
                let out = out.map_readable().expect("bytes");
                assert_painted(&out, |_, _| invert == "true");
            }
        }
    }

    #[test]
    fn a_box_may_be_turned() {
        let mut stream = Stream::new("cpu", &[]);
        let quarter = std::f32::consts::FRAC_PI_2;
        let frame = stream.play(|meta| {
            object(meta, [10, 8, 16, 6], quarter);
        });
        assert_painted(&frame, inside([15, 3, 6, 16]));
        // Clockwise by 60°: the right side is turned down.
        let frame = stream.play(|meta| {
            object(meta, [10, 10, 20, 4], quarter / 3.0 * 2.0);
        });
        let at = |x: usize, y: usize| frame[y * WIDTH + x];
        assert_eq!([at(24, 19), at(16, 4)], [PAINTED; 2]);
        assert_eq!([at(24, 4), at(16, 19), at(28, 12)], [SOURCE; 3]);
    }

    #[test]
    fn segments_are_painted_and_the_background_is_not() {
        let rows: [&[u16]; 3] = [&[0, 2, 2, 0], &[0, 2, 7, 7], &[0, 0, 0, 7]];
        let wide: [&[u16]; 3] = [&[0, 512, 2, 0], &[0, 2, 7, 256], &[0, 0, 0, 7]];
        let masks = [
            picture(VideoFormat::Gray8, &rows),
            picture(VideoFormat::Gray16Le, &wide),
        ];
        for mask in masks {
            let mut stream = Stream::new("cpu", &[]);
            let frame = stream.play(|meta| {
                segments(meta, mask.clone(), [30, 2, 4, 3]);
            });
            let at = |x: usize, y: usize| match (x.checked_sub(30), y.checked_sub(2)) {
                (Some(x), Some(y)) => rows.get(y).and_then(|row| row.get(x)).copied(),
                _ => None,
            };
            assert_painted(&frame, |x, y| at(x, y).unwrap_or(0) != 0);
            // Enlarged eight times, beyond the frame: the middle of each mask pixel has its value.
            let frame = stream.play(|meta| {
                segments(meta, mask, [-8, 0, 32, 24]);
            });
            for (row, values) in rows.iter().enumerate() {
                for (column, value) in values.iter().enumerate().skip(1) {
                    let value = if *value > 0 { PAINTED } else { SOURCE };
                    // The point between four mask pixels.
                    let middle = frame[(row * 8 + 4) * WIDTH + column * 8 - 4];
                    assert!(middle.abs_diff(value) < 24, "{column},{row}: {middle}");
                }
            }
            let top: Vec<u8> = frame[..16].to_vec();
            assert!(top[4..12].iter().all(|v| *v == PAINTED), "{top:?}");
            assert!(top[12..].is_sorted_by(|a, b| a > b), "soft: {top:?}");
            assert!(frame.chunks(WIDTH).all(|row| row[24..] == [SOURCE; 16]));
        }
    }

    #[test]
    fn an_object_has_its_outline_if_that_is_known() {
        let mask = || picture(VideoFormat::Gray8, &[&[0, 2, 2, 0]]);
        let (outlined, other) = ([4, 4, 4, 1], [20, 10, 8, 8]);
        for backwards in [false, true] {
            let mut stream = Stream::new("cpu", &[]);
            let frame = stream.play(|meta| {
                let segmentation = segments(meta, mask(), [4, 4, 4, 1]);
                let object = {
                    self::object(meta, other, 0.0);
                    self::object(meta, [2, 2, 10, 10], 0.0)
                };
                let (from, to) = match backwards {
                    true => (segmentation, object),
                    false => (object, segmentation),
                };
                meta.set_relation(RelTypes::RELATE_TO, from, to)
                    .expect("related");
            });
            let outline = |x, y| inside(outlined)(x, y) && (5..7).contains(&x);
            assert_painted(&frame, |x, y| outline(x, y) || inside(other)(x, y));
        }
        // Without a relation both apply.
        let mut stream = Stream::new("cpu", &[]);
        let frame = stream.play(|meta| {
            segments(meta, mask(), [30, 20, 4, 1]);
            object(meta, other, 0.0);
        });
        let segment = [31, 20, 2, 1];
        assert_painted(&frame, |x, y| inside(segment)(x, y) || inside(other)(x, y));
    }

    #[test]
    fn edges_may_be_soft() {
        let mut stream = Stream::new("cpu", &[("mask-feather", "8")]);
        let rows: [&[u16]; 1] = [&[0, 2, 2]];
        let mask = picture(VideoFormat::Gray8, &rows);
        let found = |meta: &mut Meta| {
            segments(meta, mask, [10, 0, 30, 24]);
        };
        let frames = [
            stream.play(|meta| {
                object(meta, [20, -10, 100, 100], 0.0);
            }),
            stream.play(|meta| {
                object(meta, [-60, -10, 80, 50], std::f32::consts::PI);
            }),
            stream.play(found),
        ];
        for (index, frame) in frames.iter().enumerate() {
            let mut line = frame[12 * WIDTH..13 * WIDTH].to_vec();
            if index == 1 {
                line.reverse();
            }
            assert!(line[..8].iter().all(|v| *v == SOURCE), "{index}: {line:?}");
            assert!(line[..32].is_sorted(), "{index}: {line:?}");
            let half = (SOURCE / 2 + PAINTED / 2) as i32;
            assert!((i32::from(line[20]) - half).abs() < 20, "{index}: {line:?}");
            let between = |v: &&u8| (SOURCE + 2..PAINTED - 1).contains(*v);
            let soft = line.iter().filter(between).count();
            assert!((7..20).contains(&soft), "{index}: {line:?}");
            assert_eq!(line[31], PAINTED, "{index}: {line:?}");
        }
    }

    #[test]
    fn the_mask_may_change_while_playing() {
        let mut stream = Stream::new("cpu", &[]);
        let place = [8, 4, 16, 10];
        let find = |meta: &mut Meta| {
            object(meta, place, 0.0);
        };
        type Painted = fn(bool) -> bool;
        let settings: [(&str, &str, Painted); 4] = [
            ("mask-invert", "true", |found| !found),
            ("mask", "none", |_| true),
            ("mask", "analytics", |found| !found),
            ("mask", "roi", |_| true),
        ];
        assert_painted(&stream.play(find), inside(place));
        for (name, value, wanted) in settings {
            stream.element.set_property_from_str(name, value);
            let begin = std::time::Instant::now();
            let wanted = |x, y| wanted(inside(place)(x, y));
            let seen = |frame: &[u8]| {
                let painted = |(pixel, value): (usize, &u8)| {
                    (*value > 128) == wanted(pixel % WIDTH, pixel / WIDTH)
                };
                frame.iter().enumerate().all(painted)
            };
            while !seen(&stream.play(find)) {
                assert!(begin.elapsed().as_secs() < 120, "never {name}={value}");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            assert_painted(&stream.play(find), wanted);
        }
        assert!(common::errors(&stream.bus).is_empty());
    }

    #[test]
    fn findings_go_on() {
        for in_flight in ["1", "3"] {
            let mut stream = Stream::new("cpu", &[("frames-in-flight", in_flight)]);
            for index in 0..4 {
                let frame = frame(|meta| {
                    object(meta, [index, 2, 3, 4], 0.5);
                    let mask = picture(VideoFormat::Gray8, &[&[0, 2]]);
                    segments(meta, mask, [0, 0, 2, 1]);
                });
                stream.harness.push(frame).expect("pushed");
            }
            stream.harness.push_event(gst::event::Eos::new());
            for index in 0..4 {
                let out = stream.harness.pull().expect("a frame");
                let meta = out.meta::<AnalyticsRelationMeta>().expect("findings");
                assert_eq!(meta.iter::<AnalyticsAnyMtd>().count(), 2);
                let object = meta.iter::<AnalyticsODMtd>().next().expect("an object");
                let place = object.oriented_location().expect("a place");
                assert_eq!((place.x, place.y, place.w, place.h), (index, 2, 3, 4));
                assert_eq!(place.r, 0.5);
                assert_eq!(out.iter_meta::<AnalyticsRelationMeta>().count(), 1);
            }
        }
    }

    #[test]
    fn a_mask_whose_memory_ends_early_is_one_error() {
        let mut stream = Stream::new("cpu", &[]);
        let mut mask = gst::Buffer::from_mut_slice(vec![2_u8; 12]);
        let fresh = mask.get_mut().expect("fresh");
        let flags = VideoFrameFlags::empty();
        VideoMeta::add_full(fresh, flags, VideoFormat::Gray8, 4, 4, &[0], &[4]).expect("a meta");
        let frame = frame(|meta| {
            segments(meta, mask, [0, 0, 40, 24]);
        });
        assert_eq!(stream.harness.push(frame), Err(gst::FlowError::Error));
        let errors = common::errors(&stream.bus);
        assert_eq!(errors.len(), 1, "{errors:?}");
        let text = errors[0].error.message();
        assert!(
            text.contains("segmentation mask") && text.contains("ends early"),
            "{text}"
        );
    }
}
