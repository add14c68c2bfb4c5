// SPDX-License-Identifier: MPL-2.0
//! Speed and memory of the element, as ratios taken in one run (`make bench`).
//!
//! The machine's other load moves absolute times; pairs of runs in turn, A B A B …, it moves alike.
//! `cargo bench -- NAME …` runs only the parts whose names contain one of the words; `long` adds
//! the 5,000-frame memory run.

#[path = "stylize/bare.rs"]
mod bare;

use std::time::{Duration, Instant};

use bare::Bare;
use gst::prelude::*;
use gststylize::engine::{Precision, Provider};

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;
const PAIRS: usize = 60;
/// Of these, the pairs are spread over so many pairs of sessions: where the arena of one happens to lie in
/// memory makes it faster or slower by several per cent for as long as it lives.
const SESSIONS: usize = 5;
const SIZES: [(usize, usize); 4] = [(640, 360), (1280, 720), (1920, 1080), (3840, 2160)];

/// `stylize ! fakesink`, fed frame by frame through a pad of our own.
struct Element {
    pipeline: gst::Pipeline,
    stylize: gst::Element,
    pad: gst::Pad,
    frame: gst::Buffer,
}

impl Element {
    fn new(provider: &str, precision: &str) -> Self {
        Self::sized(provider, precision, WIDTH, HEIGHT)
    }

    fn sized(provider: &str, precision: &str, width: usize, height: usize) -> Self {
        Self::with((provider, precision), "RGB", (width, height), &[])
    }

    fn with(
        (provider, precision): (&str, &str),
        format: &str,
        (width, height): (usize, usize),
        properties: &[(&str, &str)],
    ) -> Self {
        let stylize = gst::ElementFactory::make("stylize")
            .property_from_str("execution-provider", provider)
            .property_from_str("precision", precision)
            .build()
            .expect("stylize");
        for (name, value) in properties {
            stylize.set_property_from_str(name, value);
        }
        let sink = gst::ElementFactory::make("fakesink")
            .property("sync", false)
            .property("async", false)
            .build()
            .expect("fakesink");
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([&stylize, &sink]).expect("added");
        stylize.link(&sink).expect("linked");
        let pad = gst::Pad::builder(gst::PadDirection::Src).build();
        pad.set_active(true).expect("active");
        pad.link(&stylize.static_pad("sink").expect("a pad"))
            .expect("linked");
        pipeline.set_state(gst::State::Playing).expect("playing");
        pad.push_event(gst::event::StreamStart::new("bench"));
        let format = format.parse().expect("a format");
        let info = gst_video::VideoInfo::builder(format, width as u32, height as u32)
            .fps(gst::Fraction::new(30, 1))
            .build()
            .expect("video info");
        pad.push_event(gst::event::Caps::new(&info.to_caps().expect("caps")));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        pad.push_event(gst::event::Segment::new(&segment));
        let mut frame = gst::Buffer::from_slice(bytes(width, info.size()));
        let region = (
            width as u32 / 4,
            height as u32 / 4,
            width as u32 / 2,
            height as u32 / 2,
        );
        let fresh = frame.get_mut().expect("fresh");
        gst_video::VideoRegionOfInterestMeta::add(fresh, "face", region);
        Self {
            pipeline,
            stylize,
            pad,
            frame,
        }
    }

    fn run(&self) -> Duration {
        let begin = Instant::now();
        self.pad.push(self.frame.clone()).expect("pushed");
        begin.elapsed()
    }

    fn stat<T>(&self, name: &str) -> T
    where
        T: for<'a> gst::glib::value::FromValue<'a> + gst::glib::value::ValueType,
    {
        let stats = self.stylize.property::<gst::Structure>("stats");
        stats.get(name).expect("a field of the statistics")
    }
}

