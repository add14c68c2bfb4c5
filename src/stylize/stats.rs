// SPDX-License-Identifier: MPL-2.0
//! Statistics of one element since its start: the value of the property `stats`.

use std::time::Duration;

use super::stream::plan::{Outcome, Shown};
use crate::numbers::saturating_u32;

/// Number of latest frames from whose times percentiles are computed.
const WINDOW: usize = 512;

/// Counters since the start, and times of the latest frames.
/// Counters since the start, and times of the latest frames.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Frames stylized.
    pub frames: u64,
    /// Frames pushed unchanged.
    pub passed: u64,
    /// Frames replaced by the last stylized one.
    pub held: u64,
    /// Frames that could not be stylized.
    pub failed: u64,
    /// Frames that QoS dropped before inference.
    pub dropped: u64,
    /// Graphs compiled: one per frame format, size and memory layout.
    pub compiled: u64,
    /// Time to compile the last graph, and to run it once where that was done.
    pub compile_time: Duration,
    /// Rung of the size in use on the ladder of `adapt`, 0 at the top.
    pub rung: usize,
    /// Number of changes of `rung`.
    pub steps: u64,
    /// Provider, precision and sizes in use.
    pub session: SessionInfo,
    ran: Window,
    waited: Window,
}

/// Times of the latest frames.
#[derive(Debug, Default)]
struct Window {
    times: Vec<Duration>,
    count: usize,
}

impl Window {
    fn add(&mut self, time: Duration) {
        match self.times.get_mut(self.count % WINDOW) {
            Some(slot) => *slot = time,
            None => self.times.push(time),
        }
        self.count += 1;
    }

    /// The percentiles `shares` (0..100) of the times, nanoseconds.
    fn percentiles<const N: usize>(&self, shares: [usize; N]) -> [u64; N] {
        let mut times = self.times.clone();
        times.sort_unstable();
        shares.map(|share| {
            let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
            nanoseconds(times.get(index).copied().unwrap_or_default())
        })
    }
}

/// The session in use; empty strings and zeros before the element has started.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct SessionInfo {
    pub provider: &'static str,
    pub precision: &'static str,
    /// Value of the property `device`; empty: the provider's first.
    pub device: String,
    /// Nodes of the graph that the provider runs.
    pub nodes: u32,
    /// Nodes that the provider leaves to the CPU.
    pub nodes_on_cpu: u32,
    pub threads: u32,
    pub frames_in_flight: u32,
    pub runtime: String,
    pub model: String,
    pub signature: String,
    /// Frame size, pixels.
    pub frame: (u32, u32),
    /// Size of the picture shown to the generator, without padding, pixels.
    pub inference: (u32, u32),
    /// Size of the generator's input tensor, with padding, pixels.
    pub picture: (u32, u32),
    pub upscale: String,
    pub color: String,
}

impl SessionInfo {
    /// Provider, device and precision.
    pub fn place(&self) -> (&str, &str, &str) {
        (self.provider, &self.device, self.precision)
    }

    /// Whether a graph has been compiled.
    pub fn compiled(&self) -> bool {
        self.nodes + self.nodes_on_cpu > 0
    }

    /// One line for the log.
    pub fn line(&self) -> String {
        let device = match self.device.as_str() {
            "" => String::new(),
            device => format!(" {device}"),
        };
        format!(
            "{} on {}{device} in {} (ONNX Runtime {}): {} nodes there, {} on the CPU; {}x{} frames, shown as {}x{}, as {}x{} pictures; upscale {}, color {}; {}",
            self.model,
            self.provider,
            self.precision,
            self.runtime,
            self.nodes,
            self.nodes_on_cpu,
            self.frame.0,
            self.frame.1,
            self.inference.0,
            self.inference.1,
            self.picture.0,
            self.picture.1,
            self.upscale,
            self.color,
            self.signature
        )
    }
}

impl Stats {
    /// Counts a graph that was compiled in this time.
    pub fn count_compiled(&mut self, time: Duration) {
        self.compiled += 1;
        self.compile_time = time;
    }

    /// Counts one frame by its outcome, and records the times of a painted one.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome.shown {
            Shown::Painted(timing) => {
                self.ran.add(timing.ran);
                self.waited.add(timing.waited);
                self.frames += 1;
            }
            Shown::Passed => self.passed += 1,
            Shown::Held => self.held += 1,
        }
        self.failed += u64::from(outcome.error.is_some());
    }

    /// Number of frames pushed, painted or not.
    pub fn left(&self) -> u64 {
        self.frames + self.passed + self.held
    }

    /// Value of the property `stats`; always has the same fields. `holders`: elements that share the session.
    pub fn structure(&self, holders: usize) -> gst::Structure {
        let [median, p95, p99] = self.ran.percentiles([50, 95, 99]);
        let [wait_median, wait_p95] = self.waited.percentiles([50, 95]);
        let session = &self.session;
        gst::Structure::builder("application/x-stylize-stats")
            .field("frames", self.frames)
            .field("passed", self.passed)
            .field("held", self.held)
            .field("failed", self.failed)
            .field("dropped", self.dropped)
            .field("time-median", median)
            .field("time-p95", p95)
            .field("time-p99", p99)
            .field("wait-median", wait_median)
            .field("wait-p95", wait_p95)
            .field("session-holders", saturating_u32(holders))
            .field("compiled-graphs", self.compiled)
            .field("compile-time", nanoseconds(self.compile_time))
            .field("provider", session.provider)
            .field("precision", session.precision)
            .field("device", &session.device)
            .field("nodes", session.nodes)
            .field("nodes-on-cpu", session.nodes_on_cpu)
            .field("threads", session.threads)
            .field("frames-in-flight", session.frames_in_flight)
            .field("runtime", &session.runtime)
            .field("model", &session.model)
            .field("signature", &session.signature)
            .field("frame-width", session.frame.0)
            .field("frame-height", session.frame.1)
            .field("inference-width", session.inference.0)
            .field("inference-height", session.inference.1)
            .field("adapt-rung", saturating_u32(self.rung))
            .field("adapt-steps", self.steps)
            .field("picture-width", session.picture.0)
            .field("picture-height", session.picture.1)
            .field("upscale", &session.upscale)
            .field("color", &session.color)
            .build()
    }
}

/// A duration in nanoseconds, saturating.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::stream::frame::Timing;
    use super::*;

    #[test]
    fn percentiles_are_of_the_latest_frames() {
        let mut stats = Stats::default();
        let outcome = |ns| Outcome {
            shown: Shown::Painted(Timing {
                height: 1080,
                waited: Duration::from_nanos(2 * ns),
                ran: Duration::from_nanos(ns),
            }),
            error: None,
        };
        for _ in 0..WINDOW {
            stats.count(&outcome(1_000_000));
        }
        for ns in 1..=WINDOW as u64 {
            stats.count(&outcome(ns));
        }
        gst::init().expect("gst");
        let s = stats.structure(1);
        assert_eq!(s.get::<u64>("frames"), Ok(2 * WINDOW as u64));
        assert_eq!(s.get::<u64>("time-median"), Ok(257));
        assert_eq!(s.get::<u64>("time-p99"), Ok(507));
        assert_eq!(s.get::<u64>("wait-median"), Ok(514));
    }
}
