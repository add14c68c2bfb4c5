// SPDX-License-Identifier: MPL-2.0
//! Retries of live streams with exponential backoff.

use std::time::{Duration, Instant};

/// Pauses before a retry: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));
/// After playing for longer than this, the next failure counts as the first.
const HEALTHY: Duration = Duration::from_secs(10);
/// A stream without a frame for this time counts as failed.
pub const SILENCE: Duration = Duration::from_secs(5);

/// State of the backoff.
pub struct Restarts {
    pause: Duration,
    begun: Instant,
}

impl Default for Restarts {
    /// Before the first try.
    fn default() -> Self {
        Self {
            pause: PAUSES.0,
            begun: Instant::now(),
        }
    }
}

impl Restarts {
    /// Notes that a try begins.
    pub fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// Notes that the try has failed; returns the pause before the next one.
    pub fn failed(&mut self) -> Duration {
        self.failed_after(self.begun.elapsed())
    }

    fn failed_after(&mut self, played: Duration) -> Duration {
        if played > HEALTHY {
            self.pause = PAUSES.0;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSES.1);
        pause
    }
}

/// Sleeps for `pause`, or until `ended` returns true; it is called every 50 ms.
pub fn wait(pause: Duration, ended: impl Fn() -> bool) {
    let until = Instant::now() + pause;
    while Instant::now() < until && !ended() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_something_has_played() {
        let mut restarts = Restarts::default();
        let mut pauses = |played: u64| {
            let pause = restarts.failed_after(Duration::from_secs(played));
            pause.as_millis()
        };
        let first: Vec<_> = (0..6).map(|_| pauses(1)).collect();
        assert_eq!(first, [500, 1000, 2000, 4000, 8000, 8000]);
        assert_eq!([pauses(11), pauses(11), pauses(10)], [500, 500, 1000]);
    }

    #[test]
    fn wait_ends_early() {
        let begun = Instant::now();
        wait(Duration::from_secs(3600), || true);
        wait(Duration::from_millis(1), || false);
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
