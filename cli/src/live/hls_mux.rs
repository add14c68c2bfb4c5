// SPDX-License-Identifier: MPL-2.0
//! Muxes frames and sound to fragmented MP4 and cuts it into the parts of Low-Latency HLS.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use axum::body::Bytes;
use gst::prelude::*;
use tokio::sync::watch;

use super::hls_window::{Lengths, Part, Window};
use super::sound;

use crate::shared::run::cast;
use crate::shared::time::running_time;

/// AAC-LC for `CODECS` (RFC 6381).
const AAC: &str = "mp4a.40.2";
/// Encoder delay of `avenc_aac`, 1024 samples, which its timestamps do not include.
const PRIMING: gst::ClockTime = gst::ClockTime::from_nseconds(1024 * 1_000_000_000 / 48_000);

/// The pipeline of HLS.
pub struct Muxer {
    pub pipeline: gst::Pipeline,
    pub video: gst_app::AppSrc,
    pub sound: gst_app::AppSrc,
    mux: gst::Element,
    out: gst_app::AppSink,
}

impl Muxer {
    pub fn new() -> Result<Self> {
        // `fragment-duration=1` makes a fragment for each video frame and each AAC frame. So fragments of the same time
        // follow each other, and a part can end after any of them.
        let line = "appsrc name=video ! h264parse ! video/x-h264,stream-format=avc,alignment=au ! mux.video_0 \
             appsrc name=sound ! audioconvert ! avenc_aac bitrate=128000 ! aacparse ! mux.audio_0 \
             mp4mux name=mux fragment-duration=1 ! appsink name=out sync=false async=false";
        let pipeline = gst::parse::launch(line)
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

    /// Begins to fill the window. `wall_clock`: time since 1970 at running time 0.
    ///
    /// # Errors
    /// If the muxer has no pad for video.
    pub fn fill(
        &self,
        window: watch::Sender<Window>,
        lengths: Lengths,
        wall_clock: Duration,
    ) -> Result<()> {
        let pad = self.mux.static_pad("video_0");
        let pad = pad.context("the muxer's pad")?;
        begin_together(&pad, &self.sound.static_pad("src").context("a pad")?);
        cut(&pad, &self.out, window, lengths, wall_clock);
        Ok(())
    }
}

/// Drops sound before the first frame, to the sample, because the muxer begins both tracks at zero.
fn begin_together(video: &gst::Pad, sound: &gst::Pad) {
    let first = Arc::new(Mutex::new(None));
    let known = first.clone();
    video.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        *lock(&first) = running_time(pad, pts);
        gst::PadProbeReturn::Remove
    });
    // Sound arrives before the frame of the same time, because it is not stylized.
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

/// Buffer for sound before the first frame is known.
#[derive(Default)]
struct Early {
    /// Running time of the first sample, and running time minus timestamp, ns.
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

    /// Replaces `buffer` by the samples from this running time on, after silence if they begin later.
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

/// Cuts the muxer's output, `ftyp moov`, then `moof mdat` for each video frame and each AAC frame, into parts, and adds
/// them to the window.
fn cut(
    muxer: &gst::Pad,
    sink: &gst_app::AppSink,
    window: watch::Sender<Window>,
    lengths: Lengths,
    wall_clock: Duration,
) {
    let frames = Arc::new(Mutex::new(VecDeque::new()));
    let come = frames.clone();
    muxer.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(buffer) = info.buffer()
            && let Some(time) = running_time(pad, buffer.pts())
        {
            lock(&come).push_back(Frame {
                time: time.into(),
                key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            });
        }
        gst::PadProbeReturn::Ok
    });
    let pad = muxer.clone();
    let (mut init, mut video) = (Vec::new(), None);
    let mut cutter = Cutter {
        frames,
        longest: lengths.part,
        frame: lengths.frame,
        wall_clock,
        of_frame: false,
        part: Growing::default(),
    };
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        let done = match map.get(4..8) {
            // Media data of a video or AAC frame.
            _ if buffer.pts().is_some() => cutter.sample(&map),
            Some(b"ftyp") => {
                init = map.to_vec();
                None
            }
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
                None
            }
            Some(b"moof") => cutter.head(&map, boxes::track_of_fragment(&map) == video),
            _ => {
                cutter.part.data.extend_from_slice(&map);
                None
            }
        };
        if let Some(part) = done {
            window.send_modify(|window| window.push(part));
        }
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

/// A frame that is in the muxer.
#[derive(Clone, Copy)]
struct Frame {
    time: Duration,
    key: bool,
}

/// Collects fragments into parts. Each part begins with a video frame, and each key frame begins a part.
struct Cutter {
    /// Frames in the muxer. It writes one when it has the next.
    frames: Arc<Mutex<VecDeque<Frame>>>,
    longest: Duration,
    frame: Duration,
    wall_clock: Duration,
    /// Whether the current fragment is of a video frame.
    of_frame: bool,
    part: Growing,
}

/// The part that is being collected.
#[derive(Default)]
struct Growing {
    data: Vec<u8>,
    first: Option<Frame>,
    /// End of its last frame.
    end: Duration,
}

impl Cutter {
    /// Begins a fragment (`moof`). Returns the part before it if it would be too long with this one.
    fn head(&mut self, data: &[u8], of_frame: bool) -> Option<Part> {
        self.of_frame = of_frame;
        let end = lock(&self.frames).get(1).map(|next| next.time);
        let done = match of_frame && end.is_some_and(|end| self.too_long(end)) {
            true => self.finish(),
            false => None,
        };
        self.part.data.extend_from_slice(data);
        done
    }

    /// Adds the data of the fragment. Returns the part if that completes it.
    fn sample(&mut self, data: &[u8]) -> Option<Part> {
        self.part.data.extend_from_slice(data);
        if !self.of_frame {
            return None;
        }
        let (frame, next) = {
            let mut frames = lock(&self.frames);
            let frame = frames.pop_front()?;
            (frame, *frames.front()?)
        };
        self.part.first.get_or_insert(frame);
        self.part.end = next.time;
        // Without waiting for the next frame, whose duration is assumed to be the usual one.
        match next.key || self.too_long(next.time + self.frame) {
            true => self.finish(),
            false => None,
        }
    }

    /// Whether the part would be too long if it ended at this time.
    fn too_long(&self, end: Duration) -> bool {
        let first = self.part.first;
        first.is_some_and(|first| end.saturating_sub(first.time) > self.longest)
    }

    fn finish(&mut self) -> Option<Part> {
        // Sound only: it goes with the next frame.
        let first = self.part.first?;
        let part = std::mem::take(&mut self.part);
        Some(Part {
            time: self.wall_clock + first.time,
            duration: part.end.saturating_sub(first.time),
            independent: first.key,
            data: part.data.into(),
        })
    }
}

/// The few fields of MP4 boxes (ISO/IEC 14496-12) that are needed here.
mod boxes {
    /// Id of the video track, from a whole `moov` box.
    pub fn video_track(moov: &[u8]) -> Option<u32> {
        let mut last = None;
        for (i, name) in moov.windows(4).enumerate() {
            match name {
                // Version 0: version and flags, two times, the id.
                b"tkhd" => last = number(moov, i + 16),
                b"vide" => return last,
                _ => (),
            }
        }
        None
    }

    /// Id of the track of a `moof` box; the muxer writes one track in each.
    pub fn track_of_fragment(moof: &[u8]) -> Option<u32> {
        let i = moof.windows(4).position(|name| name == b"tfhd")?;
        number(moof, i + 8)
    }

    fn number(data: &[u8], at: usize) -> Option<u32> {
        let bytes = data.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
}
