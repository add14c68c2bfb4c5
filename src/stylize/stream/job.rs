// SPDX-License-Identifier: MPL-2.0
//! The work for one frame as it is queued on a session's threads.
//!
//! Frames are computed on threads of the session, even one at a time. ONNX Runtime can end a run only between two
//! operators, and some providers run the whole graph as one operator. So a flush does not wait for a run: it
//! leaves the frame to its thread, which owns both buffers. A stop waits, because pools need their buffers back.
//!
//! On a CPU, frames in flight with one thread each give a higher throughput than one frame at a time on
//! all threads, because no thread waits at the end of a layer for the slowest; the latency of each frame
//! is higher.

use std::time::Instant;

use super::plan::Plan;
use super::queue::{FrameResult, Promise};
use crate::stylize::report::Error;

/// A frame's plan, its source and target buffers, and the promise of its result.
pub(crate) struct Job {
    pub plan: Plan,
    pub source: gst::Buffer,
    pub target: gst::Buffer,
    pub promise: Promise,
}

impl Job {
    /// Runs the plan on this thread and settles the promise. `begin`: when the job was queued.
    pub fn run(self, begin: Instant) {
        let Self {
            plan,
            source,
            target,
            promise,
        } = self;
        // The frame was given up before its turn.
        if promise.is_settled() {
            return;
        }
        let result = compute(&plan, &source, target, begin);
        // Dropped before the promise is settled: a thread that waits for it may need the buffers back.
        drop(source);
        drop(plan);
        promise.settle(result);
    }
}

fn compute(
    plan: &Plan,
    source: &gst::BufferRef,
    mut target: gst::Buffer,
    begin: Instant,
) -> FrameResult {
    let shared = || Error::Memory("it is shared before it is written".into());
    let bytes = target.get_mut().ok_or_else(shared)?;
    let outcome = plan.run(source, bytes, begin)?;
    Ok((target, outcome))
}
