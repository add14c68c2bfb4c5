// SPDX-License-Identifier: MPL-2.0
//! The picture as Low-Latency HLS, for players that take HTTP only: one pipeline from the encoder's
//! frames to fragmented MP4, in memory, for all viewers, as long as there are any.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow};
use axum::body::Bytes;
use gst::prelude::*;
use gst_utils::ConsumptionLink;
use tokio::sync::watch;

use super::error::ApiError;
use super::hls_window::{Lengths, Part, Window};
use super::key_frames::running_time;
use super::output::Output;

/// A player loads the playlist about once a second. One that has not for so long is gone.
const SILENCE: Duration = Duration::from_secs(10);

pub struct Hls {
    lengths: Lengths,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stream: Option<Stream>,
    /// When each viewer was last heard of.
    viewers: HashMap<String, Instant>,
    /// How many streams there have been, and the lowest number for the first segment of the next.
    streams: u64,
    next: u64,
}

/// What a request looks at. As long as there is one, the pipeline goes on.
pub struct Look {
    pub window: watch::Receiver<Window>,
    _here: Arc<()>,
}

/// The pipeline, and what it has made.
struct Stream {
    pipeline: gst::Pipeline,
    output: Arc<Output>,
    window: watch::Receiver<Window>,
    /// Held by all who look.
    here: Arc<()>,
    used: Instant,
    failed: Arc<AtomicBool>,
    /// Frames come as long as this is there.
    _link: ConsumptionLink,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.output.key_frames.every(None);
        let pipeline = self.pipeline.clone();
        // It joins threads, which takes longer than a request may block.
        std::thread::spawn(move || pipeline.set_state(gst::State::Null));
    }
}

impl Hls {
    pub fn new(framerate: u32) -> Self {
        Self {
            lengths: Lengths::at(framerate),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn viewers(&self) -> usize {
        self.lock().viewers.len()
    }

    /// Notes that this viewer is there, if it is known or there is `room` for it.
    pub fn seen(
        &self,
        viewer: &str,
        room: impl FnOnce() -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        if let Some(seen) = self.lock().viewers.get_mut(viewer) {
            *seen = Instant::now();
            return Ok(());
        }
        room()?;
        let viewers = &mut self.lock().viewers;
        viewers.insert(viewer.to_owned(), Instant::now());
        Ok(())
    }

    /// What there is now, if it is muxed.
    pub fn look(&self) -> Option<Look> {
        self.lock().look()
    }

    /// The same; begins to mux if nobody has watched.
    pub fn watch(&self, output: &Arc<Output>) -> Result<Look> {
        let mut state = self.lock();
        if let Some(look) = state.look() {
            return Ok(look);
        }
        state.end();
        // From the clock, so that no address is used for something else after a restart of this program.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let first = state.next.max(now.as_secs());
        let stream = Stream::start(
            output,
            Window::new(state.streams, first, self.lengths),
            self.lengths,
        )?;
        let look = stream.look();
        state.stream = Some(stream);
        Ok(look)
    }

    /// Forgets viewers that are gone, and ends the pipeline after the last one.
    pub fn sweep(&self) {
        let mut state = self.lock();
        state.viewers.retain(|_, seen| seen.elapsed() < SILENCE);
        let used = |stream: &Stream| stream.runs() && stream.used();
        if state.viewers.is_empty() && !state.stream.as_ref().is_some_and(used) {
            state.end();
        }
    }

    pub fn clear(&self) {
        self.lock().end();
    }
}

impl State {
    fn look(&mut self) -> Option<Look> {
        let stream = self.stream.as_mut().filter(|stream| stream.runs())?;
        stream.used = Instant::now();
        Some(stream.look())
    }

    fn end(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.streams += 1;
            self.next = stream.window.borrow().open() + 1;
        }
    }
}

impl Stream {
    fn runs(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }

    fn used(&self) -> bool {
        Arc::strong_count(&self.here) > 1 || self.used.elapsed() < SILENCE
    }

    fn look(&self) -> Look {
        Look {
            window: self.window.clone(),
            _here: self.here.clone(),
        }
    }

