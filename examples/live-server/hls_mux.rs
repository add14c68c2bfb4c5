// SPDX-License-Identifier: MPL-2.0
//! From frames and sound to the parts of Low-Latency HLS: fragmented MP4, cut where pictures allow it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use axum::body::Bytes;
use gst::prelude::*;
use tokio::sync::watch;

use super::hls_window::{Lengths, Part, Window};
use super::key_frames::running_time;
use super::output::cast;
use super::sound;

/// The codec's name of AAC-LC, in the words of RFC 6381.
const AAC: &str = "mp4a.40.2";
/// The encoder's sound is as much later than it says, by 1024 samples, which it takes to begin.
const PRIMING: gst::ClockTime = gst::ClockTime::from_nseconds(1024 * 1_000_000_000 / 48_000);

pub struct Muxer {
    pub pipeline: gst::Pipeline,
    pub video: gst_app::AppSrc,
    pub sound: gst_app::AppSrc,
    mux: gst::Element,
    out: gst_app::AppSink,
}

impl Muxer {
    pub fn new(lengths: Lengths) -> Result<Self> {
        // A fragment begins with each key frame, and where this time would be exceeded.
        let line = format!(
            "appsrc name=video ! h264parse ! video/x-h264,stream-format=avc,alignment=au ! mux.video_0 \
             appsrc name=sound ! audioconvert ! avenc_aac bitrate=128000 ! aacparse ! mux.audio_0 \
             mp4mux name=mux fragment-duration={} ! appsink name=out sync=false async=false",
            lengths.part.as_millis(),
        );
        let pipeline = gst::parse::launch(&line)
            .context("HLS cannot be muxed; scripts/setup.sh installs the elements it needs")?
            .downcast::<gst::Pipeline>()
            .map_err(|_| anyhow!("not a pipeline: {line}"))?;
        let part = |name: &str| pipeline.by_name(name).with_context(|| name.to_owned());
        Ok(Self {
            video: cast(part("video")?)?,
            sound: cast(part("sound")?)?,
            mux: part("mux")?,
            out: cast(part("out")?)?,
            pipeline,
        })
    }

    /// Begins to fill the window. `wall_clock`: since 1970, at running time 0.
    pub fn fill(&self, window: watch::Sender<Window>, wall_clock: Duration) -> Result<()> {
        let pad = self.mux.static_pad("video_0");
        let pad = pad.context("the muxer's pad")?;
        begin_together(&pad, &self.sound.static_pad("src").context("a pad")?);
        cut(&pad, &self.out, window, wall_clock);
        Ok(())
    }
}

/// Lets sound through from the first picture's moment on, to the sample: the muxer begins both at zero.
fn begin_together(video: &gst::Pad, sound: &gst::Pad) {
    let first = Arc::new(Mutex::new(None));
    let known = first.clone();
    video.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        *lock(&first) = running_time(pad, pts);
        gst::PadProbeReturn::Remove
    });
    // It comes before the picture of its moment, since nobody paints it.
    let early = Mutex::new(Early::default());
    sound.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let Some(buffer) = info.buffer_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        let mut early = lock(&early);
        early.add(pad, buffer);
        match *lock(&known) {
            None => gst::PadProbeReturn::Handled,
            Some(begin) => {
                early.flush(begin, buffer);
                gst::PadProbeReturn::Remove
            }
        }
    });
}

/// Sound that may be too early.
#[derive(Default)]
struct Early {
    /// The first sample's running time, and what to take from it for its time in the stream.
    begin: Option<(gst::ClockTime, i64)>,
    samples: Vec<u8>,
}

impl Early {
    fn add(&mut self, pad: &gst::Pad, buffer: &gst::Buffer) {
        if let (Some(pts), Some(time)) = (buffer.pts(), running_time(pad, buffer.pts())) {
            let shift = time.nseconds() as i64 - pts.nseconds() as i64;
            self.begin.get_or_insert((time, shift));
        }
        if let Ok(map) = buffer.map_readable() {
            self.samples.extend_from_slice(&map);
        }
    }

