// SPDX-License-Identifier: MPL-2.0
//! Key frames of the encoder: requests of viewers with a limited rate, and one at the beginning of each HLS segment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gst::prelude::*;

use crate::shared::time::running_time;

/// Shortest interval of requested key frames: each is many times as large as another frame, for all viewers.
const ASKED: Duration = Duration::from_millis(500);

/// Limits and forces key frames of an encoder.
#[derive(Default)]
pub struct KeyFrames(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether the encoder has output a frame. The first one is a key frame. GStreamer 1.22 ignores all later requests
    /// after one before the first frame: it compares their running times with the encoder's timestamps, which begin at
    /// 1000 hours.
    made: bool,
    /// Time of the last request that was passed on.
    asked: Option<Instant>,
    segment: Option<gst::ClockTime>,
    /// Running time of the beginning of the HLS segment.
    begin: Option<gst::ClockTime>,
}

impl KeyFrames {
    /// Installs probes on the encoder's pads.
    ///
    /// # Errors
    /// If it lacks a pad.
    pub fn of(encoder: &gst::Element) -> Result<Arc<Self>> {
        let frames = Arc::new(Self::default());
        let limit = frames.clone();
        let source = encoder.static_pad("src").context("a pad")?;
        source.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
            let asks = info
                .event()
                .is_some_and(|event| gst_video::ForceKeyUnitEvent::is(event));
            match asks && !limit.may() {
                true => gst::PadProbeReturn::Handled,
                false => gst::PadProbeReturn::Ok,
            }
        });
        let first = frames.clone();
        source.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            first.lock().made = true;
            gst::PadProbeReturn::Remove
        });
        let begin = frames.clone();
        let sink = encoder.static_pad("sink").context("a pad")?;
        sink.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let pts = info.buffer().and_then(|buffer| buffer.pts());
            let time = running_time(pad, pts);
            if time.is_some_and(|time| begin.begins(time)) {
                // The event applies to the frame after it, which is this one.
                pad.send_event(
                    gst_video::DownstreamForceKeyUnitEvent::builder()
                        .running_time(time)
                        .all_headers(true)
                        .build(),
                );
            }
            gst::PadProbeReturn::Ok
        });
        Ok(frames)
    }

    /// Forces a key frame at the next frame, then at this interval; `None`: only on request.
    pub fn every(&self, segment: Option<gst::ClockTime>) {
        let mut state = self.lock();
        state.segment = segment;
        state.begin = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request may be passed on now.
    fn may(&self) -> bool {
        let mut state = self.lock();
        let may = state.made && state.asked.is_none_or(|asked| asked.elapsed() >= ASKED);
        if may {
            state.asked = Some(Instant::now());
        }
        may
    }

    /// Whether a segment begins with a frame at this running time, and needs a key frame.
    fn begins(&self, time: gst::ClockTime) -> bool {
        let mut state = self.lock();
        let Some(segment) = state.segment else {
            return false;
        };
        let begins = state.begin.is_none_or(|begin| time >= begin + segment);
        if begins {
            state.begin = Some(time);
        }
        begins && state.made
    }
}