impl Drop for Element {
    fn drop(&mut self) {
        // Fails only if an element refuses to stop; there is nothing to do about it then.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// So many bytes with smooth and busy parts.
fn bytes(width: usize, size: usize) -> Vec<u8> {
    let value = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        let wave = ((x as f32 / 37.0).sin() * (y as f32 / 23.0 + c as f32).cos() + 1.0) * 100.0;
        wave as u8 ^ ((x / 16 * y / 16) as u8 & 31)
    };
    (0..size).map(value).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Element against bare session, pair by pair.
fn overhead(
    provider: (&str, Provider),
    precision: (&str, Precision),
    (width, height): (usize, usize),
) {
    let (mut frames, mut runs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut rounds = Vec::new();
    for _ in 0..SESSIONS {
        let element = Element::sized(provider.0, precision.0, width, height);
        let mut bare = Bare::new(provider.1, precision.1, width, height);
        for _ in 0..3 {
            element.run();
            bare.run();
        }
        let mut round = Vec::new();
        for _ in 0..PAIRS / SESSIONS {
            let (run, frame) = (bare.run(), element.run());
            round.push(run.as_secs_f64() / frame.as_secs_f64());
            frames.push(frame);
            runs.push(run);
        }
        round.sort_by(f64::total_cmp);
        rounds.push(round[round.len() / 2]);
        ratios.append(&mut round);
    }
    ratios.sort_by(f64::total_cmp);
    rounds.sort_by(f64::total_cmp);
    println!(
        "stylize ÷ bare session.run, {} {}, {width}x{height}: {:.3} of its frame rate (median of {} pairs, {:.3} to {:.3} for {SESSIONS} pairs of sessions; {:.1} ms and {:.1} ms, fastest {:.1} and {:.1})",
        provider.0,
        precision.0,
        ratios[ratios.len() / 2],
        ratios.len(),
        rounds[0],
        rounds[SESSIONS - 1],
        ms(median(frames.clone())),
        ms(median(runs.clone())),
        ms(frames.into_iter().min().unwrap_or_default()),
        ms(runs.into_iter().min().unwrap_or_default()),
    );
}

/// Frames per second at sizes from 640x360 to 3840x2160, and how the time grows with the pixels.
fn frame_rate() {
    let mut points = Vec::new();
    for (width, height) in SIZES {
        let element = Element::sized("auto", "auto", width, height);
        for _ in 0..10 {
            element.run();
        }
        let pixels = (width * height) as f64;
        let count = (2e8 / pixels) as usize;
        let times: Vec<Duration> = (0..count).map(|_| element.run()).collect();
        let total: Duration = times.iter().sum();
        let median = median(times);
        points.push((pixels.ln(), median.as_secs_f64().ln()));
        println!(
            "built-in lite gallery, {width}x{height}, auto = {} {}: {:.1} fps (mean of {count} frames; median {:.1} ms)",
            element.stat::<String>("provider"),
            element.stat::<String>("precision"),
            count as f64 / total.as_secs_f64(),
            ms(median),
        );
    }
    // The slope of the line through all, in logarithms.
    let mean =
        |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let above: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let below: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    println!(
        "time grows with the pixels to the power of {:.2}",
        above / below
    );
}

/// Must run first: a later element finds ONNX Runtime loaded.
fn first_frame() {
    let begin = Instant::now();
    let element = Element::new("auto", "auto");
    element.run();
    println!(
        "from PLAYING to the first frame behind stylize, 1280x720, new process: {:.2} s (compiling the graph {:.2} s)",
        begin.elapsed().as_secs_f64(),
        element.stat::<u64>("compile-time") as f64 / 1e9,
    );
}

/// Resident memory of this process, MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn memory(frames: usize) {
    let element = Element::new("auto", "auto");
    let mut marks = Vec::new();
    for frame in 1..=frames {
        element.run();
        if [50, 500, frames].contains(&frame) {
            marks.push(format!("{:.0} MiB after {frame}", resident()));
        }
    }
    println!("resident memory at 1280x720: {}", marks.join(", "));
}

/// How long a flush waits for a frame that is being computed, at the worst of some tries.
fn cancelling(provider: &str, precision: &str, (width, height): (usize, usize)) {
    let element = Element::sized(provider, precision, width, height);
    let frame = element.run();
    let mut waits = Vec::new();
    for part in 1..10 {
        // What was given up may still be computed: not beside the next one.
        element.run();
        let run = std::thread::scope(|scope| {
            let run = scope.spawn(|| element.pad.push(element.frame.clone()));
            std::thread::sleep(frame / 10 * part);
            let begin = Instant::now();
            element.pad.push_event(gst::event::FlushStart::new());
            let flow = run.join().expect("no panic");
            if flow.is_err() {
                waits.push(begin.elapsed());
            }
            flow
        });
        element.pad.push_event(gst::event::FlushStop::new(true));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        element.pad.push_event(gst::event::Segment::new(&segment));
        assert!(run.is_ok() || run == Err(gst::FlowError::Flushing));
    }
    element.run();
    let stop = std::thread::scope(|scope| {
        scope.spawn(|| element.pad.push(element.frame.clone()));
        std::thread::sleep(frame / 2);
        let begin = Instant::now();
        let stopped = element.stylize.set_state(gst::State::Ready);
        stopped.expect("stopped");
        begin.elapsed()
    });
    println!(
        "flush while a {width}x{height} frame of {:.0} ms is computed, {provider} {precision}: {:.0} ms at the worst of {} tries, median {:.0} ms; a stop: {:.0} ms",
        ms(frame),
        ms(waits.iter().max().copied().unwrap_or_default()),
        waits.len(),
        ms(median(waits.clone())),
        ms(stop),
    );
}

/// Frames that each of the elements finishes in a while, all at once, each fed by its own thread.
fn race(elements: &[Element], time: Duration) -> Vec<u32> {
    let begin = Instant::now();
    let frames = |element: &Element| {
        let runs = std::iter::repeat_with(|| element.run());
        runs.take_while(|_| begin.elapsed() < time).count() as u32
    };
    std::thread::scope(|scope| {
        let runs: Vec<_> = elements
            .iter()
            .map(|element| scope.spawn(move || frames(element)))
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("no panic"))
            .collect()
    })
}

/// What each control costs, as a share of the time without any.
fn stages(place: (&str, &str), format: &str, (width, height): (usize, usize)) {
    const TURNS: usize = 15;
    let half = (height / 2).to_string();
    let controls: [(&str, &[(&str, &str)]); 10] = [
        ("strength=0.5", &[("strength", "0.5")]),
        ("stability=0.8", &[("stability", "0.8")]),
        ("mask=roi", &[("mask", "roi")]),
        ("color=source", &[("color", "source")]),
        ("color=match", &[("color", "match")]),
        ("split=0.5", &[("split", "0.5")]),
        (
            "all of these",
            &[
                ("strength", "0.5"),
                ("stability", "0.8"),
                ("mask", "roi"),
                ("color", "match"),
                ("split", "0.5"),
            ],
        ),
        (
            "half the height, bilinear",
            &[("inference-height", &half), ("upscale", "bilinear")],
        ),
        (
            "half the height, guided",
            &[("inference-height", &half), ("upscale", "guided")],
        ),
        ("the same once more", &[]),
    ];
    let (provider, precision) = place;
    for (label, properties) in controls {
        let mut ratios = Vec::new();
        for _ in 0..SESSIONS {
            let plain = Element::with(place, format, (width, height), &[]);
            let element = Element::with(place, format, (width, height), properties);
            for _ in 0..2 {
                plain.run();
                element.run();
            }
            ratios.extend((0..TURNS / SESSIONS).map(|_| {
                let (without, with) = (plain.run(), element.run());
                with.as_secs_f64() / without.as_secs_f64()
            }));
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "{label}, {provider} {precision}, {format} {width}x{height}: {:.0} % of the time without (median of {TURNS} pairs, {SESSIONS} pairs of sessions)",
            100.0 * ratios[TURNS / 2]
        );
    }
}

/// Many pipelines in one process against one of them.
fn sharing(provider: &str, precision: &str) {
    const MANY: usize = 16;
    const TIME: Duration = Duration::from_secs(3);
    let mut elements = vec![Element::sized(provider, precision, 640, 360)];
    race(&elements, TIME);
    let alone = resident();
    elements.resize_with(MANY, || Element::sized(provider, precision, 640, 360));
    race(&elements, TIME);
    let together = resident();
    let (mut ratios, mut fairness) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let one: u32 = race(&elements[..1], TIME).into_iter().sum();
        let many = race(&elements, TIME);
        ratios.push(f64::from(many.iter().sum::<u32>()) / f64::from(one));
        let (least, most) = (many.iter().min(), many.iter().max());
        fairness.push(f64::from(*least.unwrap_or(&0)) / f64::from(*most.unwrap_or(&1)));
    }
    ratios.sort_by(f64::total_cmp);
    fairness.sort_by(f64::total_cmp);
    println!(
        "{MANY} pipelines in one process, {provider} {precision}, 640x360: {:.3} of the frames of one (median of 5 pairs of {} s), {:.2} times its memory ({together:.0} and {alone:.0} MiB), slowest ÷ fastest {:.2}; {} elements hold the session",
        ratios[2],
        TIME.as_secs(),
        together / alone,
        fairness[2],
        elements[0].stat::<u32>("session-holders"),
    );
}

