// SPDX-License-Identifier: MPL-2.0
//! How large the picture shown to the generator may be for frames to be painted in time. Decided from
//! the frames' times alone, without a clock.
//!
//! Down is quick: a few slow frames, and straight to the largest size that should do. Up is slow: one
//! rung after many frames with room for it, and a rung that turned out too slow waits twice as long
//! the next time.

use std::collections::VecDeque;
use std::time::Duration;

use super::cost::Cost;
use super::rungs::Rung;

/// Frames whose median decides; less if they take the time of so many all the same.
const WINDOW: usize = 8;
/// The least: a single frame may be slow for any reason.
const FEWEST: usize = 2;
/// Frames that are not counted at first and after a step, because memory is still made ready.
const SETTLING: usize = 1;
/// Shares of the budget: more is too slow.
const FULL: f64 = 0.95;
/// A lower rung is to take no more, if one can.
const GOOD: f64 = 0.8;
/// A higher rung is tried if it should take no more.
const ROOM: f64 = 0.7;
/// A frame that takes less is not why the stream is late.
const IDLE: f64 = 0.5;
/// Frames with room for a higher rung before it is tried, at first and at most.
const PATIENCE: usize = 60;
const MOST_PATIENCE: usize = 32 * PATIENCE;

/// Sizes from the one asked for downwards, and where the stream is on them.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    rungs: Vec<Rung>,
    /// Frames with room for each before it is tried.
    patience: Vec<usize>,
    rung: usize,
    /// Where to go, until it has been done.
    step: Option<Step>,
    /// Seconds that the latest frames took, and whether one before was late at the sink.
    window: VecDeque<(f64, bool)>,
    /// Frames since the last step.
    since: usize,
    /// Frames in a row with room for the rung above.
    calm: usize,
    /// This rung has been tried again, and has not lasted yet.
    trial: bool,
    /// Work and time of the rung before, until they have been compared.
    before: Option<(f64, f64)>,
    cost: Cost,
}

/// A painted frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Height of the picture that the generator was shown, pixels.
    pub height: usize,
    /// Until it was painted, from when it could have begun.
    pub time: Duration,
    /// Whether the sink has got a frame too late since the one before.
    pub late: bool,
}

/// What a frame's time is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeBudget {
    /// What a frame may take.
    pub budget: Duration,
    /// Whether frames come when they come. Otherwise there is no hurry unless the sink says so.
    pub live: bool,
}

/// Another size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    to: usize,
    /// Pixels.
    pub height: usize,
    pub reason: Reason,
    /// Median of what frames took, and what they may take.
    pub time: Duration,
    pub budget: Duration,
}

/// Why the size changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Frames take too long.
    Slow,
    /// The sink gets frames too late, and they take a good part of the time.
    Late,
    /// There is time for more.
    Room,
    /// The size is no longer to be adapted.
    Off,
}

impl Reason {
    /// The word for it in messages.
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
    /// Of these sizes, the first of which is the one asked for. Begins there, or at the first that is no
    /// higher than `below`.
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

    /// Where the stream is, 0 at the top.
    pub fn rung(&self) -> usize {
        self.rung
    }

    /// Of the picture to be shown to the generator, pixels; `None` if nothing is known of frames yet.
    pub fn height(&self) -> Option<usize> {
        self.rungs.get(self.rung).map(|rung| rung.height)
    }

    /// Height below which another ladder should begin; `None`: at its top.
    pub fn below(&self) -> Option<usize> {
        self.height().filter(|_| self.rung > 0)
    }

    /// Where to go now.
    pub fn step(&self) -> Option<Step> {
        self.step
    }

    /// Takes in what a frame took. Frames of other rungs, and those that were painted while another
    /// rung is being compiled, say nothing.
    pub fn observe(&mut self, sample: Sample, deadline: TimeBudget) {
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
        let long = total >= WINDOW as f64 * deadline.budget.as_secs_f64();
        if self.window.len() == WINDOW || (long && self.window.len() >= FEWEST) {
            self.decide(deadline);
        }
    }

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
            self.patience[self.rung] = (2 * patience).min(MOST_PATIENCE);
        }
        self.step = Some(Step {
            to,
            height: self.rungs[to].height,
            reason,
            time: Duration::from_secs_f64(time),
            budget,
        });
    }

    /// The largest lower rung that should take no more than `most`, or the last. From a trial, the one
    /// where it began.
    fn lower(&mut self, time: f64, most: f64) -> Option<usize> {
        self.calm = 0;
        let last = self.rungs.len() - 1;
        let mut lower = self.rung + 1..=last;
        let fits = lower.find(|rung| self.trial || self.predicted(*rung, time) <= most);
        fits.or(Some(last)).filter(|rung| *rung > self.rung)
    }

    /// The next higher rung, if there has been room for it for long enough.
    fn higher(&mut self, time: f64, most: f64, late: bool) -> Option<usize> {
        let above = self.rung.checked_sub(1)?;
        match !late && self.predicted(above, time) <= most {
            true => self.calm += 1,
            false => self.calm = 0,
        }
        (self.calm >= self.patience[above]).then_some(above)
    }

    fn median(&self) -> f64 {
        let mut times: Vec<f64> = self.window.iter().map(|(time, _)| *time).collect();
        times.sort_unstable_by(f64::total_cmp);
        times[(times.len() - 1) / 2]
    }

    /// What a rung should take where this one takes `time`.
    fn predicted(&self, rung: usize, time: f64) -> f64 {
        let [work, now] = [rung, self.rung].map(|rung| self.rungs[rung].work);
        self.cost.predicted(work, now, time)
    }

    /// Asks for the top, for good.
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

    /// The step that was asked for has been done.
    pub fn step_done(&mut self) {
        let Some(step) = self.step.take() else { return };
        let measured = step.reason != Reason::Off;
        self.before = measured.then(|| (self.rungs[self.rung].work, step.time.as_secs_f64()));
        self.trial = step.reason == Reason::Room;
        self.rung = step.to;
        self.window.clear();
        (self.since, self.calm) = (0, 0);
    }

    /// The step that was asked for cannot be done, and is not asked for again.
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
        assert!(waits.last() > Some(&MOST_PATIENCE), "{waits:?}");
        // Of an hour at 30 frames a second, less than one second in sixty is spent on tries.
        assert!(tries.len() < 6 + 100_000 / MOST_PATIENCE, "{}", tries.len());
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
        // What is quick is not why frames are late.
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
        // Switched off, it goes to the top.
        ladder.leave();
        let step = ladder.step().expect("a step");
        assert_eq!((step.height, step.reason), (1080, Reason::Off));
        ladder.step_done();
        ladder.leave();
        assert_eq!(ladder.step(), None);
    }
}
