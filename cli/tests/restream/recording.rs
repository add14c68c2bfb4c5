// SPDX-License-Identifier: MPL-2.0
//! A recording of a player: which frames are stylized, and whether flashes and tones are synchronized.

use std::path::Path;
use std::sync::{Arc, Mutex};

use gst::prelude::*;

use super::peers::{RATE, generator, pictures};
use super::player::File;

/// Mean difference of samples, 0 to 255: below the first, two pictures differ by encoding only; above the second, they
/// are different pictures.
const ALIKE: f64 = 14.0;
const UNLIKE: f64 = 30.0;
/// Seconds without a tone before one counts as new.
const QUIET: f64 = 0.4;

pub struct Recording {
    /// Seconds and RGB samples of each frame.
    frames: Vec<(f64, Vec<u8>)>,
    /// Seconds of the beginning of each tone.
    tones: Vec<f64>,
}

/// Plays a recording to its end. Returns every buffer of the sink of this name, with its time in seconds.
fn buffers<const N: usize>(line: &str, names: [&str; N]) -> [Vec<(f64, Vec<u8>)>; N] {
    let pipeline = gst::parse::launch(line).expect("a pipeline");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let found = names.map(|name| {
        let buffers = Arc::new(Mutex::new(Vec::new()));
        let sink = pipeline
            .by_name(name)
            .and_downcast::<gst_app::AppSink>()
            .expect("a sink");
        let shared = buffers.clone();
        let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let buffer = sample.buffer().expect("a buffer");
            let at = buffer.pts().expect("a time").nseconds() as f64 / 1e9;
            let bytes = buffer.map_readable().expect("bytes").to_vec();
            shared.lock().expect("a lock").push((at, bytes));
            Ok(gst::FlowSuccess::Ok)
        });
        sink.set_callbacks(callbacks.build());
        buffers
    });
    pipeline.set_state(gst::State::Playing).expect("plays");
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let bus = pipeline.bus().expect("a bus");
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends);
    let message = message.expect("an end");
    pipeline.set_state(gst::State::Null).expect("stopped");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    found.map(|buffers| std::mem::take(&mut *buffers.lock().expect("a lock")))
}

fn difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len(), "the same size");
    let sum: u64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    sum as f64 / a.len() as f64
}

/// Mean brightness of the right half minus that of the left one.
fn contrast(rgb: &[u8]) -> f64 {
    let row = rgb.len() / 180;
    let mean = |right: bool| {
        let samples = rgb
            .iter()
            .enumerate()
            .filter(|(i, _)| (i % row >= row / 2) == right);
        samples.map(|(_, v)| f64::from(*v)).sum::<f64>() / (rgb.len() / 2) as f64
    };
    mean(true) - mean(false)
}

/// A published picture, original or stylized.
fn picture(file: &Path, filter: &str) -> Vec<u8> {
    let line = format!(
        "filesrc location={} ! pngdec ! videoconvert ! {filter} video/x-raw,format=RGB \
         ! appsink name=picture sync=false",
        file.display()
    );
    let [mut frames] = buffers(&line, ["picture"]);
    frames.remove(0).1
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Recording {
    pub fn read(file: &File) -> Self {
        let line = format!(
            "filesrc location={} ! decodebin name=d \
             d. ! video/x-raw ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 \
             ! videoconvert ! video/x-raw,format=RGB ! appsink name=video sync=false \
             d. ! audio/x-raw ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 \
             ! audioconvert ! audioresample ! audio/x-raw,format=F32LE,channels=1,rate=48000 \
             ! appsink name=sound sync=false",
            file.folder.path().join(file.name).display()
        );
        let [frames, sound] = buffers(&line, ["video", "sound"]);
        let (mut tones, mut loud) = (Vec::new(), sound.first().map_or(0.0, |(at, _)| *at));
        for (at, bytes) in &sound {
            for (i, sample) in bytes.chunks_exact(4).enumerate() {
                let value = f32::from_le_bytes([sample[0], sample[1], sample[2], sample[3]]);
                let now = at + i as f64 / 48_000.0;
                if value.abs() > 0.2 {
                    if now - loud > QUIET {
                        tones.push(now);
                    }
                    loud = now;
                }
            }
        }
        Self { frames, tones }
    }

    /// Checks that at least a hundred frames are paintings of the published pictures, and no other frames occur; and
    /// that a flash and its tone are at most a frame apart, at the beginning and at the end.
    pub fn check(&self, what: &str) {
        self.check_painted_by(&format!("model-file={}", generator()), what);
    }

    /// As [`Self::check`], with other properties of `stylize`.
    pub fn check_painted_by(&self, properties: &str, what: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let files = pictures(folder.path());
        let paint = format!("stylize {properties} qos=false ! videoconvert !");
        let sources = files.each_ref().map(|file| picture(file, ""));
        let paintings = files.each_ref().map(|file| picture(file, &paint));
        for (source, painting) in sources.iter().zip(&paintings) {
            let apart = difference(source, painting);
            assert!(
                apart > UNLIKE,
                "{what}: a painting is not its source: {apart}"
            );
        }
        let nearest = |frame: &[u8]| {
            let all = paintings.iter().map(|painting| difference(frame, painting));
            all.fold(f64::MAX, f64::min)
        };
        let apart: Vec<f64> = self
            .frames
            .iter()
            .map(|(_, frame)| nearest(frame))
            .collect();
        let worst = apart.iter().copied().fold(0.0, f64::max);
        assert!(apart.len() >= 100, "{what}: {} frames", apart.len());
        assert!(
            worst < ALIKE,
            "{what}: a frame is no painting of the source: {worst}"
        );

        let offsets = self.offsets();
        assert!(
            offsets.len() >= 6,
            "{what}: {} tones and flashes",
            offsets.len()
        );
        let (early, late) = offsets.split_at(offsets.len() / 2);
        let (early, late) = (median(early.to_vec()), median(late.to_vec()));
        let frame = 1.0 / f64::from(RATE);
        println!(
            "{what}: {} frames, off by at most {worst:.1} of 255; picture behind sound by {:+.1} ms, later {:+.1} ms",
            apart.len(),
            early * 1e3,
            late * 1e3
        );
        for offset in [early, late, late - early] {
            assert!(
                offset.abs() <= frame,
                "{what}: {offset} s, a frame is {frame} s: {offsets:?}"
            );
        }
    }

    /// Seconds from each tone to its flash.
    fn offsets(&self) -> Vec<f64> {
        let contrasts: Vec<f64> = self
            .frames
            .iter()
            .map(|(_, frame)| contrast(frame))
            .collect();
        let least = contrasts.iter().copied().fold(f64::MAX, f64::min);
        let most = contrasts.iter().copied().fold(f64::MIN, f64::max);
        // The contrast of the flash is lower in the painting than in the source.
        assert!(
            most - least > 20.0,
            "flashes can be told: {least} to {most}"
        );
        let bright = |i: usize| contrasts[i] > f64::midpoint(least, most);
        let flashes = (1..contrasts.len()).filter(|i| bright(*i) && !bright(i - 1));
        let flashes: Vec<f64> = flashes.map(|i| self.frames[i].0).collect();
        let near = |tone: f64| {
            let offsets = flashes.iter().map(|flash| flash - tone);
            let nearest = offsets.min_by(|a, b| a.abs().total_cmp(&b.abs()));
            nearest.filter(|offset| offset.abs() < 0.5)
        };
        self.tones.iter().filter_map(|tone| near(*tone)).collect()
    }
}
