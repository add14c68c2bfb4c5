// SPDX-License-Identifier: MPL-2.0
//! How far it is: as a bar, as lines, or as JSON for programs.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;
use gst::prelude::*;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::play::stats;

/// What is shown on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Nothing,
    /// A bar in a terminal, lines elsewhere, on standard error.
    Bar,
    /// An object a line, on standard output.
    Json,
}

/// Shows frames, rate and time left.
pub struct Progress {
    show: Show,
    bar: ProgressBar,
    begin: Instant,
    last: Mutex<Instant>,
}

/// Between two lines where no bar can be drawn.
const LINES: Duration = Duration::from_secs(2);
const OBJECTS: Duration = Duration::from_millis(500);

impl Progress {
    /// # Errors
    /// If the bar cannot be made.
    pub fn new(show: Show) -> Result<Self> {
        let bar = if show == Show::Bar {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        bar.set_style(ProgressStyle::with_template(
            "{percent:>3}% {wide_bar} {msg}, {eta} left",
        )?);
        let begin = Instant::now();
        Ok(Self {
            show,
            bar,
            begin,
            last: Mutex::new(begin),
        })
    }

    /// Called now and then.
    pub fn show(&self, pipeline: &gst::Pipeline) {
        let Some(frames) = stats(pipeline).and_then(|s| s.get::<u64>("frames").ok()) else {
            return;
        };
        let fps = frames as f64 / self.begin.elapsed().as_secs_f64();
        let position = pipeline.query_position::<gst::ClockTime>();
        let duration = pipeline.query_duration::<gst::ClockTime>();
        let text = format!("{frames} frames, {fps:.1} fps");
        match self.show {
            Show::Nothing => (),
            Show::Bar if self.bar.is_hidden() => {
                if self.due(LINES) {
                    eprintln!("{text}");
                }
            }
            Show::Bar => {
                if let (Some(position), Some(duration)) = (position, duration) {
                    self.bar.set_length(duration.mseconds());
                    self.bar.set_position(position.mseconds());
                }
                self.bar.set_message(text);
            }
            Show::Json => {
                if self.due(OBJECTS) {
                    let seconds = |time: Option<gst::ClockTime>| {
                        time.map(|time| time.nseconds() as f64 / 1e9)
                    };
                    tell(&json!({
                        "event": "progress", "frames": frames, "fps": fps,
                        "position": seconds(position), "duration": seconds(duration),
                    }));
                }
            }
        }
    }

    fn due(&self, pause: Duration) -> bool {
        let Ok(mut last) = self.last.lock() else {
            return false;
        };
        let due = last.elapsed() > pause;
        if due {
            *last = Instant::now();
        }
        due
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// One line of JSON. Whoever reads may have gone; the film is finished all the same.
pub fn tell(value: &Value) {
    let _ = writeln!(std::io::stdout(), "{value}");
}
