// SPDX-License-Identifier: MPL-2.0
//! Controller of `adapt=resolution`: chooses the height of the picture shown to the generator from the measured
//! times of frames, without a clock.
//!
//! Stepping down is quick: after a few slow frames, directly to the largest size that is predicted to fit the
//! budget. Stepping up is slow: one rung at a time, after many frames whose predicted time fits. A rung that
//! turned out too slow is retried after twice as many frames the next time (exponential backoff).

use std::collections::VecDeque;
use std::time::Duration;

use super::cost::Cost;
use super::rungs::Rung;

/// Number of frames from whose median time a step is decided; fewer if they take as long as that many should.
const WINDOW: usize = 8;
/// Minimum number of frames for a decision, because a single frame may be slow by chance.
const FEWEST: usize = 2;
/// Frames that are ignored at first and after each step: their times include the allocation of memory.
const SETTLING: usize = 1;
/// Share of the budget above which frames are too slow.
const FULL: f64 = 0.95;
/// Share of the budget that a lower rung may take, by prediction.
const GOOD: f64 = 0.8;
/// Share of the budget that a higher rung may take, by prediction.
const ROOM: f64 = 0.7;
/// Share of the budget below which frames are not the cause of lateness at the sink.
const IDLE: f64 = 0.5;
/// Number of consecutive frames with room for a higher rung before it is tried: initially, and at most.
const PATIENCE: usize = 60;
const MAX_PATIENCE: usize = 32 * PATIENCE;

/// The sizes in descending order, the one in use, and the state of the controller.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    rungs: Vec<Rung>,
    /// For each rung, the number of frames with room for it before it is tried.
    patience: Vec<usize>,
    /// Index of the rung in use.
    rung: usize,
    /// The step that was decided, until [`Self::step_done`] or [`Self::refuse`].
    step: Option<Step>,
    /// Times of the latest frames, seconds, and whether the sink reported lateness since the frame before.
    window: VecDeque<(f64, bool)>,
    /// Frames since the last step.
    since: usize,
    /// Consecutive frames with room for the rung above.
    calm: usize,
    /// Whether the rung in use was reached by a step up and has not yet lasted its `patience`.
    trial: bool,
    /// Work and time of the previous rung, until [`Cost::learn`] has used them.
    before: Option<(f64, f64)>,
    cost: Cost,
}

/// Measurement of a painted frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Height of the picture shown to the generator, pixels.
    pub height: usize,
    /// Time for which the frame waited for the session and ran.
    pub time: Duration,
    /// Whether the sink reported a late frame (QoS) since the previous sample.
    pub late: bool,
}

/// The time budget of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeBudget {
    /// Time that a frame may take.
    pub budget: Duration,
    /// Whether the source is live. Otherwise frames over budget only matter if the sink reports lateness.
    pub live: bool,
}

/// A change to another rung.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    /// Index of the rung.
    to: usize,
    /// Its height, pixels.
    pub height: usize,
    pub reason: Reason,
    /// Median time of the frames from which the step was decided.
    pub time: Duration,
    /// The time that they might take.
    pub budget: Duration,
}

/// Why the size changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Frames take too long.
    Slow,
    /// The sink reports late frames, and the element takes a large part of the budget.
    Late,
    /// A larger size is predicted to fit the budget.
    Room,
    /// `adapt` was set to `off`.
    Off,
}

impl Reason {
    /// Value of the field `reason` of the message `stylize-adapt`.
    pub fn nick(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Late => "late",
            Self::Room => "room",
            Self::Off => "off",
        }
    }
}

impl Ladder {
    /// A ladder of `rungs` in descending order, the first of which is the requested size. Starts at the first,
    /// or with `below` at the first that is no higher than `below` pixels, else at the last.
    pub fn new(rungs: Vec<Rung>, below: Option<usize>) -> Self {
        let fits = |below| rungs.iter().position(|rung| rung.height <= below);
        let last = rungs.len().saturating_sub(1);
        Self {
            rung: below.map_or(0, |below| fits(below).unwrap_or(last)),
            patience: vec![PATIENCE; rungs.len()],
            rungs,
            ..Self::default()
        }
    }

    /// Index of the rung in use, 0 at the top.
    pub fn rung(&self) -> usize {
        self.rung
    }

    /// Height of the picture shown to the generator, pixels; `None` for a ladder without rungs.
    pub fn height(&self) -> Option<usize> {
        self.rungs.get(self.rung).map(|rung| rung.height)
    }

    /// The argument `below` of [`Self::new`] with which another ladder continues at this size; `None` at the top.
    pub fn below(&self) -> Option<usize> {
        self.height().filter(|_| self.rung > 0)
    }

