// SPDX-License-Identifier: MPL-2.0
//! When the encoder makes key frames: when viewers ask, within limits, and where segments begin.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gst::prelude::*;

/// A viewer who keeps asking for key frames gets one so often at most: each is many times as large as
/// another frame, for all viewers.
const ASKED: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct KeyFrames(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether a frame has left. The first one is a key frame, and GStreamer 1.22 ignores all requests
    /// after one that comes before it: there it counts from the encoder's thousand hours.
    made: bool,
    /// When somebody asked last and was heard.
    asked: Option<Instant>,
    segment: Option<gst::ClockTime>,
    /// The running time at which the segment began.
    begin: Option<gst::ClockTime>,
}

impl KeyFrames {
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
                // For the frame that follows it, this one.
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

    /// From the next frame on one after each such time; `None`: only for those who ask.
    pub fn every(&self, segment: Option<gst::ClockTime>) {
        let mut state = self.lock();
        state.segment = segment;
        state.begin = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may(&self) -> bool {
        let mut state = self.lock();
        let may = state.made && state.asked.is_none_or(|asked| asked.elapsed() >= ASKED);
        if may {
            state.asked = Some(Instant::now());
        }
        may
    }

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

/// The time of a frame on the pipeline's clock: the encoder, say, begins its segment at a thousand hours.
pub fn running_time(pad: &gst::Pad, time: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(time)
}
