// SPDX-License-Identifier: MPL-2.0
//! Measures frame rate, age of frames and gaps between them at a pad.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::shared::time::running_time;
use gst::prelude::*;
use serde::Serialize;

/// Number of the latest frames that are kept.
const WINDOW: usize = 512;
/// The rate is measured over this time.
const RATE_OVER: Duration = Duration::from_secs(2);

/// Measures the buffers at a pad.
#[derive(Clone, Default)]
pub struct Meter(Arc<Mutex<VecDeque<Frame>>>);

struct Frame {
    left: Instant,
    age: Duration,
}

/// Percentiles in milliseconds.
#[derive(Serialize, Default, Clone, Copy)]
pub struct Times {
    pub median: f64,
    pub p95: f64,
}

/// A measurement.
#[derive(Default)]
pub struct Reading {
    pub fps: f64,
    pub age_ms: Times,
    pub longest_gap_ms: f64,
}

impl Meter {
    /// Starts to measure at this pad. A frame's timestamp is the running time of its arrival, so its age is the current
    /// running time minus that.
    pub fn watch(&self, pad: &gst::Pad) {
        let meter = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let now = pad
                .parent_element()
                .and_then(|el| el.current_running_time());
            let pts = info.buffer().and_then(|buffer| buffer.pts());
            let came = running_time(pad, pts);
            if let (Some(now), Some(came)) = (now, came) {
                meter.add(Duration::from_nanos(now.saturating_sub(came).nseconds()));
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn add(&self, age: Duration) {
        let mut frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if frames.len() == WINDOW {
            frames.pop_front();
        }
        frames.push_back(Frame {
            left: Instant::now(),
            age,
        });
    }

    pub fn read(&self) -> Reading {
        let frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = frames.iter().filter(|f| f.left.elapsed() < RATE_OVER);
        let mut ages: Vec<f64> = frames.iter().map(|f| milliseconds(f.age)).collect();
        ages.sort_unstable_by(f64::total_cmp);
        let share = |percent: usize| {
            let index = (ages.len() * percent / 100).min(ages.len().saturating_sub(1));
            ages.get(index).copied().unwrap_or_default()
        };
        let gaps = frames.iter().zip(frames.iter().skip(1));
        Reading {
            fps: recent.count() as f64 / RATE_OVER.as_secs_f64(),
            age_ms: Times {
                median: share(50),
                p95: share(95),
            },
            longest_gap_ms: gaps
                .map(|(a, b)| milliseconds(b.left - a.left))
                .fold(0.0, f64::max),
        }
    }
}

/// Milliseconds, rounded to 0.1.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
