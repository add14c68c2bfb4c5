// SPDX-License-Identifier: MPL-2.0
//! How long frames really stay in the element, for the latency that it reports.

use std::time::Duration;

/// Frames after which the latency is looked at again.
const EVERY: usize = 16;
/// The latency is reported in steps of this, so that it seldom changes: each change makes the sinks of
/// a pipeline wait anew.
const STEP: Duration = Duration::from_millis(5);

/// The times of the latest frames, and what they came to.
#[derive(Debug, Default)]
pub(crate) struct Delays {
    latest: Vec<Duration>,
    reported: Duration,
}

impl Delays {
    /// Takes in a frame's time.
    pub fn add(&mut self, delay: Duration) {
        self.latest.push(delay);
        if self.latest.len() < EVERY {
            return;
        }
        self.latest.sort_unstable();
        // All but the slowest, which may have been a first run or a moment of load.
        let usual = self.latest[EVERY - 2];
        self.latest.clear();
        if usual > self.reported {
            let steps = usual.as_nanos().div_ceil(STEP.as_nanos());
            self.reported = STEP * u32::try_from(steps).unwrap_or(u32::MAX);
        }
    }

    /// What nearly all frames kept to so far, in whole steps; zero before it is known. It never
    /// shrinks: a sink that has waited longer loses nothing by it.
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
