// SPDX-License-Identifier: MPL-2.0
//! Output queue: puts the results of concurrent runs into the order of input.
//!
//! The streaming thread appends a slot per frame, the session's threads write the results, and the thread that
//! pushes takes them from the front, so that frames leave in order whichever is done first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::plan::Outcome;
use crate::stylize::report::Error;

/// A finished frame and its outcome.
pub(crate) type FrameResult = Result<(gst::Buffer, Outcome), Error>;

/// Place for the result of one frame.
#[derive(Default)]
struct Slot {
    /// The result and when it was written.
    result: Option<(FrameResult, Instant)>,
    /// Whether a result was written or the frame was given up. Later results are dropped.
    settled: bool,
}

/// A frame in flight: when it arrived, and its slot.
type Entry = (Instant, Arc<Mutex<Slot>>);

#[derive(Default)]
struct State {
    slots: VecDeque<Entry>,
    /// Number of promises that exist, also of frames that were given up: jobs that hold buffers.
    held: usize,
    /// Whether a frame has been taken and is being pushed.
    pushing: bool,
    /// Set while flushing and when stopped: waiting functions return at once.
    closed: bool,
    /// Flow error of a push, until it is returned upstream.
    error: Option<gst::FlowError>,
}

impl State {
    /// Whether all frames have been pushed.
    fn is_drained(&self) -> bool {
        self.slots.is_empty() && !self.pushing
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The queue; clones share it.
#[derive(Clone, Default)]
pub(crate) struct OutputQueue(Arc<Shared>);

/// Writes the result of one frame. Dropped without a result, the frame has failed.
pub(crate) struct Promise {
    slot: Arc<Mutex<Slot>>,
    queue: OutputQueue,
}

impl Promise {
    /// Writes the result, unless the frame has one or was given up.
    pub fn settle(&self, result: FrameResult) {
        // A late result is dropped outside the locks: dropping a buffer may call into a pool.
        let _late = {
            // Written under the queue's lock: a waiter between its check and its wait would miss the notification.
            let _state = self.queue.0.state.lock();
            let mut slot = self.slot.lock();
            match slot.settled {
                true => Some(result),
                false => {
                    slot.settled = true;
                    slot.result = Some((result, Instant::now()));
                    None
                }
            }
        };
        self.queue.0.changed.notify_all();
    }

    /// Whether the frame has a result or was given up.
    pub fn is_settled(&self) -> bool {
        self.slot.lock().settled
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.is_settled() {
            self.settle(Err(Error::Panicked));
        }
        self.queue.0.state.lock().held -= 1;
        self.queue.0.changed.notify_all();
    }
}

impl OutputQueue {
    /// Appends a frame.
    ///
    /// # Errors
    /// Those of [`Self::wait_for_room`].
    pub fn append(&self) -> Result<Promise, gst::FlowError> {
        let slot = Arc::<Mutex<Slot>>::default();
        {
            let mut state = self.0.state.lock();
            if state.closed {
                return Err(gst::FlowError::Flushing);
            }
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            state.slots.push_back((Instant::now(), slot.clone()));
            state.held += 1;
        }
        self.0.changed.notify_all();
        Ok(Promise {
            slot,
            queue: self.clone(),
        })
    }

    /// Waits until fewer than `most` frames are in the queue.
    ///
    /// # Errors
    /// The flow error of an earlier push, once; [`gst::FlowError::Flushing`] when closed.
    pub fn wait_for_room(&self, most: usize) -> Result<(), gst::FlowError> {
        self.wait(Option::take, |state| state.slots.len() < most)
    }

    /// Waits until all frames have been pushed.
    ///
    /// # Errors
    /// Those of [`Self::wait_for_room`].
    pub fn wait_until_empty(&self) -> Result<(), gst::FlowError> {
        self.wait(Option::take, State::is_drained)
    }

    /// Waits until all frames have been pushed, for callers that cannot return a flow error upstream.
    ///
    /// # Errors
    /// Those of [`Self::wait_for_room`], which returns the same error again.
    pub fn wait_until_drained(&self) -> Result<(), gst::FlowError> {
        self.wait(|error| *error, State::is_drained)
    }

    /// Waits until no job holds a frame's buffers, including jobs of frames that were given up.
    pub fn wait_until_released(&self) {
        let mut state = self.0.state.lock();
        while state.held > 0 {
            self.0.changed.wait(&mut state);
        }
    }

    /// Waits until `done`; `error` reads or takes the flow error of an earlier push.
    fn wait(
        &self,
        error: impl Fn(&mut Option<gst::FlowError>) -> Option<gst::FlowError>,
        done: impl Fn(&State) -> bool,
    ) -> Result<(), gst::FlowError> {
        let mut state = self.0.state.lock();
        loop {
            if state.closed {
                return Err(gst::FlowError::Flushing);
            }
            if let Some(error) = error(&mut state.error) {
                return Err(error);
            }
            if done(&state) {
                return Ok(());
            }
            self.0.changed.wait(&mut state);
        }
    }

    /// Waits for the result of the first frame and takes it; the frame counts as being pushed until
    /// [`Self::pushed`]. If the queue is empty, waits for a frame with `idle`, and returns `None` without. Returns
    /// `None` when closed.
    ///
    /// Also returns the time from the frame's arrival to its result. The time for which the result then waits
    /// while an earlier frame is pushed depends on downstream and is no latency of this element: a sink that
    /// waits for the clock would make it grow without limit.
    pub fn take(&self, idle: bool) -> Option<(FrameResult, Duration)> {
        let mut state = self.0.state.lock();
        loop {
            if state.closed {
                return None;
            }
            let front = state.slots.front();
            let result = front.map(|(begin, slot)| Some((slot.lock().result.take()?, *begin)));
            match result {
                Some(Some(((result, ready), begin))) => {
                    state.slots.pop_front();
                    state.pushing = true;
                    self.0.changed.notify_all();
                    return Some((result, ready.saturating_duration_since(begin)));
                }
                None if !idle => return None,
                _ => self.0.changed.wait(&mut state),
            }
        }
    }

    /// Reports the flow return of the frame that was taken. After an error the other frames are dropped, and the
    /// next waiting function returns it.
    pub fn pushed(&self, result: Result<(), gst::FlowError>) {
        let dropped = {
            let mut state = self.0.state.lock();
            state.pushing = false;
            match result {
                Err(error) if !state.closed => {
                    state.error = Some(error);
                    give_up(&mut state)
                }
                _ => Vec::new(),
            }
        };
        drop(dropped);
        self.0.changed.notify_all();
    }

    /// Drops all frames and ends all waits, until [`Self::open`].
    pub fn close(&self) {
        let dropped = {
            let mut state = self.0.state.lock();
            state.closed = true;
            state.error = None;
            give_up(&mut state)
        };
        drop(dropped);
        self.0.changed.notify_all();
    }

    /// Accepts frames again.
    pub fn open(&self) {
        let mut state = self.0.state.lock();
        state.closed = false;
        state.error = None;
    }
}

/// Removes all frames and returns their results, to be dropped without the lock.
fn give_up(state: &mut State) -> Vec<Option<(FrameResult, Instant)>> {
    let slots = state.slots.drain(..);
    slots
        .map(|(_, slot)| {
            let mut slot = slot.lock();
            slot.settled = true;
            slot.result.take()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_leaves_a_flow_error_for_the_next_buffer() {
        let queue = OutputQueue::default();
        let promise = queue.append().expect("open");
        promise.settle(Err(Error::NotNegotiated));
        assert!(queue.take(false).is_some());
        queue.pushed(Err(gst::FlowError::NotLinked));
        let error = Err(gst::FlowError::NotLinked);
        assert_eq!(queue.wait_until_drained(), error);
        assert_eq!(queue.wait_until_drained(), error, "for the next event, too");
        assert_eq!(queue.wait_for_room(1), error);
        assert_eq!(queue.wait_for_room(1), Ok(()), "returned once");
    }
}
