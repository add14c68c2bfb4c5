// SPDX-License-Identifier: MPL-2.0
//! Latency reporting, QoS, and the adaptation of the generator's picture size to the time budget.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::{CAT, Stream, Stylize};
use crate::engine::Lease;
use crate::graph::Frame;
use crate::numbers::saturating_u32;
use crate::stylize::adapt::ladder::{Sample, Step, TimeBudget};
use crate::stylize::generator::active::Lookup;
use crate::stylize::report::Error;
use crate::stylize::settings::Adapt;
use crate::stylize::stats::nanoseconds;
use crate::stylize::stream::frame::Timing;

impl Stylize {
    /// Recomputes the latency and posts a latency message if it changed.
    pub(crate) fn update_latency(&self, info: &gst_video::VideoInfo) {
        let (adapt, target) = {
            let settings = self.settings.lock();
            (settings.adapt, settings.target_latency)
        };
        let streams = self.frames_in_flight() as u64;
        let frame = self.frame_time(info).unwrap_or_default();
        let target = match (target, adapt) {
            (Some(target), _) => target,
            // The time budget of the adaptation, which does not depend on the size in use.
            (None, Adapt::Resolution) => times(frame, streams),
            // Measured; only live pipelines use the reported latency.
            (None, Adapt::Off) if self.live.load(Ordering::Relaxed) => {
                let usual = self.history.lock().delays.usual();
                gst::ClockTime::try_from(usual).unwrap_or_default()
            }
            (None, Adapt::Off) => gst::ClockTime::ZERO,
        };
        let own = target.max(times(frame, streams - 1)).nseconds();
        // At a variable frame rate the duration of the frames in flight is unknown.
        let held = match self.frame_time(info) {
            Some(frame) => own.min(times(frame, streams).nseconds()),
            None => own,
        };
        self.held.store(held, Ordering::Relaxed);
        if self.latency.swap(own, Ordering::Relaxed) != own {
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            // Fails only without a bus.
            let _ = self.obj().post_message(message);
        }
    }

    /// Queries upstream for liveness, in case no sink has sent a latency query yet.
    pub(crate) fn query_upstream_live(&self) {
        let mut query = gst::query::Latency::new();
        if self.obj().sink_pad().peer_query(&mut query) {
            let (live, ..) = query.result();
            self.live.store(live, Ordering::Relaxed);
        }
    }

    /// Records from a QoS event that a frame reached the sink late.
    pub(crate) fn note_qos(&self, qos: &gst::event::Qos) {
        let (kind, _, late, _) = qos.get();
        if kind != gst::QOSType::Throttle && late > 0 {
            self.late.store(true, Ordering::Relaxed);
        }
    }

    /// Feeds the times of the frames pushed since the last call to the adaptation.
    pub(super) fn note_timings(&self, stream: &mut Stream) {
        let timings = std::mem::take(&mut self.history.lock().timings);
        for timing in timings {
            self.note_timing(stream, timing);
        }
    }

    /// Feeds one frame's time to the adaptation.
    fn note_timing(&self, stream: &mut Stream, timing: Timing) {
        let late = self.late.swap(false, Ordering::Relaxed);
        let (Some(generator), Some(info)) = (&mut stream.active, &stream.info) else {
            return;
        };
        if let Some(budget) = self.budget(info) {
            let sample = Sample {
                height: timing.height,
                time: timing.waited + timing.ran,
                late,
            };
            let live = self.live.load(Ordering::Relaxed);
            generator
                .ladder
                .observe(sample, TimeBudget { budget, live });
        }
    }

    /// Running time from one frame to the next: the frame duration of the caps divided by the segment's rate.
    /// `None` at a variable frame rate.
    fn frame_time(&self, info: &gst_video::VideoInfo) -> Option<gst::ClockTime> {
        let time = frame_time(info)?;
        let rate = self.obj().segment().rate().abs();
        let scaled = time.nseconds() as f64 / if rate > 0.0 { rate } else { 1.0 };
        let most = gst::ClockTime::MAX.nseconds();
        Some(gst::ClockTime::from_nseconds((scaled as u64).min(most)))
    }

    /// Time budget of a frame: its duration times the frames in flight, and at most `target-latency`.
    /// `None` without adaptation, or if neither is known.
    fn budget(&self, info: &gst_video::VideoInfo) -> Option<Duration> {
        let frame = self.frame_time(info);
        let settings = self.settings.lock();
        let streams = match settings.stable {
            // Temporal blending makes frames sequential.
            true => 1,
            false => self.frames_in_flight() as u64,
        };
        let frames = frame.map(|frame| times(frame, streams));
        let budget = frames.into_iter().chain(settings.target_latency).min()?;
        (settings.adapt == Adapt::Resolution).then(|| budget.into())
    }

    /// Switches to another picture size if the ladder asks for it and its session has been compiled.
    /// Returns the session to use: `session` until the other one is ready.
    pub(crate) fn adapt_size(&self, stream: &mut Stream, layout: &Frame, session: Lease) -> Lease {
        let adapt = self.settings.lock().adapt;
        let Some(generator) = &mut stream.active else {
            return session;
        };
        if adapt == Adapt::Off {
            generator.ladder.leave();
        } else if !generator.warned_of_fixed_size && generator.has_one_size() {
            generator.warned_of_fixed_size = true;
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{}", Error::OneSize));
        }
        let step = generator.ladder.step();
        // No step while another generator is being loaded, because the step belongs to the old one.
        let Some(step) = step.filter(|_| stream.loading.is_none()) else {
            return session;
        };
        match generator.prepare(layout, step.height) {
            Ok(Lookup::Compiling) => session,
            Ok(Lookup::Ready(session)) => {
                self.size_changed(stream, step);
                session
            }
            Ok(Lookup::Compiled(session, time)) => {
                self.stats.lock().count_compiled(time);
                self.size_changed(stream, step);
                session
            }
            Err(err) => {
                generator.ladder.refuse();
                gst::element_imp_warning!(self, gst::LibraryError::Failed, ("{err}"));
                session
            }
        }
    }

    /// Posts `stylize-adapt` and updates the statistics when the picture size has changed.
    fn size_changed(&self, stream: &mut Stream, step: Step) {
        let Some(generator) = &mut stream.active else {
            return;
        };
        let from = generator.ladder.height().unwrap_or_default();
        generator.ladder.step_done();
        // State tensors belong to a session; this session's are not those of the previous frame.
        stream.painted = None;
        self.stats.lock().steps += 1;
        gst::info!(CAT, imp = self, "from {from} lines: {step:?}");
        self.update_info(stream);
        let structure = gst::Structure::builder("stylize-adapt")
            .field("from", saturating_u32(from))
            .field("to", saturating_u32(step.height))
            .field("reason", step.reason.nick())
            .field("time", nanoseconds(step.time))
            .field("budget", nanoseconds(step.budget))
            .build();
        self.post_element_message(structure);
    }
}

/// `count` times the duration of a frame, saturating.
fn times(frame: gst::ClockTime, count: u64) -> gst::ClockTime {
    let time = frame.nseconds().saturating_mul(count);
    gst::ClockTime::from_nseconds(time.min(gst::ClockTime::MAX.nseconds()))
}

/// The duration of a frame by the caps; `None` at a variable frame rate.
fn frame_time(info: &gst_video::VideoInfo) -> Option<gst::ClockTime> {
    let (n, d) = (info.fps().numer() as u64, info.fps().denom() as u64);
    let second = gst::ClockTime::SECOND.nseconds();
    (second * d)
        .checked_div(n)
        .map(gst::ClockTime::from_nseconds)
}
