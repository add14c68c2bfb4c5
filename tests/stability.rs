// SPDX-License-Identifier: MPL-2.0
//! `stability`: still parts are kept, moving parts are new at once, and cuts leave no ghosts.

mod common;

use common::generators::{Net, identity};
use common::picture::Picture;
use gst::prelude::*;
use gst_check::Harness;

const SIZE: (usize, usize) = (96, 64);

/// Reproducible standard normal numbers.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Runs frames through the element, 40 ms apart.
struct Stream {
    element: gst::Element,
    harness: Harness,
    info: gst_video::VideoInfo,
    number: u64,
    _dir: tempfile::TempDir,
}

impl Stream {
    fn new(provider: &str, net: &Net, stability: f64, size: (usize, usize)) -> Self {
        Self::in_precision("fp32", provider, net, stability, size)
    }

    /// The precision is set before the caps: later it would be loaded in the background, and the past be forgotten when
    /// it is there.
    fn in_precision(
        precision: &str,
        provider: &str,
        net: &Net,
        stability: f64,
        (width, height): (usize, usize),
    ) -> Self {
        let (dir, element) = common::element_on(provider, &net.bytes());
        element.set_property_from_str("precision", precision);
        element.set_property("stability", stability);
        let info =
            gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width as u32, height as u32)
                .fps(gst::Fraction::new(25, 1))
                .build()
                .expect("video info");
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps(info.to_caps().expect("caps"));
        Self {
            element,
            harness,
            info,
            number: 0,
            _dir: dir,
        }
    }

    fn play_flagged(&mut self, picture: &Picture, flags: gst::BufferFlags) -> Picture {
        let stride = self.info.stride()[0] as usize;
        let mut buffer = picture.buffer(gst_video::VideoFormat::Rgb, "RGB", stride);
        let fresh = buffer.get_mut().expect("fresh");
        fresh.set_pts(gst::ClockTime::from_mseconds(40 * self.number));
        fresh.set_flags(flags);
        self.number += 1;
        let out = self.harness.push_and_pull(buffer).expect("a frame");
        Picture::read(&out, &self.info, "RGB")
    }

    fn play(&mut self, picture: &Picture) -> Picture {
        self.play_flagged(picture, gst::BufferFlags::empty())
    }
}

/// Large shapes with edges, shifted to the right by `shift` pixels.
fn scene((width, height): (usize, usize), shift: usize) -> Picture {
    let pixels = (0..width * height).map(|i| {
        let (x, y) = ((i % width + width - shift % width) % width, i / width);
        let inside = (x as i32 - 30).pow(2) + (y as i32 - 30).pow(2) < 300;
        match inside {
            true => [220, 60, 40, 0],
            false => [(40 + x) as u8, (90 + y) as u8, 120, 0],
        }
    });
    Picture {
        width,
        height,
        pixels: pixels.collect(),
    }
}

fn noisy(picture: &Picture, sigma: f64, random: &mut Random) -> Picture {
    let mut value = |v: u8| (f64::from(v) + sigma * random.normal()).round() as u8;
    let mut noisy = picture.clone();
    for pixel in &mut noisy.pixels {
        for channel in &mut pixel[..3] {
            *channel = value(*channel);
        }
    }
    noisy
}

