// SPDX-License-Identifier: MPL-2.0
//! Frames in flight: several runs at once on threads of their own, results in order.
//!
//! A frame that one thread computes from start to end wastes nothing on waiting for other threads,
//! so on a CPU two frames in flight of one thread each are done sooner than one after the other on
//! two threads; each takes longer, though.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::plan::{Outcome, Plan};
use super::report::Error;
use crate::engine::EngineError;

/// A finished frame and what was done for it.
pub(super) type Landed = Result<(gst::Buffer, Outcome), Error>;

/// Both buffers of a frame that waits for a worker, and where its result goes.
struct Flight {
    plan: Plan,
    source: gst::Buffer,
    target: gst::Buffer,
    done: mpsc::Sender<Landed>,
}

/// The workers and what they are at. Dropping it ends them.
pub(super) struct Flights {
    /// Taken on drop, which is what ends the workers.
    start: Option<mpsc::Sender<Flight>>,
    workers: Vec<JoinHandle<()>>,
    /// In the order of departure.
    pending: VecDeque<mpsc::Receiver<Landed>>,
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
            pending: VecDeque::new(),
        })
    }

    /// Whether all workers have a frame.
    pub fn full(&self) -> bool {
        self.pending.len() >= self.workers.len()
    }

    /// Sends a frame off.
    pub fn depart(&mut self, plan: Plan, source: gst::Buffer, target: gst::Buffer) {
        let (done, landed) = mpsc::channel();
        self.pending.push_back(landed);
        let flight = Flight {
            plan,
            source,
            target,
            done,
        };
        if let Some(start) = &self.start {
            // Fails only when all workers are gone: then `land` finds no result.
            let _ = start.send(flight);
        }
    }

    /// Waits for the frame that departed first; `None` if none is in flight.
    pub fn land(&mut self) -> Option<Landed> {
        let landed = self.pending.pop_front()?.recv();
        let lost = EngineError::Run("A worker thread ended.".into());
        Some(landed.unwrap_or(Err(Error::Engine(lost))))
    }
}

impl Drop for Flights {
    fn drop(&mut self) {
        self.start = None;
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
        let Ok(flight) = next else { return };
        let mut target = flight.target;
        let result = match target.get_mut() {
            Some(target) => flight.plan.run(&flight.source, target, &mut spare),
            None => Err(Error::Memory("it is shared before it is written".into())),
        };
        // Nobody waits for it after a stop.
        let _ = flight.done.send(result.map(|outcome| (target, outcome)));
    }
}
