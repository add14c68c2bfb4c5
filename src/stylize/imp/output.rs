// SPDX-License-Identifier: MPL-2.0
//! Frames in flight: handed to the session's threads, and pushed in order when they are done.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{InputBuffer, PrepareOutputBufferSuccess};
use gst_base::subclass::prelude::*;

use super::Stylize;
use crate::engine::{Canceller, EngineError, Lease};
use crate::numbers::saturating_u32;
use crate::stylize::report::Error;
use crate::stylize::stream::frame::Task;
use crate::stylize::stream::job::Job;
use crate::stylize::stream::plan::{Outcome, Plan, Shown};
use crate::stylize::stream::queue::FrameResult;

/// Whose threads paint a frame, and when it is due: who shares a session gives way to earlier deadlines.
pub(super) struct Turn {
    pub lease: Lease,
    pub deadline: Instant,
}

impl Stylize {
    /// Hands a frame to the session's threads. With one frame in flight it is waited for and given back;
    /// with more, the source pad's task pushes it.
    pub(super) fn process(
        &self,
        inbuf: gst::Buffer,
    ) -> Result<Option<gst::Buffer>, gst::FlowError> {
        // Returns the flow error of an earlier, asynchronous push.
        self.queue.wait_for_room(self.frames_in_flight())?;
        let prepared = self.parent_prepare_output_buffer(InputBuffer::Readable(&inbuf))?;
        let PrepareOutputBufferSuccess::Buffer(mut outbuf) = prepared else {
            return Err(gst::FlowError::Error);
        };
        let (mut plan, turn) = self
            .with_stream(|this, stream| this.plan(stream, &inbuf, &outbuf))
            .map_err(|err| self.failed(&err))?;
        // Frames with state tensors run one by one.
        let alone = plan.task.as_ref().is_some_and(Task::remembers);
        let repeated = self.repeats(&plan, &inbuf);
        if alone || repeated {
            self.drain()?;
        }
        if repeated {
            let history = self.history.lock();
            // If that frame failed, `last` is an older one: run this frame instead.
            if let Some(last) = history.last.clone().filter(|_| !history.failing) {
                plan.repeat(last);
            }
        }
        let by_task = self.frames_in_flight() > 1 || self.pushes_by_task();
        let promise = self.queue.append()?;
        if std::mem::take(&mut self.stream.lock().discont) && by_task {
            // As the base class does for the frames that it pushes itself.
            let outbuf = outbuf.make_mut();
            outbuf.set_flags(outbuf.flags() | gst::BufferFlags::DISCONT);
        }
        let job = Job {
            plan,
            source: inbuf,
            target: outbuf,
            promise,
        };
        self.hand_over(job, turn);
        if by_task {
            self.start_pushing()?;
            if alone {
                self.drain()?;
            }
            return Ok(None);
        }
        let (result, delay) = self.queue.take(false).ok_or(gst::FlowError::Flushing)?;
        let buffer = self.finish(result, delay);
        self.queue.pushed(Ok(()));
        buffer.map(Some)
    }

    /// Has a frame painted by the session's threads. What is only copied is done here and now.
    fn hand_over(&self, job: Job, turn: Option<Turn>) {
        let begin = Instant::now();
        match turn.filter(|_| job.plan.task.is_some()) {
            Some(Turn { lease, deadline }) => lease.spawn(deadline, move || job.run(begin)),
            None => job.run(begin),
        }
    }

    /// Frames that may be computed at once, at least 1.
    pub(super) fn frames_in_flight(&self) -> usize {
        self.streams.load(Ordering::Relaxed).max(1)
    }

    /// Buffers of the downstream pool that are in use at once beyond the first.
    pub(super) fn buffers_in_flight(&self) -> u32 {
        match self.frames_in_flight() {
            1 => 0,
            // One more is being pushed.
            frames => saturating_u32(frames),
        }
    }

    /// Whether the last output can be pushed again for this frame (`interval`, `reuse`).
    fn repeats(&self, plan: &Plan, source: &gst::Buffer) -> bool {
        let mut stream = self.stream.lock();
        let (interval, reuse) = (stream.start.interval, stream.start.reuse);
        let Some(task) = plan.task.as_ref().filter(|_| interval > 1 || reuse) else {
            return false;
        };
        let mut repeats = std::mem::take(&mut stream.repeats);
        drop(stream);
        let repeated = repeats.decide(task, source, interval, reuse);
        self.stream.lock().repeats = repeats;
        repeated
    }