/// A live source that may be too large for the machine: what comes to the sink, and when.
fn live(provider: &str, precision: &str, adapt: &str) {
    // Black, because drawing anything else takes a part of what is to be measured.
    const TIME: Duration = Duration::from_secs(15);
    let line = format!(
        "videotestsrc is-live=true pattern=black ! video/x-raw,format=ABGR,width=1920,height=1080,framerate=30/1 \
         ! queue max-size-buffers=2 ! stylize name=stylize execution-provider={provider} \
         precision={precision} adapt={adapt} ! queue max-size-buffers=2 ! fakesink name=sink sync=true qos=true"
    );
    let pipeline = gst::parse::launch(&line).expect("a pipeline");
    let pipeline: gst::Pipeline = pipeline.downcast().expect("a pipeline");
    let [stylize, sink] = ["stylize", "sink"].map(|name| pipeline.by_name(name).expect(name));
    let (sender, late) = std::sync::mpsc::channel();
    let clocked = pipeline.downgrade();
    let pad = sink.static_pad("sink").expect("a pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let now = clocked.upgrade().and_then(|p| p.current_running_time());
        let time = info.buffer().and_then(|buffer| buffer.pts());
        let late = now.zip(time).map(|(now, time)| now.saturating_sub(time));
        // Nobody listens any more at the end.
        let _ = sender.send(Duration::from(late.unwrap_or_default()));
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).expect("plays");
    late.recv().expect("a first frame");
    std::thread::sleep(TIME);
    let begun = late.try_iter().count();
    std::thread::sleep(TIME);
    let mut late: Vec<Duration> = late.try_iter().collect();
    let stats = stylize.property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).expect("stopped");
    late.sort_unstable();
    let at = |percent: usize| {
        late.get(late.len() * percent / 100)
            .map_or(f64::NAN, |t| ms(*t))
    };
    println!(
        "live 1920x1080 at 30 fps, {provider} {precision}, adapt={adapt}: {:.1} frames per second at first, {:.1} then, {} dropped in all, {:.0} ms to the sink (95 %: {:.0}), {} lines after {} steps",
        begun as f64 / TIME.as_secs_f64(),
        late.len() as f64 / TIME.as_secs_f64(),
        stats.get::<u64>("dropped").expect("a count"),
        at(50),
        at(95),
        stats.get::<u32>("inference-height").expect("lines"),
        stats.get::<u64>("adapt-steps").expect("a count"),
    );
}

