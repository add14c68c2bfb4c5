// SPDX-License-Identifier: MPL-2.0
//! Measures how long frames stay in the element, for the latency that it reports.

use std::time::Duration;

/// Number of frames after which the reported latency is updated.
const EVERY: usize = 16;
/// Granularity of the reported latency. Each change makes the pipeline redistribute its latency.
const STEP: Duration = Duration::from_millis(5);

/// Times of the frames since the last update, and the latency to report.
#[derive(Debug, Default)]
pub(crate) struct Delays {
    latest: Vec<Duration>,
    reported: Duration,
}

impl Delays {
    /// Adds the time of a frame, from its arrival to its result.
    pub fn add(&mut self, delay: Duration) {
        self.latest.push(delay);
        if self.latest.len() < EVERY {
            return;
        }
        self.latest.sort_unstable();
        // The second slowest: the slowest may be a first run or an outlier.
        let usual = self.latest[EVERY - 2];
        self.latest.clear();
        if usual > self.reported {
            let steps = usual.as_nanos().div_ceil(STEP.as_nanos());
            self.reported = STEP * u32::try_from(steps).unwrap_or(u32::MAX);
        }
    }

    /// Upper bound of nearly all times so far, rounded up to [`STEP`]; zero before the first update. Never
    /// decreases, because each change of the latency disturbs the pipeline.
    pub fn usual(&self) -> Duration {
        self.reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_delay_grows_in_steps_and_forgives_one_slow_frame() {
        let mut delays = Delays::default();
        let ms = Duration::from_millis;
        for index in 0..EVERY as u64 {
            assert_eq!(delays.usual(), Duration::ZERO);
            delays.add(ms(if index == 3 { 900 } else { 11 }));
        }
        assert_eq!(delays.usual(), ms(15));
        for delay in [ms(2), ms(15), ms(16)] {
            for _ in 0..EVERY {
                delays.add(delay);
            }
        }
        assert_eq!(delays.usual(), ms(20));
    }
}
