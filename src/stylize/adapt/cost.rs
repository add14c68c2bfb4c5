// SPDX-License-Identifier: MPL-2.0
//! What a frame costs at another size: a part that is the same at all, and one that goes with the work.

/// Most of the largest picture's time that may be believed not to depend on its size.
const MOST_FIXED: f64 = 0.8;

/// What is known of it. Work is a share of the largest picture's.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    /// Share of the largest picture's time that does not depend on its size. Nothing at first, so
    /// that larger pictures are rather thought too slow.
    fixed: f64,
}

impl Cost {
    /// What a frame takes at this work, if one takes `time` at the work `now`.
    pub fn predicted(&self, work: f64, now: f64, time: f64) -> f64 {
        let share = |work| self.fixed + (1.0 - self.fixed) * work;
        time * share(work) / share(now)
    }

    /// Learns from two sizes, each with its work and what a frame took.
    pub fn learn(&mut self, (one, before): (f64, f64), (other, after): (f64, f64)) {
        let slope = (before - after) / (one - other);
        // Otherwise something else has changed meanwhile.
        if slope > 0.0 {
            let fixed = before - slope * one;
            let share = (fixed / (fixed + slope)).clamp(0.0, MOST_FIXED);
            self.fixed = (self.fixed + share) / 2.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_to_know_what_does_not_shrink() {
        let mut cost = Cost::default();
        assert_eq!(cost.predicted(1.0, 0.25, 10.0), 40.0);
        // 12 ms at any size, 48 for the work.
        for _ in 0..20 {
            cost.learn((1.0, 60.0), (0.25, 24.0));
        }
        assert!((cost.predicted(1.0, 0.25, 24.0) - 60.0).abs() < 0.01);
        assert!((cost.predicted(0.5, 0.25, 24.0) - 36.0).abs() < 0.01);
        // A load that came between the two teaches nothing.
        cost.learn((1.0, 60.0), (0.25, 100.0));
        assert!((cost.predicted(1.0, 0.25, 24.0) - 60.0).abs() < 0.01);
    }
}
