// SPDX-License-Identifier: MPL-2.0
//! Frames in flight: runs on threads of their own, results in order, given up at any time.
//!
//! A frame that one thread computes from start to end wastes nothing on waiting for other threads,
//! so on a CPU two frames in flight of one thread each are done sooner than one after the other on
//! two threads; each takes longer, though.
//!
//! One frame alone flies, too. ONNX Runtime ends a run between two operators at the soonest, and some
//! providers are one operator: a flush or a stop does not wait for them, it leaves the frame to
//! its worker, which owns both of its buffers.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::plan::{Outcome, Plan};
use crate::engine::EngineError;
use crate::stylize::report::Error;

/// A finished frame and what was done for it.
pub(crate) type Landed = Result<(gst::Buffer, Outcome), Error>;

/// Where the result of one frame is waited for.
#[derive(Default)]
struct Landing {
    result: Mutex<Option<Landed>>,
    there: Condvar,
}

impl Landing {
    /// Only the first result counts.
    fn settle(&self, landed: Landed) {
        let mut result = self.result.lock();
        if result.is_none() {
            *result = Some(landed);
            self.there.notify_one();
        }
    }

    fn settled(&self) -> bool {
        self.result.lock().is_some()
    }

    fn wait(&self) -> Landed {
        let mut result = self.result.lock();
        loop {
            match result.take() {
                Some(landed) => return landed,
                None => self.there.wait(&mut result),
            }
        }
    }
}

/// Both buffers of a frame that waits for a worker, and where its result goes.
struct Flight {
    plan: Plan,
    source: gst::Buffer,
    /// Until the result is there.
    target: Option<gst::Buffer>,
    landing: Arc<Landing>,
}

impl Flight {
    fn run(&mut self, spare: &mut Vec<u8>) -> Landed {
        let shared = || Error::Memory("it is shared before it is written".into());
        let mut target = self.target.take().ok_or_else(shared)?;
        let bytes = target.get_mut().ok_or_else(shared)?;
        let outcome = self.plan.run(&self.source, bytes, spare)?;
        Ok((target, outcome))
    }
}

impl Drop for Flight {
    /// Nobody waits for ever for what a worker could not finish.
    fn drop(&mut self) {
        let lost = EngineError::Run("A worker thread ended.".into());
        self.landing.settle(Err(Error::Engine(lost)));
    }
}

/// The frames in flight, in the order of departure.
#[derive(Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<VecDeque<Arc<Landing>>>>);

impl Pending {
    /// Makes whoever waits for one of them go on at once, with [`EngineError::Cancelled`].
    pub fn give_up(&self) {
        for landing in &*self.0.lock() {
            landing.settle(Err(Error::Engine(EngineError::Cancelled)));
        }
    }
}

/// The workers and what they are at. Dropping it ends them, and waits for what they are at.
pub(crate) struct Flights {
    /// Taken to end the workers.
    start: Option<mpsc::Sender<Flight>>,
    workers: Vec<JoinHandle<()>>,
    pending: Pending,
}

impl Flights {
    /// As many workers as frames may be in flight.
    pub fn new(most: usize) -> Result<Self, Error> {
        let (start, flights) = mpsc::channel();
        let flights = Arc::new(Mutex::new(flights));
        let workers = (0..most).map(|_| {
            let flights = flights.clone();
            std::thread::Builder::new()
                .name("stylize-worker".into())
                .spawn(move || work(&flights))
        });
        let workers: Result<_, _> = workers.collect();
        Ok(Self {
            start: Some(start),
            workers: workers.map_err(|err| Error::Threads(err.to_string()))?,
            pending: Pending::default(),
        })
    }

    /// What is in flight, for other threads.
    pub fn pending(&self) -> Pending {
        self.pending.clone()
    }

    /// Whether all workers have a frame.
    pub fn full(&self) -> bool {
        self.pending.0.lock().len() >= self.workers.len()
    }

    /// Sends a frame off.
    pub fn depart(&mut self, plan: Plan, source: gst::Buffer, target: gst::Buffer) {
        let landing = Arc::<Landing>::default();
        self.pending.0.lock().push_back(landing.clone());
        let flight = Flight {
            plan,
            source,
            target: Some(target),
            landing,
        };
        if let Some(start) = &self.start {
            // Fails only when all workers are gone; the flight is dropped then, which settles it.
            let _ = start.send(flight);
        }
    }

    /// Waits for the frame that departed first; `None` if none is in flight.
    pub fn land(&mut self) -> Option<Landed> {
        // It stays in the list while it is waited for, so that it can be given up.
        let landing = self.pending.0.lock().front().cloned()?;
        let landed = landing.wait();
        self.pending.0.lock().pop_front();
        Some(landed)
    }

    /// Ends the workers without waiting for what they are at.
    pub fn end(&mut self) {
        self.start = None;
        self.pending.give_up();
    }

    /// Whether all workers have ended.
    pub fn ended(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }
}

impl Drop for Flights {
    fn drop(&mut self) {
        self.end();
        for worker in self.workers.drain(..) {
            // A panic of a worker was seen as a lost frame.
            let _ = worker.join();
        }
    }
}

fn work(flights: &Mutex<mpsc::Receiver<Flight>>) {
    let mut spare = Vec::new();
    loop {
        // A statement of its own, so that the lock is free again while the frame is computed.
        let next = flights.lock().recv();
        let Ok(mut flight) = next else { return };
        // Not those that were given up before their turn came.
        if !flight.landing.settled() {
            let landed = flight.run(&mut spare);
            flight.landing.settle(landed);
        }
    }
}
