// SPDX-License-Identifier: MPL-2.0
//! Model of a frame's time as a function of its size: a fixed part, plus a part proportional to the number of
//! pixels that are computed.

/// Upper limit of the fixed part, as a share of the time of the largest size.
const MAX_FIXED: f64 = 0.8;

/// Estimate of the fixed part. `work` is the number of pixels computed, as a share of that at the largest size.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    /// Share of the largest size's time that does not depend on the size, 0..[`MAX_FIXED`]. 0 at first, which
    /// overestimates the time of larger sizes.
    fixed: f64,
}

impl Cost {
    /// Predicts the time of a frame at `work` from `time`, measured at the work `now`; same unit as `time`.
    pub fn predicted(&self, work: f64, now: f64, time: f64) -> f64 {
        let share = |work| self.fixed + (1.0 - self.fixed) * work;
        time * share(work) / share(now)
    }

    /// Updates the estimate from two sizes, each given as work and measured time.
    pub fn learn(&mut self, (one, before): (f64, f64), (other, after): (f64, f64)) {
        let slope = (before - after) / (one - other);
        // A slope that is not positive means that the machine's load changed between the measurements.
        if slope > 0.0 {
            let fixed = before - slope * one;
            let share = (fixed / (fixed + slope)).clamp(0.0, MAX_FIXED);
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