    fn start(output: &Arc<Output>, window: Window, lengths: Lengths) -> Result<Self> {
        // A fragment begins with each key frame, and where this time would be exceeded.
        let line = format!(
            "appsrc name=in ! h264parse ! video/x-h264,stream-format=avc,alignment=au \
             ! mp4mux name=mux fragment-duration={} ! appsink name=out sync=false async=false",
            lengths.part.as_millis(),
        );
        let pipeline = gst::parse::launch(&line)
            .context("HLS cannot be muxed; scripts/setup.sh installs the elements it needs")?
            .downcast::<gst::Pipeline>()
            .map_err(|_| anyhow!("not a pipeline: {line}"))?;
        let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>();
        let source = source.context("an appsrc")?;
        let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>();
        let sink = sink.context("an appsink")?;
        let mux = pipeline.by_name("mux").context("a muxer")?;

        let (sender, window) = watch::channel(window);
        let pad = mux.static_pad("video_0").context("the muxer's pad")?;
        cut(&pad, &sink, sender, wall_clock(output)?);
        let failed = Arc::new(AtomicBool::new(false));
        let on_bus = failed.clone();
        let bus = pipeline.bus().context("a pipeline without a bus")?;
        bus.set_sync_handler(move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                eprintln!("hls: {}", error.error().message());
                on_bus.store(true, Ordering::Relaxed);
            }
            gst::BusSyncReply::Drop
        });
        let clock = output.pipeline.clock().context("the output has no clock")?;
        pipeline.use_clock(Some(&clock));
        pipeline.set_start_time(gst::ClockTime::NONE);
        pipeline.set_base_time(output.pipeline.base_time().context("a base time")?);
        // From here on, whatever fails, dropping it stops the pipeline.
        let stream = Self {
            output: output.clone(),
            window,
            here: Arc::default(),
            used: Instant::now(),
            failed,
            _link: output.encoded.add_consumer(&source)?,
            pipeline,
        };
        stream.pipeline.set_state(gst::State::Playing)?;
        // With the consumer in place, so that it gets the key frame that is made at once.
        let segment = lengths.segment - lengths.frame / 2;
        let segment = gst::ClockTime::try_from(segment)?;
        output.key_frames.every(Some(segment));
        Ok(stream)
    }
}

/// What the time of day was at the output's running time 0, since 1970.
fn wall_clock(output: &Output) -> Result<Duration> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let time = output.pipeline.current_running_time().context("a time")?;
    Ok(now.saturating_sub(time.into()))
}

/// Fills the window with what the muxer makes: `ftyp moov`, then `moof mdat` for each part.
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
            come.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_back(Duration::from(time));
        }
        gst::PadProbeReturn::Ok
    });
    let (mut init, mut part) = (Vec::new(), Fragment::default());
    let pad = muxer.clone();
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        if buffer.pts().is_some() {
            let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
            if part.frame(&map, key) {
                let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
                let done = std::mem::take(&mut part);
                if let Some(part) = done.finish(&mut times, wall_clock) {
                    window.send_modify(|window| window.push(part));
                }
            }
            return Ok(gst::FlowSuccess::Ok);
        }
        match map.get(4..8) {
            Some(b"ftyp") => init = map.to_vec(),
            Some(b"moov") => {
                init.extend_from_slice(&map);
                let init = Bytes::from(std::mem::take(&mut init));
                let caps = pad.current_caps();
                let codec = caps.and_then(|caps| {
                    gst_pbutils::functions::codec_utils_caps_get_mime_codec(&caps).ok()
                });
                let codec = codec.map_or("avc1.42c01f".into(), String::from);
                window.send_modify(|window| window.set_init(init, codec));
            }
            _ => part.boxes(&map),
        }
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

/// A part while it comes out of the muxer.
#[derive(Default)]
struct Fragment {
    data: Vec<u8>,
    frames: usize,
    independent: bool,
    /// Bytes of frames that are still to come.
    missing: usize,
}

impl Fragment {
    /// A box without frames: `moof`, or the head of `mdat`, which says how long it is.
    fn boxes(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
        if let Some(([a, b, c, d, b'm', b'd', b'a', b't'], rest)) = data.split_first_chunk() {
            let size = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            self.missing = size.saturating_sub(8 + rest.len());
            self.data.reserve(self.missing);
        }
    }

    /// Whether it is the last one.
    fn frame(&mut self, data: &[u8], key: bool) -> bool {
        self.independent |= key && self.frames == 0;
        self.frames += 1;
        self.data.extend_from_slice(data);
        self.missing = self.missing.saturating_sub(data.len());
        self.missing == 0
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