/// Mean over pixels and channels of the standard deviation over frames.
fn deviation(frames: &[Picture]) -> f64 {
    let count = frames.len() as f64;
    let samples = frames[0].pixels.len();
    let of = |pixel: usize, channel: usize| {
        let values = frames.iter().map(|f| f64::from(f.pixels[pixel][channel]));
        let mean = values.clone().sum::<f64>() / count;
        (values.map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt()
    };
    let all = (0..samples).flat_map(|pixel| (0..3).map(move |channel| of(pixel, channel)));
    all.sum::<f64>() / (samples * 3) as f64
}

/// Mean absolute difference of the colours, in codes.
fn mean_difference(a: &Picture, b: &Picture) -> f64 {
    let pairs = a.pixels.iter().zip(&b.pixels);
    let sum: f64 = pairs
        .flat_map(|(a, b)| (0..3).map(|c| f64::from(a[c].abs_diff(b[c]))))
        .sum();
    sum / (a.pixels.len() * 3) as f64
}

#[test]
fn noise_on_a_still_scene_is_at_least_three_times_less() {
    for provider in common::PROVIDERS {
        // Sizes that do not divide into blocks, too.
        for (size, sigma) in [(SIZE, 4.0), ((93, 61), 4.0), (SIZE, 2.0), (SIZE, 1.0)] {
            let [with, without] = [0.8, 0.0].map(|stability| {
                let mut random = Random(7);
                let mut stream = Stream::new(provider, &identity(13), stability, size);
                let scene = scene(size, 0);
                let frames: Vec<Picture> = (0..40)
                    .map(|_| stream.play(&noisy(&scene, sigma, &mut random)))
                    .collect();
                deviation(&frames[20..])
            });
            assert!(without > 0.75 * sigma, "{without}");
            assert!(
                with < without / 3.0,
                "{provider} {size:?} {sigma}: {with} {without}"
            );
        }
    }
}

/// In the fastest precision of this machine: bfloat16 has eight significant bits, which must be enough for the kept
/// painting.
#[test]
fn stability_in_low_precision() {
    for provider in common::PROVIDERS {
        let [with, without] = [0.8, 0.0].map(|stability| {
            let mut random = Random(7);
            let mut stream = Stream::in_precision("auto", provider, &identity(13), stability, SIZE);
            let scene = scene(SIZE, 0);
            let frames: Vec<Picture> = (0..200)
                .map(|_| stream.play(&noisy(&scene, 4.0, &mut random)))
                .collect();
            let off = frames[180..]
                .iter()
                .map(|frame| mean_difference(frame, &scene));
            let off = off.fold(0.0, f64::max);
            assert!(off < 4.0, "{provider} at {stability}: {off} from the scene");
            let other = scene.map(|[r, g, b]| [255 - r, 255 - g, b]);
            let cut = stream.play(&other).max_difference(&other);
            assert!(cut <= 1, "{provider}: {cut} after a cut");
            deviation(&frames[180..])
        });
        assert!(with < without / 3.0, "{provider}: {with} {without}");
    }
}

#[test]
fn motion_leaves_no_ghosts() {
    for provider in common::PROVIDERS {
        let mut random = Random(3);
        let mut stream = Stream::new(provider, &identity(13), 1.0, SIZE);
        for shift in (0..60).step_by(3) {
            let source = noisy(&scene(SIZE, shift), 2.0, &mut random);
            let painted = stream.play(&source);
            // Blocks that the disc has just left or entered.
            let before = scene(SIZE, shift.saturating_sub(3));
            let pairs = source.pixels.iter().zip(&painted.pixels);
            for (index, (new, shown)) in pairs.enumerate() {
                let moved = new[0].abs_diff(before.pixels[index][0]) > 60;
                if moved {
                    let off = new[0].abs_diff(shown[0]);
                    assert!(off <= 1, "{provider} at {shift}, pixel {index}: {off}");
                }
            }
        }
    }
}

/// Faint, smooth patterns such as clouds must not leave trails: generators raise their contrast.
#[test]
fn faint_textures_leave_no_trails() {
    let clouds = |shift: usize| {
        let mut picture = scene(SIZE, 0);
        for (index, pixel) in picture.pixels.iter_mut().enumerate() {
            let angle = (index % SIZE.0 + shift) as f64 * std::f64::consts::TAU / 48.0;
            *pixel = [(220.0 + 6.0 * angle.sin()).round() as u8, 200, 210, 0];
        }
        picture
    };
    for provider in common::PROVIDERS {
        let mut stream = Stream::new(provider, &identity(13), 1.0, SIZE);
        for shift in 0..60 {
            let source = clouds(shift);
            let off = stream.play(&source).max_difference(&source);
            assert!(off <= 3, "{provider} at {shift}: {off} of 12");
        }
    }
}

#[test]
fn after_a_cut_a_gap_or_a_flush_nothing_is_kept() {
    for provider in common::PROVIDERS {
        let one = scene(SIZE, 0);
        // So similar that only the reset distinguishes them.
        let like = one.map(|[r, g, b]| [r.saturating_add(1), g, b]);
        let other = one.map(|[r, g, b]| [255 - r, 255 - g, b]);
        let mut stream = Stream::new(provider, &identity(13), 1.0, SIZE);
        assert_eq!(stream.play(&one).max_difference(&one), 0);
        assert_eq!(stream.play(&like).max_difference(&one), 0, "it stays");
        assert_eq!(stream.play(&other).max_difference(&other), 0, "a cut");
        stream.play(&one);
        let gap = gst::BufferFlags::DISCONT;
        assert_eq!(stream.play_flagged(&like, gap).max_difference(&like), 0);
        assert_eq!(stream.play(&one).max_difference(&like), 0, "it stays");
        stream.harness.push_event(gst::event::FlushStart::new());
        stream.harness.push_event(gst::event::FlushStop::new(true));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        stream
            .harness
            .push_event(gst::event::Segment::new(&segment));
        assert_eq!(stream.play(&one).max_difference(&one), 0, "a flush");
        assert_eq!(stream.play(&like).max_difference(&one), 0, "it stays");
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        stream
            .harness
            .push_event(gst::event::Segment::new(&segment));
        assert_eq!(stream.play(&like).max_difference(&like), 0, "a seek");
    }
}

#[test]
fn every_kind_of_format_has_a_past() {
    for provider in common::PROVIDERS {
        for format in [
            "RGBA",
            "xBGR",
            "I420",
            "NV12",
            "Y42B",
            "YUY2",
            "GBR",
            "GRAY8",
            "P010_10LE",
        ] {
            let (width, height) = (51, 35);
            let (_dir, element) = common::element_on(provider, &identity(13).bytes());
            element.set_property("stability", 1.0);
            let caps =
                format!("video/x-raw,format={format},width={width},height={height},framerate=25/1");
            let caps: gst::Caps = caps.parse().expect("caps");
            let size = gst_video::VideoInfo::from_caps(&caps).expect("info").size();
            let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
            harness.set_src_caps(caps);
            let mut paint = |more: u8, number: u64| {
                let bytes: Vec<u8> = (0..size)
                    .map(|i| 100 + (i / 50 % 40) as u8 + more)
                    .collect();
                let mut buffer = gst::Buffer::from_slice(bytes);
                let pts = gst::ClockTime::from_mseconds(40 * number);
                buffer.get_mut().expect("fresh").set_pts(pts);
                let out = harness.push_and_pull(buffer).expect("a frame");
                let mut bytes = out.map_readable().expect("bytes").to_vec();
                // Alpha is always the source's.
                match format {
                    "RGBA" => bytes.chunks_mut(4).for_each(|pixel| pixel[3] = 0),
                    "xBGR" => bytes.chunks_mut(4).for_each(|pixel| pixel[0] = 0),
                    _ => (),
                }
                bytes
            };
            let first = paint(0, 0);
            assert!(paint(1, 1) == first, "{provider} {format} stays");
            let other = paint(90, 2);
            assert!(other != first, "{provider} {format} is new");
            assert!(paint(91, 3) == other, "{provider} {format} stays");
        }
    }
}

#[test]
fn slow_changes_are_followed() {
    let mut stream = Stream::new("cpu", &identity(13), 1.0, SIZE);
    let mut off = 0;
    for level in 0..100_u8 {
        let source = scene(SIZE, 0).map(|[r, g, b]| [r, g, b.saturating_add(level)]);
        let painted = stream.play(&source);
        // Tolerance at the disc's edge, plus one step.
        let most = source.max_difference(&painted);
        assert!(most <= 12, "{level}: {most}");
        // And where it is smooth.
        off = source.pixels[SIZE.0 - 1][2].abs_diff(painted.pixels[SIZE.0 - 1][2]);
        assert!(off <= 3, "{level}: {off}");
    }
    assert!(off > 0, "something is kept");
}

#[test]
fn the_past_has_the_weight_that_was_asked_for() {
    let mut stream = Stream::new("cpu", &identity(13), 0.5, SIZE);
    // With grain so strong that 6 codes may be noise.
    let one = noisy(&scene(SIZE, 0), 8.0, &mut Random(5));
    let like = one.map(|[r, g, b]| [r + 6, g, b]);
    stream.play(&one);
    // 1 - (1 - 0.5)^1.5 of the past: 6 codes become 2.1.
    let painted = stream.play(&like);
    assert_eq!(painted.max_difference(&one), 2);
}

#[test]
fn it_is_switched_on_and_moved_without_a_lost_frame() {
    let mut stream = Stream::new("cpu", &identity(13), 0.0, SIZE);
    let one = scene(SIZE, 0);
    let like = one.map(|[r, g, b]| [r + 1, g, b]);
    stream.play(&one);
    stream.element.set_property("stability", 1.0);
    let begin = std::time::Instant::now();
    loop {
        stream.play(&one);
        if stream.play(&like) == stream.play(&one) {
            break;
        }
        assert!(begin.elapsed().as_secs() < 120, "never switched on");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let graphs = |stream: &Stream| {
        let stats = stream.element.property::<gst::Structure>("stats");
        stats.get::<u64>("compiled-graphs").expect("a number")
    };
    let compiled = graphs(&stream);
    for stability in [0.3, 0.0, 0.9] {
        stream.element.set_property("stability", stability);
        let painted = stream.play(&like);
        if stability == 0.0 {
            assert_eq!(painted.max_difference(&like), 0, "nothing of the past");
        }
    }
    assert_eq!(graphs(&stream), compiled, "values compile nothing");
}

#[test]
fn frames_in_flight_keep_their_order_and_their_past() {
    let (_dir, element) = common::element(&identity(13).bytes());
    element.set_property("stability", 1.0);
    element.set_property("frames-in-flight", 3_u32);
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str("video/x-raw,format=RGB,width=96,height=64,framerate=25/1");
    let one = scene(SIZE, 0);
    for number in 0..12_u64 {
        let picture = one.map(|[r, g, b]| [r + (number % 2) as u8, g, b]);
        let mut buffer = picture.buffer(gst_video::VideoFormat::Rgb, "RGB", 96 * 3);
        let pts = gst::ClockTime::from_mseconds(40 * number);
        buffer.get_mut().expect("fresh").set_pts(pts);
        assert_eq!(harness.push(buffer), Ok(gst::FlowSuccess::Ok));
    }
    harness.push_event(gst::event::Eos::new());
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, 96, 64)
        .build()
        .expect("video info");
    for number in 0..12_u64 {
        let out = harness.pull().expect("a frame for each");
        let pts = gst::ClockTime::from_mseconds(40 * number);
        assert_eq!(out.pts(), Some(pts));
        let painted = Picture::read(&out, &info, "RGB");
        assert_eq!(painted.max_difference(&one), 0, "frame {number}");
    }
}