    /// Takes in what was done for a frame in this time, which is then to be pushed.
    fn finish(&self, result: FrameResult, delay: Duration) -> Result<gst::Buffer, gst::FlowError> {
        let (buffer, outcome) = result.map_err(|err| self.failed(&err))?;
        let failing = {
            let mut history = self.history.lock();
            if let Shown::Painted(timing) = outcome.shown {
                history.timings.push(timing);
                history.delays.add(delay);
                if history.keeps_last {
                    history.last = Some(buffer.clone());
                }
            }
            std::mem::replace(&mut history.failing, outcome.error.is_some())
        };
        self.count(failing, &outcome);
        Ok(buffer)
    }

    /// Takes what was done for a frame into the statistics. The first of several failures in a row is
    /// a warning.
    fn count(&self, failing: bool, outcome: &Outcome) {
        if let Some(error) = &outcome.error
            && !failing
        {
            gst::element_imp_warning!(self, gst::StreamError::Failed, ("{error}"));
        }
        self.stats.lock().count(outcome);
    }

    /// Whether the task that pushes frames runs. Once begun it goes on until a flush or stop, also where a
    /// later generator computes one frame at a time.
    fn pushes_by_task(&self) -> bool {
        self.obj().src_pad().task_state() == gst::TaskState::Started
    }

    /// Starts the task that pushes frames, unless it runs.
    fn start_pushing(&self) -> Result<(), gst::FlowError> {
        if self.pushes_by_task() {
            return Ok(());
        }
        let element = self.obj().downgrade();
        self.obj()
            .src_pad()
            .start_task(move || {
                if let Some(element) = element.upgrade() {
                    element.imp().push_next();
                }
            })
            .map_err(|err| self.failed(&Error::Threads(err.to_string())))
    }

    /// What the task does again and again: pushes the next frame when it is done.
    fn push_next(&self) {
        let pad = self.obj().src_pad().clone();
        let Some((result, delay)) = self.queue.take(true) else {
            // Fails only when it is being stopped.
            let _ = pad.pause_task();
            return;
        };
        let pushed = self
            .finish(result, delay)
            .and_then(|buffer| pad.push(buffer));
        self.queue.pushed(pushed.map(drop));
    }

    /// Ends the task that pushes frames. The queue must be closed, and the pad flushing or inactive.
    pub(super) fn stop_pushing(&self) {
        // Fails only from within the task, which cannot wait for itself.
        let _ = self.obj().src_pad().stop_task();
    }

    /// Waits until all frames in flight have been pushed: what comes next in the stream must not
    /// overtake them.
    ///
    /// # Errors
    /// What became of a push that nobody has been told of yet.
    pub(super) fn drain(&self) -> Result<(), gst::FlowError> {
        self.queue.wait_until_empty()
    }

    /// Waits as [`Self::drain`] before an event, which has no way to tell upstream of an error. At the
    /// end of a stream no frame comes any more that could.
    pub(super) fn drain_before(&self, event: gst::EventType) {
        match self.drain() {
            Err(error @ (gst::FlowError::NotLinked | gst::FlowError::NotNegotiated))
                if event == gst::EventType::Eos =>
            {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Failed,
                    ("The last frames could not be handed on, because of {error}."),
                    ["streaming stopped, reason {error:?}"]
                );
            }
            // Other errors are posted by who made them.
            _ => (),
        }
    }

    /// Takes over how many frames a newly loaded generator's provider computes at once.
    pub(super) fn update_streams(&self, stream: &super::Stream) {
        let (Some(player), 0) = (&stream.active, stream.start.frames_in_flight) else {
            return;
        };
        let wanted = player.streams();
        if self.streams.swap(wanted, Ordering::Relaxed) != wanted {
            // The pool downstream must have as many buffers.
            self.obj().reconfigure_src();
        }
    }

    /// Makes a session the one that a flush cancels; refuses while flushing.
    pub(super) fn begin_run(&self, canceller: Canceller) -> Result<(), EngineError> {
        let mut cancel = self.cancel.lock();
        if cancel.flushing {
            return Err(EngineError::Cancelled);
        }
        cancel.current = Some(canceller);
        Ok(())
    }

    /// Ends the frames in flight as soon as their provider allows; nobody waits until it does.
    pub(super) fn cancel_runs(&self) {
        let current = {
            let mut cancel = self.cancel.lock();
            cancel.flushing = true;
            cancel.current.clone()
        };
        // First, so that a frame that is dropped before its turn is not missed by anybody.
        self.queue.close();
        if let Some(canceller) = current {
            canceller.cancel();
        }
        self.threads.interrupt();
    }

    pub(super) fn allow_runs(&self) -> Result<(), EngineError> {
        self.queue.open();
        self.threads.resume();
        let mut cancel = self.cancel.lock();
        cancel.flushing = false;
        cancel.current.as_ref().map_or(Ok(()), Canceller::reset)
    }
}
