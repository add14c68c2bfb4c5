// SPDX-License-Identifier: MPL-2.0
//! How far it is, as a bar or as lines.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;
use gst::prelude::*;
use indicatif::{ProgressBar, ProgressStyle};

use super::play::stats;

/// Shows frames, rate and time left.
pub struct Progress {
    pub bar: ProgressBar,
    /// Where no bar can be drawn, lines are printed.
    lines: bool,
    begin: Instant,
    last: Mutex<Instant>,
}

impl Progress {
    pub fn new(quiet: bool) -> Result<Self> {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(0)
        };
        bar.set_style(ProgressStyle::with_template(
            "{percent:>3}% {wide_bar} {msg}, {eta} left",
        )?);
        let begin = Instant::now();
        Ok(Self {
            lines: !quiet && bar.is_hidden(),
            bar,
            begin,
            last: Mutex::new(begin),
        })
    }

    pub fn show(&self, pipeline: &gst::Pipeline) {
        let Some(frames) = stats(pipeline).and_then(|s| s.get::<u64>("frames").ok()) else {
            return;
        };
        let fps = frames as f64 / self.begin.elapsed().as_secs_f64();
        let text = format!("{frames} frames, {fps:.1} fps");
        if let (Some(position), Some(duration)) = (
            pipeline.query_position::<gst::ClockTime>(),
            pipeline.query_duration::<gst::ClockTime>(),
        ) {
            self.bar.set_length(duration.mseconds());
            self.bar.set_position(position.mseconds());
        }
        self.bar.set_message(text.clone());
        if let Ok(mut last) = self.last.lock()
            && self.lines
            && last.elapsed() > Duration::from_secs(2)
        {
            *last = Instant::now();
            eprintln!("{text}");
        }
    }
}
