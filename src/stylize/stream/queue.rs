// SPDX-License-Identifier: MPL-2.0
//! Output queue: reorders results of concurrent runs into the order of input.
//!
//! The streaming thread appends; the session's threads write results; whoever pushes takes them from the front,
//! so that frames leave in order whichever is done first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::plan::Outcome;
use crate::engine::EngineError;
use crate::stylize::report::Error;

/// A finished frame and what was done for it.
pub(crate) type FrameResult = Result<(gst::Buffer, Outcome), Error>;

/// The result of one frame, once it is there.
#[derive(Default)]
struct Slot {
    /// And when it was written.
    result: Option<(FrameResult, Instant)>,
    /// A result was written or given up: later ones are ignored.
    settled: bool,
}

/// A frame in flight: when it came, and where its result goes.
type Entry = (Instant, Arc<Mutex<Slot>>);

#[derive(Default)]
struct State {
    slots: VecDeque<Entry>,
    /// Promises that are held, also of frames that were given up: somebody has their buffers.
    held: usize,
    /// A frame has been taken and is being pushed.
    pushing: bool,
    /// While flushing and when stopped: nobody waits.
    closed: bool,
    /// What became of a push, until upstream has been told.
    error: Option<gst::FlowError>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The queue; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct OutputQueue(Arc<Shared>);

/// Where the result of one frame is written. Dropped without one, the frame has failed.
pub(crate) struct Promise {
    slot: Arc<Mutex<Slot>>,
    queue: OutputQueue,
}

impl Promise {
    /// Writes the result, unless somebody did so before.
    pub fn settle(&self, result: FrameResult) {
        // A late result is dropped outside the locks: dropping a buffer may call into a pool.
        let _late = {
            // Under the queue's lock, or a waiter between its check and its wait would miss the wake-up.
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

    /// Whether nobody waits for the frame any more.
    pub fn is_settled(&self) -> bool {
        self.slot.lock().settled
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.is_settled() {
            let lost = EngineError::Run("The thread that ran it panicked.".into());
            self.settle(Err(Error::Engine(lost)));
        }
        self.queue.0.state.lock().held -= 1;
        self.queue.0.changed.notify_all();
    }
}

impl OutputQueue {
    /// Appends a frame.
    ///
    /// # Errors
    /// As of [`Self::wait_for_room`].
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

    /// Waits until fewer than `most` frames are being computed.
    ///
    /// # Errors
    /// What became of an earlier push, once; [`gst::FlowError::Flushing`] when closed.
    pub fn wait_for_room(&self, most: usize) -> Result<(), gst::FlowError> {
        self.wait(|state| state.slots.len() < most)
    }

    /// Waits until all frames have been pushed.
    ///
    /// # Errors
    /// As of [`Self::wait_for_room`].
    pub fn wait_until_empty(&self) -> Result<(), gst::FlowError> {
        self.wait(|state| state.slots.is_empty() && !state.pushing)
    }

    /// Waits until nobody has a frame's buffers any more, those of frames that were given up included.
    pub fn wait_until_released(&self) {
        let mut state = self.0.state.lock();
        while state.held > 0 {
            self.0.changed.wait(&mut state);
        }
    }

    fn wait(&self, done: impl Fn(&State) -> bool) -> Result<(), gst::FlowError> {
        let mut state = self.0.state.lock();
        loop {
            if state.closed {
                return Err(gst::FlowError::Flushing);
            }
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            if done(&state) {
                return Ok(());
            }
            self.0.changed.wait(&mut state);
        }
    }

    /// Waits for a frame and for its result, and takes it: it counts as being pushed until
    /// [`Self::pushed`]. With `idle` it waits for a frame to come, too; without, `None` says that there
    /// is none. `None` in any case when closed. Gives the time from the frame's coming to its result, too:
    /// how long it then waits while an earlier one is pushed is up to downstream, and no latency of this
    /// element (a sink that waits for the clock would make it grow without end).
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

    /// What became of the frame that was taken. After an error the others are dropped, and the next who
    /// waits is told.
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

    /// Forgets all frames and makes whoever waits go on at once.
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

    /// Takes frames again.
    pub fn open(&self) {
        let mut state = self.0.state.lock();
        state.closed = false;
        state.error = None;
    }
}

/// Takes all frames out; their buffers are dropped without the lock.
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
