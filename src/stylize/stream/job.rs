// SPDX-License-Identifier: MPL-2.0
//! What a frame needs until it is done.
//!
//! Frames are computed on threads of the session, even one at a time. ONNX Runtime ends a run between two
//! operators at the soonest, and some providers are one operator: a flush does not wait for them, it leaves
//! the frame to its thread, which owns both of its buffers. A stop waits, because buffers must be back by then.
//!
//! On a CPU, frames in flight with one thread each give a higher throughput than one frame at a time on
//! all threads, because no thread waits at the end of a layer for the slowest; the latency of each frame
//! is higher.

use std::time::Instant;

use super::plan::Plan;
use super::queue::{FrameResult, Promise};
use crate::stylize::report::Error;

/// Both buffers of a frame, what is to be done for it, and where its result goes.
pub(crate) struct Job {
    pub plan: Plan,
    pub source: gst::Buffer,
    pub target: gst::Buffer,
    pub promise: Promise,
}

impl Job {
    /// Does it, on this thread. It was handed over at `begin`.
    pub fn run(self, begin: Instant) {
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
        let result = compute(&plan, &source, target, begin);
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
    begin: Instant,
) -> FrameResult {
    let shared = || Error::Memory("it is shared before it is written".into());
    let bytes = target.get_mut().ok_or_else(shared)?;
    let outcome = plan.run(source, bytes, begin)?;
    Ok((target, outcome))
}
