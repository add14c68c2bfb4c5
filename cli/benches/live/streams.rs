// SPDX-License-Identifier: MPL-2.0
//! How many live streams one process carries: each decodes H.264, paints, and encodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::film::{Film, launch, sink};
use super::table::Table;

const SIZES: [(u32, u32); 2] = [(640, 360), (1280, 720)];
const RATES: [u32; 2] = [25, 30];
/// This part of its frames each stream must keep.
const KEPT: f64 = 0.95;
/// More than this is not looked for.
const MOST: usize = 32;
/// Frames of a film, there and back.
const LENGTH: usize = 94;

/// H.264 that begins with a key frame, to be repeated.
struct Encoded {
    frames: Vec<gst::Buffer>,
    caps: gst::Caps,
    fps: u32,
    bitrate: u32,
}

impl Encoded {
    fn new((width, height): (u32, u32), fps: u32) -> Self {
        let film = Film::new(width, height, fps);
        let bitrate = if height > 500 { 6000 } else { 2500 };
        let pipeline = launch(&format!(
            "appsrc name=in format=time caps=\"{}\" \
             ! x264enc tune=zerolatency speed-preset=veryfast bitrate={bitrate} key-int-max={LENGTH} \
             ! video/x-h264,profile=constrained-baseline,stream-format=byte-stream,alignment=au \
             ! appsink name=out sync=false",
            film.info.to_caps().expect("caps")
        ));
        let input = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>();
        let input = input.expect("an appsrc");
        let out = sink(&pipeline, "out");
        pipeline.set_state(gst::State::Playing).expect("plays");
        for number in 0..LENGTH {
            let mut frame = film.frame(number).copy();
            let time = gst::ClockTime::SECOND * number as u64 / u64::from(fps);
            let fresh = frame.make_mut();
            fresh.unset_flags(gst::BufferFlags::all());
            fresh.set_pts(time);
            fresh.set_duration(gst::ClockTime::SECOND / u64::from(fps));
            input.push_buffer(frame).expect("taken");
        }
        input.end_of_stream().expect("ended");
        let mut caps = None;
        let samples = std::iter::from_fn(|| out.pull_sample().ok());
        let frames = samples.map(|sample| {
            caps = sample.caps_owned();
            sample.buffer_owned().expect("a frame")
        });
        let frames: Vec<_> = frames.collect();
        pipeline.set_state(gst::State::Null).expect("stopped");
        assert_eq!(frames.len(), LENGTH, "all frames");
        Self {
            frames,
            caps: caps.expect("caps"),
            fps,
            bitrate,
        }
    }
}

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    sent: AtomicU64,
    come: AtomicU64,
}

struct Stream {
    pipeline: gst::Pipeline,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    /// `phase`: a part of a frame's time by which it is later than others.
    fn start(film: &Arc<Encoded>, adapt: &str, phase: f64) -> Self {
        let pipeline = launch(&format!(
            "appsrc name=in is-live=true format=time do-timestamp=true max-bytes=0 caps=\"{}\" \
             ! avdec_h264 ! queue max-size-buffers=1 leaky=downstream \
             ! stylize name=stylize quality=lite adapt={adapt} ! queue max-size-buffers=2 \
             ! x264enc tune=zerolatency speed-preset=ultrafast bitrate={} key-int-max=60 \
             ! fakesink name=out sync=false async=false",
            film.caps, film.bitrate
        ));
        let counts = Arc::new(Counts::default());
        let out = pipeline.by_name("out").expect("a sink");
        let come = counts.clone();
        let pad = out.static_pad("sink").expect("a pad");
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            come.come.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
        let input = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>();
        let input = input.expect("an appsrc");
        pipeline.set_state(gst::State::Playing).expect("plays");
        let (film, counted) = (film.clone(), counts.clone());
        let thread = std::thread::spawn(move || {
            let begin = Instant::now() + Duration::from_secs_f64(phase / f64::from(film.fps));
            for number in 0.. {
                let at = begin + Duration::from_secs(1) * number / film.fps;
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                if counted.stop.load(Ordering::Relaxed) {
                    return;
                }
                let mut frame = film.frames[number as usize % LENGTH].copy();
                let fresh = frame.make_mut();
                fresh.set_pts(None);
                fresh.set_dts(None);
                counted.sent.fetch_add(1, Ordering::Relaxed);
                // Fails only while the pipeline stops.
                let _ = input.push_buffer(frame);
            }
        });
        Self {
            pipeline,
            counts,
            thread: Some(thread),
        }
    }

    /// Frames sent, and frames that have come through.
    fn counts(&self) -> [u64; 2] {
        [&self.counts.sent, &self.counts.come].map(|count| count.load(Ordering::Relaxed))
    }

    fn stat<T>(&self, name: &str) -> T
    where
        T: for<'a> gst::glib::value::FromValue<'a> + gst::glib::value::ValueType,
    {
        let stylize = self.pipeline.by_name("stylize").expect("the element");
        let stats = stylize.property::<gst::Structure>("stats");
        stats.get(name).expect("a field of the statistics")
    }

