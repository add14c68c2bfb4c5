// SPDX-License-Identifier: MPL-2.0
//! `adapt` in pipelines with a clock: live ones keep their frames, files keep their size.

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::generators::slow;
use gst::prelude::*;
use gst_check::Harness;

const WIDTH: usize = 256;
const HEIGHT: usize = 192;
const FRAME: Duration = Duration::from_millis(33);

/// Steps of a generator that takes this time for a frame of all lines.
fn steps_for(time: Duration) -> usize {
    const STEPS: usize = 20;
    let (_dir, element) = common::element(&slow(STEPS).bytes());
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str(&format!(
        "video/x-raw,format=RGB,width={WIDTH},height={HEIGHT},framerate=30/1"
    ));
    let once = |_| {
        let buffer = gst::Buffer::from_mut_slice(vec![77; WIDTH * HEIGHT * 3]);
        let begin = Instant::now();
        harness.push_and_pull(buffer).expect("a frame");
        begin.elapsed()
    };
    // The minimum is the time on an idle machine.
    let took = (0..20).map(once).min().expect("some");
    (STEPS as f64 * time.as_secs_f64() / took.as_secs_f64()).ceil() as usize
}

/// A pipeline, and what came to its sink: the number of each frame, and how late it was.
struct Play {
    _dir: tempfile::TempDir,
    pipeline: gst::Pipeline,
    stylize: gst::Element,
    arrived: Arc<Mutex<Vec<(usize, Duration)>>>,
}

impl Play {
    fn new(source: &str, steps: usize, properties: &str, sink: &str) -> Self {
        common::init();
        let (dir, file) = common::model_file(&slow(steps).bytes());
        let line = format!(
            "videotestsrc {source} ! video/x-raw,format=RGB,width={WIDTH},height={HEIGHT},framerate=30/1 \
             ! stylize name=stylize execution-provider=cpu threads=1 model-file={} {properties} \
             ! fakesink name=sink {sink}",
            file.display()
        );
        let pipeline = gst::parse::launch(&line).expect("a pipeline");
        let pipeline: gst::Pipeline = pipeline.downcast().expect("a pipeline");
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let sink = pipeline.by_name("sink").expect("a sink");
        let (times, clocked) = (arrived.clone(), pipeline.downgrade());
        let pad = sink.static_pad("sink").expect("a pad");
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer().expect("a buffer");
            let info = buffer.meta::<gst_video::VideoMeta>();
            assert!(info.is_none_or(|meta| (meta.width(), meta.height()) == (256, 192)));
            assert_eq!(buffer.size(), WIDTH * HEIGHT * 3);
            let time = buffer.pts().expect("a time");
            let number = (time.nseconds() * 30 + 500_000_000) / 1_000_000_000;
            let now = clocked.upgrade().and_then(|p| p.current_running_time());
            let late = now.unwrap_or_default().saturating_sub(time);
            times
                .lock()
                .expect("times")
                .push((number as usize, late.into()));
            gst::PadProbeReturn::Ok
        });
        let stylize = pipeline.by_name("stylize").expect("stylize");
        pipeline.set_state(gst::State::Playing).expect("plays");
        Self {
            _dir: dir,
            pipeline,
            stylize,
            arrived,
        }
    }

    fn stat(&self, name: &str) -> u64 {
        let stats = self.stylize.property::<gst::Structure>("stats");
        let value = stats.value(name).expect("a field");
        let value = value.transform::<u64>().expect("a number");
        value.get().expect("a number")
    }

    fn arrived(&self) -> Vec<(usize, Duration)> {
        self.arrived.lock().expect("times").clone()
    }

    /// Latency of the pipeline, which its sink waits for.
    fn latency(&self) -> Duration {
        let mut query = gst::query::Latency::new();
        assert!(self.pipeline.query(&mut query));
        let (live, min, _) = query.result();
        assert!(live);
        min.into()
    }

    fn end(self) {
        self.pipeline.set_state(gst::State::Null).expect("stopped");
        let bus = self.pipeline.bus().expect("a bus");
        let errors = common::errors(&bus);
        assert!(errors.is_empty(), "{errors:?}");
    }

    fn to_the_end(&self) {
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let bus = self.pipeline.bus().expect("a bus");
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends);
        assert_eq!(message.map(|m| m.type_()), Some(gst::MessageType::Eos));
    }
}

#[test]
fn a_live_stream_that_needs_twice_the_time_keeps_its_frames_or_loses_half_of_them() {
    let live = "is-live=true";
    let mut steps = steps_for(2 * FRAME);
    let (play, arrived) = loop {
        let play = Play::new(live, steps, "adapt=off", "sync=true qos=true");
        std::thread::sleep(Duration::from_secs(6));
        let took = Duration::from_nanos(play.stat("time-median"));
        if took > FRAME * 3 / 2 {
            let arrived = play.arrived();
            break (play, arrived);
        }
        // The measurement was disturbed by other processes.
        steps = steps * 2 * FRAME.as_micros() as usize / took.as_micros() as usize;
        play.end();
    };
    let (dropped, last) = (play.stat("dropped"), arrived.last().expect("frames").0);
    assert!(
        arrived.len() * 4 < last * 3,
        "{} of {last} frames",
        arrived.len()
    );
    // Frames are dropped before inference only.
    assert!(arrived.len() as u64 <= play.stat("frames"));
    assert!(dropped as usize * 5 > last, "{dropped} of {last} dropped");
    assert_eq!(play.stat("inference-height"), HEIGHT as u64);
    play.end();

    // Two seconds of at least 29 frames each, none later than the latency, as soon as the load of this machine allows.
    let play = Play::new(live, steps, "adapt=resolution", "sync=true qos=true");
    let begin = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(250));
        let (arrived, latency) = (play.arrived(), play.latency());
        let since = arrived
            .last()
            .map_or(0, |(last, _)| last.saturating_sub(59));
        let latest = arrived.iter().filter(|(number, _)| *number >= since);
        let in_time = latest.filter(|(_, late)| *late <= latency).count();
        if since > 0 && in_time >= 58 {
            break;
        }
        let waited = begin.elapsed() < Duration::from_secs(120);
        assert!(
            waited,
            "{in_time} of 60 in {latency:?}: {:?}",
            play.arrived()
        );
    }
    assert!(play.stat("inference-height") < HEIGHT as u64);
    assert!(play.stat("adapt-steps") >= 1);
    play.end();
}

#[test]
fn a_file_keeps_its_size_unless_the_sink_says_that_it_is_late() {
    let steps = steps_for(4 * FRAME);
    let file = "num-buffers=40";
    let play = Play::new(file, steps, "adapt=resolution", "sync=false");
    play.to_the_end();
    assert_eq!(play.arrived().len(), 40);
    assert_eq!(play.stat("frames"), 40);
    assert_eq!(play.stat("adapt-steps"), 0);
    assert_eq!(play.stat("inference-height"), HEIGHT as u64);
    play.end();

    let play = Play::new(
        file,
        steps,
        "adapt=resolution qos=false",
        "sync=true qos=true",
    );
    play.to_the_end();
    assert_eq!(play.arrived().len(), 40);
    assert!(play.stat("adapt-steps") >= 1);
    assert!(play.stat("inference-height") < HEIGHT as u64);
    play.end();
}
