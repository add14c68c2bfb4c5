// SPDX-License-Identifier: MPL-2.0
//! What a frame may take, what it takes, and the size of the picture shown to the generator that
//! goes with both.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::{CAT, Stream, Stylize};
use crate::engine::Lease;
use crate::graph::Frame;
use crate::stylize::adapt::ladder::{Deadline, Sample, Step};
use crate::stylize::generator::job::Lookup;
use crate::stylize::report::Error;
use crate::stylize::settings::Adapt;
use crate::stylize::stats::nanoseconds;
use crate::stylize::stream::frame::Timing;

impl Stylize {
    /// Takes up the delay of frames, where it can be known.
    pub(crate) fn update_latency(&self, info: &gst_video::VideoInfo) {
        let (adapt, target) = {
            let settings = self.settings.lock();
            (settings.adapt, settings.target_latency)
        };
        let streams = self.frames_in_flight() as u64;
        let frame = self.frame_time(info).unwrap_or_default();
        let target = match (target, adapt) {
            (Some(target), _) => target,
            // What is kept to, at whatever size.
            (None, Adapt::Resolution) => times(frame, streams),
            // What frames take, as far as that is known; it only counts in live pipelines.
            (None, Adapt::Off) if self.live.load(Ordering::Relaxed) => {
                let usual = self.history.lock().delays.usual();
                gst::ClockTime::try_from(usual).unwrap_or_default()
            }
            (None, Adapt::Off) => gst::ClockTime::ZERO,
        };
        let own = target.max(times(frame, streams - 1)).nseconds();
        // At a variable rate nobody knows for how long the frames in flight last.
        let held = match self.frame_time(info) {
            Some(frame) => own.min(times(frame, streams).nseconds()),
            None => own,
        };
        self.held.store(held, Ordering::Relaxed);
        if self.latency.swap(own, Ordering::Relaxed) != own {
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            // Fails only without a bus, and then nobody asks.
            let _ = self.obj().post_message(message);
        }
    }

    /// Asks upstream whether it is live, in case no sink has yet.
    pub(crate) fn ask_whether_live(&self) {
        let mut query = gst::query::Latency::new();
        if self.obj().sink_pad().peer_query(&mut query) {
            let (live, ..) = query.result();
            self.live.store(live, Ordering::Relaxed);
        }
    }

    /// Remembers that the sink has got a frame too late.
    pub(crate) fn hear(&self, qos: &gst::event::Qos) {
        let (kind, _, late, _) = qos.get();
        if kind != gst::QOSType::Throttle && late > 0 {
            self.late.store(true, Ordering::Relaxed);
        }
    }

    /// Takes in what the frames took that have left since the last time.
    pub(super) fn note_timings(&self, stream: &mut Stream) {
        let timings = std::mem::take(&mut self.history.lock().timings);
        for timing in timings {
            self.watch(stream, timing);
        }
    }

    /// Takes in what a frame took.
    fn watch(&self, stream: &mut Stream, timing: Timing) {
        let late = self.late.swap(false, Ordering::Relaxed);
        let (Some(player), Some(info)) = (&mut stream.player, &stream.info) else {
            return;
        };
        if let Some(budget) = self.budget(info) {
            let sample = Sample {
                height: timing.height,
                time: timing.waited + timing.ran,
                late,
            };
            let live = self.live.load(Ordering::Relaxed);
            player.ladder.observe(sample, Deadline { budget, live });
        }
    }

    /// Running time from one frame to the next: at a rate of 2, half of what the caps say. `None` if
    /// they say nothing.
    fn frame_time(&self, info: &gst_video::VideoInfo) -> Option<gst::ClockTime> {
        let time = frame_time(info)?;
        let rate = self.obj().segment().rate().abs();
        let scaled = time.nseconds() as f64 / if rate > 0.0 { rate } else { 1.0 };
        let most = gst::ClockTime::MAX.nseconds();
        Some(gst::ClockTime::from_nseconds((scaled as u64).min(most)))
    }

    /// What a frame may take: so much that the next one does not wait, and no more than
    /// `target-latency`. `None` if nothing is to be adapted, or if neither is known.
    fn budget(&self, info: &gst_video::VideoInfo) -> Option<Duration> {
        let frame = self.frame_time(info);
        let settings = self.settings.lock();
        let streams = match settings.stable {
            // Each needs the one before.
            true => 1,
            false => self.frames_in_flight() as u64,
        };
        let frames = frame.map(|frame| times(frame, streams));
        let budget = frames.into_iter().chain(settings.target_latency).min()?;
        (settings.adapt == Adapt::Resolution).then(|| budget.into())
    }

    /// Goes to another size if that is called for and it has been compiled; the session to paint
    /// with. It is `session` until the other one is there.
    pub(crate) fn step(&self, stream: &mut Stream, layout: &Frame, session: Lease) -> Lease {
        let adapt = self.settings.lock().adapt;
        let Some(player) = &mut stream.player else {
            return session;
        };
        if adapt == Adapt::Off {
            player.ladder.leave();
        } else if !player.told_of_size && player.has_one_size() {
            player.told_of_size = true;
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{}", Error::OneSize));
        }
        let step = player.ladder.step();
        // One thing at a time.
        let Some(step) = step.filter(|_| stream.loading.is_none()) else {
            return session;
        };
        match player.prepare(layout, step.height) {
            Ok(Lookup::Compiling) => session,
            Ok(Lookup::Ready(session)) => {
                self.arrive(stream, step);
                session
            }
            Ok(Lookup::Compiled(session, time)) => {
                self.stats.lock().count_compiled(time);
                self.arrive(stream, step);
                session
            }
            Err(err) => {
                player.ladder.refuse();
                gst::element_imp_warning!(self, gst::LibraryError::Failed, ("{err}"));
                session
            }
        }
    }

    /// Says on the bus and in the statistics that the size is another one from this frame on.
    fn arrive(&self, stream: &mut Stream, step: Step) {
        let Some(player) = &mut stream.player else {
            return;
        };
        let from = player.ladder.height().unwrap_or_default();
        player.ladder.arrive();
        // Each size has a past of its own, and that of this one is not of the frame before.
        stream.painted = None;
        self.stats.lock().steps += 1;
        gst::info!(CAT, imp = self, "from {from} lines: {step:?}");
        self.describe(stream);
        let lines = |height: usize| u32::try_from(height).unwrap_or(u32::MAX);
        let structure = gst::Structure::builder("stylize-adapt")
            .field("from", lines(from))
            .field("to", lines(step.height))
            .field("reason", step.reason.nick())
            .field("time", nanoseconds(step.time))
            .field("budget", nanoseconds(step.budget))
            .build();
        self.post_element_message(structure);
    }
}

/// So many frames of this duration, or the longest time that there is.
fn times(frame: gst::ClockTime, count: u64) -> gst::ClockTime {
    let time = frame.nseconds().saturating_mul(count);
    gst::ClockTime::from_nseconds(time.min(gst::ClockTime::MAX.nseconds()))
}

/// From one frame to the next; `None` at a variable rate.
fn frame_time(info: &gst_video::VideoInfo) -> Option<gst::ClockTime> {
    let (n, d) = (info.fps().numer() as u64, info.fps().denom() as u64);
    let second = gst::ClockTime::SECOND.nseconds();
    (second * d)
        .checked_div(n)
        .map(gst::ClockTime::from_nseconds)
}
