// SPDX-License-Identifier: MPL-2.0
//! Progress display: a bar, lines, or JSON for programs.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;
use gst::prelude::*;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

/// Kind of progress display.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Nothing,
    /// On standard error: a bar in a terminal, lines elsewhere.
    Bar,
    /// On standard output: a JSON object in each line.
    Json,
}

/// Displays frames, rate and remaining time.
pub struct Progress {
    show: Show,
    bar: ProgressBar,
    begin: Instant,
    last: Mutex<Instant>,
}

/// Interval of lines without a terminal.
const LINES: Duration = Duration::from_secs(2);
/// Interval of JSON objects.
const OBJECTS: Duration = Duration::from_millis(500);

impl Progress {
    /// If the bar's template is wrong.
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

    /// Updates the display; called about five times a second.
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
                    print_json(&json!({
                        "event": "progress", "frames": frames, "fps": fps,
                        "position": seconds(position), "duration": seconds(duration),
                    }));
                }
            }
        }
    }

    /// Whether `pause` has passed since this last returned true.
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

    /// Removes the bar.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Prints a line of JSON. Errors are ignored: the film is finished even if the reader has closed the pipe.
pub fn print_json(value: &Value) {
    let _ = writeln!(std::io::stdout(), "{value}");
}

/// `stats` of `stylize`, if the pipeline has it.
pub fn stats(pipeline: &gst::Pipeline) -> Option<gst::Structure> {
    Some(pipeline.by_name("stylize")?.property("stats"))
}