    /// The step that was decided and not done yet.
    pub fn step(&self) -> Option<Step> {
        self.step
    }

    /// Records a frame's time and may decide a step. Ignores frames of other rungs or while a step is pending.
    pub fn observe(&mut self, sample: Sample, budget: TimeBudget) {
        if self.step.is_some() || self.height() != Some(sample.height) {
            return;
        }
        self.since += 1;
        if self.since <= SETTLING {
            return;
        }
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        (self.window).push_back((sample.time.as_secs_f64(), sample.late));
        let total: f64 = self.window.iter().map(|(time, _)| time).sum();
        let long = total >= WINDOW as f64 * budget.budget.as_secs_f64();
        if self.window.len() == WINDOW || (long && self.window.len() >= FEWEST) {
            self.decide(budget);
        }
    }

    /// Decides from the window whether to step.
    fn decide(&mut self, TimeBudget { budget, live }: TimeBudget) {
        let (time, full) = (self.median(), budget.as_secs_f64());
        if let Some(before) = self.before.take() {
            self.cost.learn(before, (self.rungs[self.rung].work, time));
        }
        let patience = self.patience[self.rung];
        if self.trial && self.since > patience {
            self.trial = false;
            self.patience[self.rung] = PATIENCE;
        }
        let late = self.window.iter().filter(|(_, late)| *late).count() * 2 >= self.window.len();
        let (to, reason) = if live && time > FULL * full {
            (self.lower(time, GOOD * full), Reason::Slow)
        } else if late && time > IDLE * full {
            (self.lower(time, GOOD * full), Reason::Late)
        } else {
            (self.higher(time, ROOM * full, late), Reason::Room)
        };
        let Some(to) = to else { return };
        if self.trial && reason != Reason::Room {
            self.patience[self.rung] = (2 * patience).min(MAX_PATIENCE);
        }
        self.step = Some(Step {
            to,
            height: self.rungs[to].height,
            reason,
            time: Duration::from_secs_f64(time),
            budget,
        });
    }

    /// The largest lower rung whose predicted time is at most `most` seconds, else the last. During a trial, the
    /// next lower rung, from which the trial was begun. `None` at the bottom.
    fn lower(&mut self, time: f64, most: f64) -> Option<usize> {
        self.calm = 0;
        let last = self.rungs.len() - 1;
        let mut lower = self.rung + 1..=last;
        let fits = lower.find(|rung| self.trial || self.predicted(*rung, time) <= most);
        fits.or(Some(last)).filter(|rung| *rung > self.rung)
    }

    /// The next higher rung, if its predicted time was at most `most` seconds for `patience` frames.
    fn higher(&mut self, time: f64, most: f64, late: bool) -> Option<usize> {
        let above = self.rung.checked_sub(1)?;
        match !late && self.predicted(above, time) <= most {
            true => self.calm += 1,
            false => self.calm = 0,
        }
        (self.calm >= self.patience[above]).then_some(above)
    }

    /// Median time of the window, seconds; the lower of two.
    /// Median time of the window, seconds; the lower of two.
    fn median(&self) -> f64 {
        let mut times: Vec<f64> = self.window.iter().map(|(time, _)| *time).collect();
        times.sort_unstable_by(f64::total_cmp);
        times[(times.len() - 1) / 2]
    }

    /// Predicted time of `rung`, if the rung in use takes `time`.
    fn predicted(&self, rung: usize, time: f64) -> f64 {
        let [work, now] = [rung, self.rung].map(|rung| self.rungs[rung].work);
        self.cost.predicted(work, now, time)
    }

    /// Decides a step to the top, because `adapt` is off.
    pub fn leave(&mut self) {
        let top = self.rungs.first().filter(|_| self.rung > 0);
        self.step = top.map(|top| Step {
            to: 0,
            height: top.height,
            reason: Reason::Off,
            time: Duration::ZERO,
            budget: Duration::ZERO,
        });
    }

    /// Makes the rung of the pending step the one in use.
    pub fn step_done(&mut self) {
        let Some(step) = self.step.take() else { return };
        let measured = step.reason != Reason::Off;
        self.before = measured.then(|| (self.rungs[self.rung].work, step.time.as_secs_f64()));
        self.trial = step.reason == Reason::Room;
        self.rung = step.to;
        self.window.clear();
        (self.since, self.calm) = (0, 0);
    }