    /// What there is from this moment on, after silence if there is nothing from so long ago.
    fn flush(&mut self, begin: gst::ClockTime, buffer: &mut gst::Buffer) {
        let mut samples = std::mem::take(&mut self.samples);
        let (had, shift) = self.begin.unwrap_or((begin, 0));
        let wanted = begin + PRIMING;
        if had > wanted {
            samples.splice(..0, std::iter::repeat_n(0, sound::bytes(had - wanted)));
        } else {
            samples.drain(..sound::bytes(wanted - had).min(samples.len()));
        }
        let mut all = gst::Buffer::from_slice(samples);
        let time = begin.nseconds().saturating_add_signed(-shift);
        all.make_mut().set_pts(gst::ClockTime::from_nseconds(time));
        *buffer = all;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fills the window with what the muxer makes: `ftyp moov`, then `moof mdat` for some frames or some sound.
fn cut(
    muxer: &gst::Pad,
    sink: &gst_app::AppSink,
    window: watch::Sender<Window>,
    wall_clock: Duration,
) {
    // The muxer takes a frame when it knows the next one, so the end of a part is known with the part.
    let times = Arc::new(Mutex::new(VecDeque::new()));
    let come = times.clone();
    muxer.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        if let Some(time) = running_time(pad, pts) {
            lock(&come).push_back(Duration::from(time));
        }
        gst::PadProbeReturn::Ok
    });
    let (mut init, mut video, mut part) = (Vec::new(), None, Growing::default());
    let pad = muxer.clone();
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        if buffer.pts().is_some() {
            let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
            if part.sample(&map, key) {
                let done = std::mem::take(&mut part);
                if let Some(part) = done.finish(&mut lock(&times), wall_clock) {
                    window.send_modify(|window| window.push(part));
                }
            }
            return Ok(gst::FlowSuccess::Ok);
        }
        match map.get(4..8) {
            Some(b"ftyp") => init = map.to_vec(),
            Some(b"moov") => {
                init.extend_from_slice(&map);
                video = boxes::video_track(&map);
                let init = Bytes::from(std::mem::take(&mut init));
                let caps = pad.current_caps();
                let codec = caps.and_then(|caps| {
                    gst_pbutils::functions::codec_utils_caps_get_mime_codec(&caps).ok()
                });
                let codec = codec.map_or("avc1.42c01f".into(), String::from);
                window.send_modify(|window| window.set_init(init, format!("{codec},{AAC}")));
            }
            Some(b"moof") => part.head(&map, boxes::track_of_fragment(&map) == video),
            _ => part.body(&map),
        }
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

/// A part while it comes out of the muxer: fragments of sound that have become whole, then one of frames.
#[derive(Default)]
struct Growing {
    data: Vec<u8>,
    /// Whether the fragment that is coming is one of frames.
    video: bool,
    frames: usize,
    independent: bool,
    /// Bytes of its samples that are still to come.
    missing: usize,
}

impl Growing {
    /// `moof`: another fragment.
    fn head(&mut self, data: &[u8], video: bool) {
        self.video = video;
        self.data.extend_from_slice(data);
    }

    /// The head of `mdat`, which says how long it is.
    fn body(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
        if let Some(([a, b, c, d, b'm', b'd', b'a', b't'], rest)) = data.split_first_chunk() {
            let size = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            self.missing = size.saturating_sub(8 + rest.len());
            self.data.reserve(self.missing);
        }
    }

    /// A frame or a piece of sound; whether it ends the part.
    fn sample(&mut self, data: &[u8], key: bool) -> bool {
        self.data.extend_from_slice(data);
        self.missing = self.missing.saturating_sub(data.len());
        if self.video {
            self.independent |= key && self.frames == 0;
            self.frames += 1;
        }
        self.video && self.missing == 0
    }

    fn finish(self, times: &mut VecDeque<Duration>, wall_clock: Duration) -> Option<Part> {
        let begin = *times.front()?;
        times.drain(..self.frames.min(times.len()));
        let end = *times.front()?;
        Some(Part {
            time: wall_clock + begin,
            duration: end.saturating_sub(begin),
            independent: self.independent,
            data: self.data.into(),
        })
    }
}

/// What has to be known of MP4's boxes (ISO/IEC 14496-12).
mod boxes {
    /// The number of the track with pictures, from a whole `moov`.
    pub fn video_track(moov: &[u8]) -> Option<u32> {
        let mut last = None;
        for (i, name) in moov.windows(4).enumerate() {
            match name {
                // Version 0: flags, two times, the number.
                b"tkhd" => last = number(moov, i + 16),
                b"vide" => return last,
                _ => (),
            }
        }
        None
    }

    /// The number of the track of a `moof`, which the muxer makes for one track each.
    pub fn track_of_fragment(moof: &[u8]) -> Option<u32> {
        let i = moof.windows(4).position(|name| name == b"tfhd")?;
        number(moof, i + 8)
    }

    fn number(data: &[u8], at: usize) -> Option<u32> {
        let bytes = data.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
}
