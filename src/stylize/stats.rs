// SPDX-License-Identifier: MPL-2.0
//! Counts and times of one element since it started.

use std::time::Duration;

/// Times of this many latest frames go into the percentiles.
const WINDOW: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Stats {
    /// Frames stylized.
    pub frames: u64,
    /// Frames that QoS dropped before inference.
    pub dropped: u64,
    /// Graphs compiled: one per frame format, size and memory layout met.
    pub compiled: u64,
    /// Time to compile the last graph, and to run its first frame.
    pub compile_time: Duration,
    /// Facts that the engine and the generator report.
    pub facts: Facts,
    times: Vec<Duration>,
}

/// What runs where; empty strings and zeros before the element has started.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    pub provider: &'static str,
    pub precision: &'static str,
    pub threads: u32,
    pub frames_in_flight: u32,
    pub runtime: String,
    pub model: String,
    pub signature: String,
    /// Frame size, pixels.
    pub frame: (u32, u32),
    /// Size of the picture that the generator is given, pixels.
    pub picture: (u32, u32),
}

impl Stats {
    /// Counts one frame and the time its run took.
    pub fn count(&mut self, time: Duration) {
        let slot = (self.frames % WINDOW as u64) as usize;
        if slot < self.times.len() {
            self.times[slot] = time;
        } else {
            self.times.push(time);
        }
        self.frames += 1;
    }

    /// The property's value; the same fields at all times.
    pub fn structure(&self) -> gst::Structure {
        let mut times = self.times.clone();
        times.sort_unstable();
        let percentile = |share: usize| {
            let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
            nanoseconds(times.get(index).copied().unwrap_or_default())
        };
        let facts = &self.facts;
        gst::Structure::builder("application/x-stylize-stats")
            .field("frames", self.frames)
            .field("dropped", self.dropped)
            .field("time-median", percentile(50))
            .field("time-p95", percentile(95))
            .field("time-p99", percentile(99))
            .field("compiled-graphs", self.compiled)
            .field("compile-time", nanoseconds(self.compile_time))
            .field("provider", facts.provider)
            .field("precision", facts.precision)
            .field("threads", facts.threads)
            .field("frames-in-flight", facts.frames_in_flight)
            .field("runtime", &facts.runtime)
            .field("model", &facts.model)
            .field("signature", &facts.signature)
            .field("frame-width", facts.frame.0)
            .field("frame-height", facts.frame.1)
            .field("picture-width", facts.picture.0)
            .field("picture-height", facts.picture.1)
            .build()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_latest_frames() {
        let mut stats = Stats::default();
        for _ in 0..WINDOW {
            stats.count(Duration::from_nanos(1_000_000));
        }
        for ns in 1..=WINDOW as u64 {
            stats.count(Duration::from_nanos(ns));
        }
        gst::init().expect("gst");
        let s = stats.structure();
        assert_eq!(s.get::<u64>("frames"), Ok(2 * WINDOW as u64));
        assert_eq!(s.get::<u64>("time-median"), Ok(257));
        assert_eq!(s.get::<u64>("time-p99"), Ok(507));
    }
}