    /// Removes the rung of the pending step, which could not be compiled.
    pub fn refuse(&mut self) {
        let Some(step) = self.step.take() else { return };
        self.rungs.remove(step.to);
        self.patience.remove(step.to);
        if step.to < self.rung {
            self.rung -= 1;
        }
        self.window.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::rungs::rungs;
    use super::*;

    const FRAME: Duration = Duration::from_millis(33);
    const LIVE: TimeBudget = TimeBudget {
        budget: FRAME,
        live: true,
    };

    /// 1080 lines, a generator of any size.
    fn ladder() -> Ladder {
        Ladder::new(rungs(1080, 1, |height| height * height), None)
    }

    fn heights(ladder: &Ladder) -> Vec<usize> {
        ladder.rungs.iter().map(|rung| rung.height).collect()
    }

    /// So many frames, of which one takes `cost(number, height)` milliseconds; the steps, as frame
    /// number and new height.
    fn play(
        ladder: &mut Ladder,
        frames: usize,
        deadline: TimeBudget,
        cost: impl Fn(usize, usize) -> f64,
    ) -> Vec<(usize, usize)> {
        let mut steps = Vec::new();
        for number in 0..frames {
            let height = ladder.height().expect("a height");
            let sample = Sample {
                height,
                time: Duration::from_secs_f64(cost(number, height) / 1e3),
                late: false,
            };
            ladder.observe(sample, deadline);
            if let Some(step) = ladder.step() {
                ladder.step_done();
                assert_eq!(ladder.height(), Some(step.height));
                steps.push((number, step.height));
            }
        }
        steps
    }

    /// Milliseconds at 1080 lines to those at others; `fixed` of them at any height.
    fn at(whole: f64, fixed: f64, height: usize) -> f64 {
        let share = height as f64 / 1080.0;
        whole * (fixed + (1.0 - fixed) * share * share)
    }

    #[test]
    fn another_ladder_goes_on_where_the_last_one_was() {
        let rungs = rungs(720, 1, |height| height);
        let begun = |below| Ladder::new(rungs.clone(), below).height();
        assert_eq!(begun(None), Some(720));
        assert_eq!(begun(Some(540)), Some(540));
        assert_eq!(begun(Some(500)), Some(360));
        assert_eq!(begun(Some(10)), Some(180));
        let mut ladder = ladder();
        assert_eq!(ladder.below(), None);
        play(&mut ladder, 20, LIVE, |_, height| at(66.0, 0.0, height));
        assert_eq!(ladder.below(), Some(540));
    }

    #[test]
    fn what_takes_twice_the_time_goes_to_half_the_height_at_once_and_stays() {
        let cost = |_, height| at(66.0, 0.0, height);
        let steps = play(&mut ladder(), 10_000, LIVE, cost);
        assert_eq!(steps.iter().map(|step| step.1).collect::<Vec<_>>(), [540]);
        assert!(steps[0].0 < SETTLING + WINDOW, "{steps:?}");
        // And at once if frames take so long that there are only few.
        let steps = play(&mut ladder(), 10, LIVE, |_, height| at(2000.0, 0.0, height));
        assert_eq!(steps[0], (SETTLING + FEWEST - 1, 270));
    }

    #[test]
    fn what_does_not_shrink_as_predicted_goes_further() {
        // A third of the time is the same at any height.
        let cost = |_, height| at(66.0, 0.35, height);
        let steps = play(&mut ladder(), 10_000, LIVE, cost);
        assert_eq!(
            steps.iter().map(|step| step.1).collect::<Vec<_>>(),
            [540, 405]
        );
        // And where nothing is quick enough, it ends at the last.
        let mut ladder = ladder();
        play(&mut ladder, 1000, LIVE, |_, _| 40.0);
        assert_eq!((ladder.height(), ladder.step()), (Some(270), None));
    }

    #[test]
    fn single_slow_frames_change_nothing() {
        let cost = |number, _| if number % 3 == 0 { 200.0 } else { 20.0 };
        assert_eq!(play(&mut ladder(), 1000, LIVE, cost), []);
        // And up only if the larger rung has room: 30 of 33 ms is none.
        let mut ladder = Ladder::new(ladder().rungs, Some(810));
        let cost = |_, height| at(30.0, 0.0, height);
        assert_eq!(play(&mut ladder, 10_000, LIVE, cost), []);
    }

    #[test]
    fn it_steps_up_one_by_one_when_the_load_is_gone() {
        let mut ladder = ladder();
        let cost = |number, height| at(if number < 300 { 260.0 } else { 8.0 }, 0.0, height);
        let steps = play(&mut ladder, 2000, LIVE, cost);
        let heights = steps.iter().map(|step| step.1).collect::<Vec<_>>();
        assert_eq!(heights, [270, 405, 540, 810, 1080]);
        for pair in steps[1..].windows(2) {
            assert!(pair[1].0 - pair[0].0 >= PATIENCE, "{steps:?}");
        }
    }

    #[test]
    fn a_rung_that_fails_is_retried_with_growing_patience() {
        // 810 lines look as if there were room above, and there is not.
        let cost = |_, height| if height == 1080 { 60.0 } else { 10.0 };
        let mut ladder = ladder();
        let steps = play(&mut ladder, 100_000, LIVE, cost);
        let tries: Vec<usize> = steps
            .iter()
            .filter(|step| step.1 == 1080)
            .map(|step| step.0)
            .collect();
        let waits: Vec<usize> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.is_sorted(), "{waits:?}");
        assert!(waits.last() > Some(&MAX_PATIENCE), "{waits:?}");
        // Of an hour at 30 frames a second, less than one second in sixty is spent on tries.
        assert!(tries.len() < 6 + 100_000 / MAX_PATIENCE, "{}", tries.len());
    }

