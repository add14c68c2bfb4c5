// SPDX-License-Identifier: MPL-2.0
//! When to try again what comes live and has failed: soon at first, and later more patiently.

use std::time::{Duration, Instant};

/// Pauses before the next try: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));
/// What has played so long is healthy: its next failure counts as the first.
const HEALTHY: Duration = Duration::from_secs(10);
/// Without a picture for so long, a stream is taken for dead.
pub const SILENCE: Duration = Duration::from_secs(5);

/// The tries so far.
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
    /// A try begins.
    pub fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// The try has failed: how long to wait before the next.
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

/// Waits, but no longer than until `ended` says so.
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
    fn nobody_waits_for_what_has_ended() {
        let begun = Instant::now();
        wait(Duration::from_secs(3600), || true);
        wait(Duration::from_millis(1), || false);
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