    fn check(&self) {
        let bus = self.pipeline.bus().expect("a bus");
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
            panic!("a stream has failed: {message:?}");
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has said on its own what went wrong.
            let _ = thread.join();
        }
        // Fails only if an element refuses to stop; there is nothing to do about it then.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// What so many streams came to.
struct Trial {
    /// Part of its frames that the worst stream kept.
    kept: f64,
    /// Lines they were painted at in the end, the least and the most.
    lines: [u32; 2],
}

fn trial(
    film: &Arc<Encoded>,
    adapt: &str,
    count: usize,
    settle: Duration,
    time: Duration,
) -> Trial {
    let streams: Vec<_> = (0..count)
        .map(|i| Stream::start(film, adapt, i as f64 / count as f64))
        .collect();
    std::thread::sleep(settle);
    let before: Vec<_> = streams.iter().map(Stream::counts).collect();
    std::thread::sleep(time);
    let kept = streams.iter().zip(before).map(|(stream, before)| {
        stream.check();
        let [sent, come] = stream.counts();
        (come - before[1]) as f64 / (sent - before[0]).max(1) as f64
    });
    let kept = kept.fold(f64::INFINITY, f64::min);
    let lines = streams.iter().map(|s| s.stat::<u32>("inference-height"));
    let lines: Vec<_> = lines.collect();
    let [least, most] = [lines.iter().min(), lines.iter().max()];
    Trial {
        kept,
        lines: [least, most].map(|lines| *lines.expect("a stream")),
    }
}

/// The greatest number that keeps its frames, with what it came to, and what one more came to.
fn greatest(measure: impl Fn(usize) -> Trial) -> (usize, Option<Trial>, Option<Trial>) {
    let (mut good, mut bad) = ((0, None), (MOST + 1, None));
    while bad.0 - good.0 > 1 {
        let count = match bad.1 {
            None => (2 * good.0).clamp(1, MOST),
            Some(_) => (good.0 + bad.0) / 2,
        };
        let trial = measure(count);
        match trial.kept >= KEPT {
            true => good = (count, Some(trial)),
            false => bad = (count, Some(trial)),
        }
    }
    (good.0, good.1, bad.1)
}

fn told(trial: Option<&Trial>) -> [String; 2] {
    let Some(trial) = trial else {
        return ["–".into(), "–".into()];
    };
    let lines = match trial.lines {
        [least, most] if least == most => least.to_string(),
        [least, most] => format!("{least} to {most}"),
    };
    [format!("{:.1} %", 100.0 * trial.kept), lines]
}

/// How many streams of each size and rate whose row's name contains `only`.
pub fn many(settle: Duration, time: Duration, only: &str) {
    println!(
        "\nStreams in one process, H.264 to stylize to x264enc ultrafast, of which each keeps {:.0} % of its frames for {time:?}:\n",
        100.0 * KEPT
    );
    let table = Table::new(&[
        "streams of",
        "adapt",
        "at most",
        "the worst keeps",
        "lines",
        "one more: the worst keeps",
        "lines",
    ]);
    for (size, fps) in SIZES.iter().flat_map(|size| RATES.map(|fps| (*size, fps))) {
        let name = format!("{}x{}, {fps} fps", size.0, size.1);
        if !name.contains(only) {
            continue;
        }
        let film = Arc::new(Encoded::new(size, fps));
        for adapt in ["off", "resolution"] {
            let (count, good, bad) = greatest(|count| trial(&film, adapt, count, settle, time));
            let ([kept, lines], [less, other]) = (told(good.as_ref()), told(bad.as_ref()));
            table.row(&[
                name.clone(),
                adapt.into(),
                count.to_string(),
                kept,
                lines,
                less,
                other,
            ]);
        }
    }
}

/// One stream of 1280x720 at 30 frames a second, second by second.
pub fn single(settle: Duration, time: Duration) {
    println!("\nOne stream of 1280x720 at 30 frames a second, H.264 to H.264, for {time:?}:\n");
    let film = Arc::new(Encoded::new((1280, 720), 30));
    let table = Table::new(&[
        "adapt",
        "frames a second",
        "the worst second",
        "95 % of the seconds, at least",
        "lines",
        "steps",
        "painting, ms",
    ]);
    for adapt in ["off", "resolution"] {
        let stream = Stream::start(&film, adapt, 0.0);
        std::thread::sleep(settle);
        let begin = Instant::now();
        let mut counts = vec![stream.counts()[1]];
        for second in 1..=time.as_secs() {
            let at = begin + Duration::from_secs(second);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            counts.push(stream.counts()[1]);
        }
        stream.check();
        let rates = counts.windows(2).map(|pair| (pair[1] - pair[0]) as f64);
        let rates: Vec<f64> = rates.collect();
        table.row(&[
            adapt.into(),
            format!("{:.1}", rates.iter().sum::<f64>() / rates.len() as f64),
            format!("{:.0}", rates.iter().copied().fold(f64::INFINITY, f64::min)),
            format!("{:.0}", super::table::share(&rates, 5)),
            stream.stat::<u32>("inference-height").to_string(),
            stream.stat::<u64>("adapt-steps").to_string(),
            format!("{:.1}", stream.stat::<u64>("time-median") as f64 / 1e6),
        ]);
    }
}
