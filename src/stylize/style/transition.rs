// SPDX-License-Identifier: MPL-2.0
//! Transitions: linear interpolation between two vectors of style values over running time.

use std::sync::Arc;

use gst::ClockTime;

/// Values of a style input: weights of styles, or a style vector.
pub(crate) type Values = Arc<[f32]>;

/// A linear interpolation from one style to the next, in running time.
#[derive(Default)]
pub(crate) struct StyleTransition {
    from: Values,
    to: Values,
    /// Values of the latest frame.
    now: Values,
    /// Running time of the beginning; `None` after the end.
    begin: Option<ClockTime>,
    /// Running time of the latest frame.
    last: Option<ClockTime>,
    /// Duration of this transition; `None`: that of the property.
    pub duration: Option<ClockTime>,
}

impl From<Values> for StyleTransition {
    fn from(values: Values) -> Self {
        Self {
            to: values.clone(),
            now: values,
            ..Self::default()
        }
    }
}

impl StyleTransition {
    /// Starts a transition from the present values to `to`. It begins at the time of the last frame, so that the
    /// next one differs; before the first frame the values change at once.
    pub fn start(&mut self, to: Values) {
        if to == self.to {
            return;
        }
        self.duration = None;
        self.from = std::mem::replace(&mut self.now, to.clone());
        self.to = to;
        self.begin = self.last;
        if self.begin.is_some() {
            self.now = self.from.clone();
        }
    }

    /// The values at this running time, with the property's duration `transition`.
    pub fn at(&mut self, time: Option<ClockTime>, transition: ClockTime) -> Values {
        self.last = time;
        let transition = self.duration.unwrap_or(transition);
        if let Some(begin) = self.begin {
            // A frame without a time stamp, or before the beginning (after a seek), ends the transition.
            let gone = time.and_then(|time| time.checked_sub(begin));
            match gone.filter(|gone| *gone < transition) {
                Some(gone) => {
                    let share = gone.nseconds() as f64 / transition.nseconds() as f64;
                    self.now = blend(&self.from, &self.to, share as f32);
                }
                None => {
                    self.now = self.to.clone();
                    self.begin = None;
                }
            }
        }
        self.now.clone()
    }
}

/// Linear interpolation: `a` at a share of 0, `b` at 1.
pub(crate) fn blend(a: &[f32], b: &[f32], share: f32) -> Values {
    let mix = |(a, b): (&f32, &f32)| a * (1.0 - share) + b * share;
    a.iter().zip(b).map(mix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: u64) -> Option<ClockTime> {
        Some(ClockTime::from_mseconds(time))
    }

    const TRANSITION: ClockTime = ClockTime::from_mseconds(400);

    fn values(values: [f32; 2]) -> Values {
        values.into()
    }

    #[test]
    fn a_glide_has_moved_at_the_first_frame_and_arrives() {
        let mut glide = StyleTransition::from(values([1.0, 0.0]));
        assert_eq!(*glide.at(ms(1000), TRANSITION), [1.0, 0.0]);
        glide.start(values([0.0, 1.0]));
        assert_eq!(*glide.at(ms(1100), TRANSITION), [0.75, 0.25]);
        assert_eq!(*glide.at(ms(1200), TRANSITION), [0.5, 0.5]);
        // Turns round where it is.
        glide.start(values([1.0, 0.0]));
        assert_eq!(*glide.at(ms(1400), TRANSITION), [0.75, 0.25]);
        assert_eq!(*glide.at(ms(1600), TRANSITION), [1.0, 0.0]);
        assert_eq!(glide.begin, None);
    }

    #[test]
    fn without_time_to_glide_in_it_is_there_at_once() {
        let mut glide = StyleTransition::from(values([1.0, 0.0]));
        glide.start(values([0.0, 1.0]));
        assert_eq!(
            *glide.at(ms(0), TRANSITION),
            [0.0, 1.0],
            "before the first frame"
        );
        glide.start(values([1.0, 0.0]));
        assert_eq!(
            *glide.at(ms(1), ClockTime::ZERO),
            [1.0, 0.0],
            "no transition"
        );
        glide.start(values([0.0, 1.0]));
        assert_eq!(*glide.at(ms(0), TRANSITION), [0.0, 1.0], "time runs back");
        glide.start(values([1.0, 0.0]));
        assert_eq!(*glide.at(None, TRANSITION), [1.0, 0.0], "no time stamp");
    }

    #[test]
    fn the_same_style_again_changes_nothing() {
        let mut glide = StyleTransition::from(values([1.0, 0.0]));
        glide.at(ms(0), TRANSITION);
        glide.start(values([0.0, 1.0]));
        assert_eq!(*glide.at(ms(200), TRANSITION), [0.5, 0.5]);
        glide.start(values([0.0, 1.0]));
        assert_eq!(*glide.at(ms(300), TRANSITION), [0.25, 0.75]);
    }
}
