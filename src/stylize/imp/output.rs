// SPDX-License-Identifier: MPL-2.0
//! Frames in flight: queued on the session's threads, and pushed in order when they are done.

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

/// The session that paints a frame, and the frame's deadline, by which elements that share the session are
/// scheduled (earliest deadline first).
pub(super) struct Turn {
    pub lease: Lease,
    pub deadline: Instant,
}

impl Stylize {
    /// Queues a frame on the session's threads. With one frame in flight, waits for it and returns it; with
    /// more, the source pad's task pushes it and this returns `None`.
    ///
    /// # Errors
    /// Flow return of this frame, or of an earlier push by the task.
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
            // The base class flags only the frames that it pushes itself.
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

    /// Queues a job on the session's threads; one without inference runs on this thread.
    fn hand_over(&self, job: Job, turn: Option<Turn>) {
        let begin = Instant::now();
        match turn.filter(|_| job.plan.task.is_some()) {
            Some(Turn { lease, deadline }) => lease.spawn(deadline, move || job.run(begin)),
            None => job.run(begin),
        }
    }

    /// Number of frames in flight, at least 1.
    pub(super) fn frames_in_flight(&self) -> usize {
        self.streams.load(Ordering::Relaxed).max(1)
    }

    /// Number of buffers of the downstream pool that are in use at once, beyond the first.
    pub(super) fn buffers_in_flight(&self) -> u32 {
        match self.frames_in_flight() {
            1 => 0,
            // One more than the others in flight, because one may be being pushed.
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

    /// Records a frame's outcome and `delay` (arrival to result), and returns the buffer to push.
    ///
    /// # Errors
    /// The flow return for a frame that failed; the error has been posted.
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

    /// Counts a frame in the statistics, and posts a warning for the first of several consecutive failures;
    /// `failing`: whether the frame before failed.
    fn count(&self, failing: bool, outcome: &Outcome) {
        if let Some(error) = &outcome.error
            && !failing
        {
            gst::element_imp_warning!(self, gst::StreamError::Failed, ("{error}"));
        }
        self.stats.lock().count(outcome);
    }

    /// Whether the task that pushes frames runs. Once started it runs until a flush or stop, even if a later
    /// generator computes one frame at a time.
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

    /// Loop function of the task: waits for the next frame and pushes it.
    fn push_next(&self) {
        let pad = self.obj().src_pad().clone();
        let Some((result, delay)) = self.queue.take(true) else {
            // Fails only if the task is being stopped.
            let _ = pad.pause_task();
            return;
        };
        let pushed = self
            .finish(result, delay)
            .and_then(|buffer| pad.push(buffer));
        self.queue.pushed(pushed.map(drop));
    }

    /// Stops the task that pushes frames and joins it. The queue must be closed and the pad flushing or
    /// inactive, else this may not return.
    pub(super) fn stop_pushing(&self) {
        // Fails only when called by the task, which cannot join itself.
        let _ = self.obj().src_pad().stop_task();
    }

    /// Waits until all frames in flight have been pushed, so that the next event or query does not overtake them.
    ///
    /// # Errors
    /// Flow error of an earlier push by the task that has not been returned yet.
    pub(super) fn drain(&self) -> Result<(), gst::FlowError> {
        self.queue.wait_until_empty()
    }

    /// Waits until all frames in flight have been pushed, before a query or custom event. Neither has a flow
    /// return, so a flow error of an earlier push is left for the next buffer.
    pub(super) fn drain_in_order(&self) {
        // Left in the queue.
        let _ = self.queue.wait_until_drained();
    }

    /// Waits as [`Self::drain_in_order`] before an event. After EOS no buffer would return an error of the last
    /// frames, so it is posted here.
    pub(super) fn drain_before(&self, event: gst::EventType) {
        match self.queue.wait_until_drained() {
            Err(error @ (gst::FlowError::NotLinked | gst::FlowError::NotNegotiated))
                if event == gst::EventType::Eos =>
            {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Failed,
                    ("The last frames could not be pushed: {error}. Link the source pad to an element that takes these caps."),
                    ["streaming stopped, reason {error:?}"]
                );
            }
            // Other errors have been posted by the element that caused them.
            _ => (),
        }
    }

    /// Adopts the number of frames in flight of a newly loaded generator's provider, if frames-in-flight is 0.
    pub(super) fn update_streams(&self, stream: &super::Stream) {
        let (Some(generator), 0) = (&stream.active, stream.start.frames_in_flight) else {
            return;
        };
        let wanted = generator.streams();
        if self.streams.swap(wanted, Ordering::Relaxed) != wanted {
            // The pool must be negotiated again for that number of buffers.
            self.obj().reconfigure_src();
        }
    }

    /// Registers the session that a flush cancels.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] while flushing.
    pub(super) fn begin_run(&self, canceller: Canceller) -> Result<(), EngineError> {
        let mut cancel = self.cancel.lock();
        if cancel.flushing {
            return Err(EngineError::Cancelled);
        }
        cancel.current = Some(canceller);
        Ok(())
    }

    /// Cancels the frames in flight and refuses new ones, without waiting for runs in progress.
    pub(super) fn cancel_runs(&self) {
        let current = {
            let mut cancel = self.cancel.lock();
            cancel.flushing = true;
            cancel.current.clone()
        };
        // Before the jobs are dropped: a job dropped while its frame is still awaited would be an error.
        self.queue.close();
        if let Some(canceller) = current {
            canceller.cancel();
        }
        self.threads.interrupt();
    }

    /// Ends [`Self::cancel_runs`].
    ///
    /// # Errors
    /// Those of [`Canceller::reset`].
    pub(super) fn allow_runs(&self) -> Result<(), EngineError> {
        self.queue.open();
        self.threads.resume();
        let mut cancel = self.cancel.lock();
        cancel.flushing = false;
        cancel.current.as_ref().map_or(Ok(()), Canceller::reset)
    }
}
