// SPDX-License-Identifier: MPL-2.0
//! Low-Latency HLS, for players that take HTTP only: one pipeline from the encoder's frames and the sound
//! to fragmented MP4, in memory, for all viewers, as long as there are any.

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

/// A player loads the playlist about once a second. One that has not for so long is gone.
const SILENCE: Duration = Duration::from_secs(10);

pub struct Hls {
    lengths: Lengths,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stream: Option<Stream>,
    /// When each viewer was last heard of, and its place.
    viewers: HashMap<String, (Instant, OwnedSemaphorePermit)>,
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
    sender: watch::Sender<Window>,
    /// Held by all who look.
    here: Arc<()>,
    used: Instant,
    failed: Arc<AtomicBool>,
    /// Sound and frames come as long as these are there.
    _links: [ConsumptionLink; 2],
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

    /// Notes that this viewer is there, if it is known or gets a `seat`.
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
        state
            .viewers
            .retain(|_, (seen, _)| seen.elapsed() < SILENCE);
        let used = |stream: &Stream| stream.runs() && stream.used();
        if state.viewers.is_empty() && !state.stream.as_ref().is_some_and(used) {
            state.end();
        }
    }

    /// Says in the playlist that nothing more comes. Whether anybody is there to read it.
    pub fn finish(&self) -> bool {
        let state = self.lock();
        if let Some(stream) = &state.stream {
            stream.sender.send_modify(Window::end);
        }
        state.stream.is_some() && !state.viewers.is_empty()
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
        // From here on, whatever fails, dropping it stops the pipeline.
        let stream = Self {
            output: output.clone(),
            window,
            sender,
            here: Arc::default(),
            used: Instant::now(),
            failed,
            _links: [
                // The sound first, because the muxer begins with a picture.
                output.sound.pcm.add_consumer(&muxer.sound)?,
                output.encoded.add_consumer(&muxer.video)?,
            ],
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