    #[test]
    fn a_rung_that_lasts_is_patient_no_more() {
        let mut ladder = ladder();
        let bad = |_, height| if height == 1080 { 60.0 } else { 10.0 };
        play(&mut ladder, 3000, LIVE, bad);
        assert!(ladder.patience[0] > 4 * PATIENCE);
        play(&mut ladder, 10_000, LIVE, |_, _| 10.0);
        assert_eq!(ladder.height(), Some(1080));
        assert_eq!(ladder.patience[0], PATIENCE);
    }

    #[test]
    fn noise_does_not_make_it_swing() {
        // Times of any whole cost, spread by a factor of two, with a deterministic generator.
        for whole in (10..300).step_by(10) {
            for fixed in [0.0, 0.3, 0.6] {
                let mut state = 1_u64;
                let noise: Vec<f64> = (0..20_000)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005) + 1;
                        0.7 + 0.7 * (state >> 40) as f64 / (1_u64 << 24) as f64
                    })
                    .collect();
                let cost = |number: usize, height| noise[number] * at(whole.into(), fixed, height);
                let steps = play(&mut ladder(), 20_000, LIVE, cost);
                assert!(steps.len() <= 24, "{whole} {fixed}: {steps:?}");
            }
        }
    }

    #[test]
    fn without_a_deadline_there_is_no_hurry_unless_the_sink_says_so() {
        let file = TimeBudget {
            live: false,
            ..LIVE
        };
        let mut ladder = ladder();
        assert_eq!(play(&mut ladder, 1000, file, |_, _| 100.0), []);
        let sample = Sample {
            height: 1080,
            time: Duration::from_millis(100),
            late: true,
        };
        for _ in 0..WINDOW {
            ladder.observe(sample, file);
        }
        assert_eq!(ladder.step().map(|step| step.reason), Some(Reason::Late));
        ladder.step_done();
        // Frames below `IDLE` are not the cause of lateness.
        let quick = Sample {
            height: ladder.height().expect("a height"),
            time: Duration::from_millis(5),
            ..sample
        };
        for _ in 0..100 * WINDOW {
            ladder.observe(quick, LIVE);
        }
        assert_eq!(ladder.step(), None);
    }

    #[test]
    fn a_rung_that_cannot_be_had_is_left_out() {
        let mut ladder = ladder();
        let sample = |height| Sample {
            height,
            time: Duration::from_millis(66),
            late: false,
        };
        let fill = |ladder: &mut Ladder| {
            for _ in 0..SETTLING + WINDOW {
                let height = ladder.height().expect("a height");
                ladder.observe(sample(height), LIVE);
            }
            ladder.step().map(|step| step.height)
        };
        assert_eq!(fill(&mut ladder), Some(540));
        // Nothing more is decided before it is there, and other rungs' frames say nothing.
        assert_eq!(fill(&mut ladder), Some(540));
        ladder.refuse();
        assert_eq!(
            (heights(&ladder), ladder.height()),
            (vec![1080, 810, 405, 270], Some(1080))
        );
        assert_eq!(fill(&mut ladder), Some(405));
        ladder.step_done();
        for _ in 0..1000 {
            ladder.observe(sample(1080), LIVE);
        }
        assert_eq!(ladder.step(), None);
        // With `adapt=off`, it steps to the top.
        ladder.leave();
        let step = ladder.step().expect("a step");
        assert_eq!((step.height, step.reason), (1080, Reason::Off));
        ladder.step_done();
        ladder.leave();
        assert_eq!(ladder.step(), None);
    }
}
