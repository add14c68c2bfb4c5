// SPDX-License-Identifier: MPL-2.0
//! Life cycle of Low-Latency HLS, for players without WebRTC: a pipeline muxes the encoder's frames and the sound to
//! fragmented MP4 in memory, for all viewers, while there are any.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use gst::prelude::*;
use gst_utils::ConsumptionLink;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::error::ApiError;
use super::hls_mux::Muxer;
use super::hls_window::{Lengths, Window};
use super::output::Output;

/// A viewer that has not loaded the playlist for this time is gone; players load it about once a second.
const SILENCE: Duration = Duration::from_secs(10);

pub struct Hls {
    lengths: Lengths,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stream: Option<Stream>,
    /// By viewer: the time of the last request, and its permit to watch.
    viewers: HashMap<String, (Instant, OwnedSemaphorePermit)>,
    /// Number of streams so far, and the lowest number for the first segment of the next one.
    streams: u64,
    next: u64,
}

/// Access to the window for a request. The pipeline runs while there is one.
pub struct Look {
    pub window: watch::Receiver<Window>,
    _here: Arc<()>,
}

/// The pipeline and the window with its segments.
struct Stream {
    pipeline: gst::Pipeline,
    output: Arc<Output>,
    window: watch::Receiver<Window>,
    sender: watch::Sender<Window>,
    /// Cloned into each [`Look`], so that they can be counted.
    here: Arc<()>,
    used: Instant,
    failed: Arc<AtomicBool>,
    /// Deliver sound and frames until they are dropped.
    _links: [ConsumptionLink; 2],
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.output.key_frames.every(None);
        let pipeline = self.pipeline.clone();
        // Stopping joins threads, which takes longer than a request may block.
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

    /// Number of viewers.
    pub fn viewers(&self) -> usize {
        self.lock().viewers.len()
    }

    /// Notes a request of this viewer. A new one needs a `seat`.
    ///
    /// # Errors
    /// That of `seat`.
    pub fn seen(
        &self,
        viewer: &str,
        seat: impl FnOnce() -> Result<OwnedSemaphorePermit, ApiError>,
    ) -> Result<(), ApiError> {
        let viewers = &mut self.lock().viewers;
        match viewers.get_mut(viewer) {
            Some((seen, _)) => *seen = Instant::now(),
            None => drop(viewers.insert(viewer.to_owned(), (Instant::now(), seat()?))),
        }
        Ok(())
    }

    /// The window, if the pipeline runs.
    pub fn look(&self) -> Option<Look> {
        self.lock().look()
    }

    /// The window; starts the pipeline if it does not run.
    ///
    /// # Errors
    /// If it does not start.
    pub fn watch(&self, output: &Arc<Output>) -> Result<Look> {
        let mut state = self.lock();
        if let Some(look) = state.look() {
            return Ok(look);
        }
        state.end();
        // Numbers from the time of day, so that after a restart of the program no URL has another content.
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

    /// Removes viewers that are gone, and stops the pipeline after the last one.
    pub fn sweep(&self) {
        let mut state = self.lock();
        state
            .viewers
            .retain(|_, (seen, _)| seen.elapsed() < SILENCE);
        let used = |stream: &Stream| stream.runs() && stream.used();
        if state.viewers.is_empty() && !state.stream.as_ref().is_some_and(used) {
            state.end();
        }
    }

    /// Ends the playlist. Returns whether there are viewers that may read it.
    pub fn finish(&self) -> bool {
        let state = self.lock();
        if let Some(stream) = &state.stream {
            stream.sender.send_modify(Window::end);
        }
        state.stream.is_some() && !state.viewers.is_empty()
    }

    /// Stops the pipeline.
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
    /// Whether the pipeline has had no error.
    fn runs(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }

    /// Whether a request uses it, or one did within [`SILENCE`].
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
        let muxer = Muxer::new()?;
        let pipeline = muxer.pipeline.clone();
        let (sender, window) = watch::channel(window);
        muxer.fill(sender.clone(), lengths, wall_clock(output)?)?;
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
        // From here on, the pipeline is stopped by dropping this if a step fails.
        let stream = Self {
            output: output.clone(),
            window,
            sender,
            here: Arc::default(),
            used: Instant::now(),
            failed,
            _links: [
                // Sound first, because the muxer begins with a frame.
                output.sound.pcm.add_consumer(&muxer.sound)?,
                output.encoded.add_consumer(&muxer.video)?,
            ],
            pipeline,
        };
        stream.pipeline.set_state(gst::State::Playing)?;
        // After the consumer is connected, so that it gets the key frame that this requests at once.
        let segment = lengths.segment - lengths.frame / 2;
        let segment = gst::ClockTime::try_from(segment)?;
        output.key_frames.every(Some(segment));
        Ok(stream)
    }
}

/// Time of day at running time 0 of the output, since 1970.
fn wall_clock(output: &Output) -> Result<Duration> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let time = output.pipeline.current_running_time().context("a time")?;
    Ok(now.saturating_sub(time.into()))
}
