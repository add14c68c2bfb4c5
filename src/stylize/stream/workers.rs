// SPDX-License-Identifier: MPL-2.0
//! Worker threads that run inference.
//!
//! On a CPU, frames in flight with one thread each give a higher throughput than one frame at a time on
//! all threads, because no thread waits at the end of a layer for the slowest; the latency of each frame
//! is higher.
//!
//! Frames are computed here even one at a time. ONNX Runtime ends a run between two operators at the
//! soonest, and some providers are one operator: a flush does not wait for them, it leaves the frame
//! to its worker, which owns both of its buffers. A stop waits, because buffers must be back by then.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::plan::Plan;
use super::queue::{FrameResult, Promise};
use crate::stylize::report::Error;

/// Both buffers of a frame that waits for a worker, and where its result goes.
struct Job {
    plan: Plan,
    source: gst::Buffer,
    target: gst::Buffer,
    promise: Promise,
}

impl Job {
    fn run(self, spare: &mut Vec<u8>) {
        let Self {
            plan,
            source,
            target,
            promise,
        } = self;
        // Not those that were given up before their turn came.
        if promise.is_settled() {
            return;
        }
        let result = compute(&plan, &source, target, spare);
        // Let go before anybody is told: who waits may ask for the buffers back.
        drop(source);
        drop(plan);
        promise.settle(result);
    }
}

fn compute(
    plan: &Plan,
    source: &gst::BufferRef,
    mut target: gst::Buffer,
    spare: &mut Vec<u8>,
) -> FrameResult {
    let shared = || Error::Memory("it is shared before it is written".into());
    let bytes = target.get_mut().ok_or_else(shared)?;
    let outcome = plan.run(source, bytes, spare)?;
    Ok((target, outcome))
}

/// A pool of threads. Dropping it waits for what they are at, and drops what they have not begun.
pub(crate) struct WorkerPool {
    /// Taken to end the threads.
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl WorkerPool {
    /// As many threads as frames may be in flight.
    ///
    /// # Errors
    /// [`Error::Threads`] if the system gives none.
    pub fn new(size: usize) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        // Dropped on an early return, which ends those that were started.
        let mut pool = Self {
            jobs: Some(sender),
            threads: Vec::new(),
        };
        for _ in 0..size {
            let receiver = receiver.clone();
            let thread = std::thread::Builder::new()
                .name("stylize-worker".into())
                .spawn(move || work(&receiver));
            pool.threads
                .push(thread.map_err(|err| Error::Threads(err.to_string()))?);
        }
        Ok(pool)
    }

    /// How many threads there are.
    pub fn size(&self) -> usize {
        self.threads.len()
    }

    /// Computes a frame.
    pub fn spawn(&self, plan: Plan, source: gst::Buffer, target: gst::Buffer, promise: Promise) {
        let job = Job {
            plan,
            source,
            target,
            promise,
        };
        if let Some(jobs) = &self.jobs {
            // Fails only when all threads are gone; dropping the promise tells who waits.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic of a thread was seen as a lost frame.
            let _ = thread.join();
        }
    }
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>) {
    let mut spare = Vec::new();
    loop {
        // A statement of its own, so that the lock is free again while the frame is computed.
        let next = jobs.lock().recv();
        let Ok(job) = next else { return };
        job.run(&mut spare);
    }
}