fn main() {
    gst::init().expect("GStreamer");
    gststylize::plugin_register_static().expect("the element");
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    if wanted("first-frame") {
        first_frame();
    }
    if wanted("memory") || words.iter().any(|word| word == "long") {
        let long = words.iter().any(|word| word == "long");
        memory(if long { 5000 } else { 600 });
    }
    if wanted("frame-rate") {
        frame_rate();
    }
    if wanted("sharing") {
        sharing("cpu", "fp32");
        sharing("openvino", "fp32");
        sharing("openvino", "bf16");
    }
    if wanted("cancelling") {
        for size in [(1280, 720), (1920, 1080), (3840, 2160)] {
            cancelling("cpu", "fp32", size);
            cancelling("openvino", "bf16", size);
        }
    }
    if wanted("stages") {
        for size in [(1280, 720), (1920, 1080)] {
            for format in ["I420", "RGB"] {
                stages(("cpu", "fp32"), format, size);
                stages(("openvino", "bf16"), format, size);
            }
        }
    }
    if wanted("live") {
        for (provider, precision) in [("openvino", "bf16"), ("cpu", "fp32")].repeat(2) {
            live(provider, precision, "off");
            live(provider, precision, "resolution");
        }
    }
    if wanted("overhead") {
        let openvino = ("openvino", Provider::OpenVino);
        for size in [(1280, 720), (1920, 1080)] {
            overhead(("cpu", Provider::Cpu), ("fp32", Precision::Fp32), size);
            overhead(openvino, ("fp32", Precision::Fp32), size);
            overhead(openvino, ("bf16", Precision::Bf16), size);
        }
    }
}
