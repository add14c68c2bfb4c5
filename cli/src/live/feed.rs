// SPDX-License-Identifier: MPL-2.0
//! Pushes video frames into the output pipeline: those of the source as they arrive, and the last one repeatedly while
//! none do.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

/// Number of frames after a late one that may arrive at once without being dropped.
const CATCH_UP: u32 = 3;

/// Pushes frames of any source with the running time of their arrival as timestamp.
pub struct Feed {
    input: gst_app::AppSrc,
    frame_time: Duration,
    last: Mutex<Last>,
}

struct Last {
    picture: gst::Buffer,
    /// Caps of the frame: colorimetry and chroma site of the source, the output's frame rate.
    caps: gst::Caps,
    /// Whether it comes from a source.
    real: bool,
    repeating: bool,
    pushed: Instant,
    /// When the next frame of the source is due at the wanted rate.
    due: Instant,
}

impl Feed {
    /// `blank` is shown, with these caps, until the source delivers a frame.
    pub fn new(
        input: gst_app::AppSrc,
        blank: gst::Buffer,
        caps: gst::Caps,
        frame_time: Duration,
    ) -> Self {
        let last = Last {
            picture: blank,
            caps,
            real: false,
            repeating: false,
            pushed: Instant::now(),
            due: Instant::now(),
        };
        Self {
            input,
            frame_time,
            last: Mutex::new(last),
        }
    }

    /// Pushes a frame of the source. Dropped if frames arrive faster than the wanted rate, but not if it is only early,
    /// or follows a late one.
    pub fn push(&self, picture: gst::Buffer, caps: &gst::CapsRef) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now + self.frame_time / 2 < last.due {
            return;
        }
        let earliest = now.checked_sub(CATCH_UP * self.frame_time);
        last.due = last.due.max(earliest.unwrap_or(now)) + self.frame_time;
        last.picture = picture;
        let caps = at_rate_of(caps, &last.caps);
        if caps != last.caps {
            last.caps = caps;
        }
        last.real = true;
        last.repeating = false;
        self.send(&mut last);
    }

    /// Repeats the last frame if none has arrived for three frame durations or 150 ms. To be called once a frame.
    pub fn keep_alive(&self) {
        let patience = (3 * self.frame_time).max(Duration::from_millis(150));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // While repeating, every frame is repeated, so that transitions of styles stay smooth.
        if last.repeating || last.pushed.elapsed() > patience {
            last.repeating = true;
            self.send(&mut last);
        }
    }

    /// The last frame of a source with its caps, if there has been one.
    pub fn picture(&self) -> Option<(gst::Buffer, gst::Caps)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.real.then(|| (last.picture.clone(), last.caps.clone()))
    }

    /// Called with the lock held, so that timestamps never decrease.
    fn send(&self, last: &mut Last) {
        last.pushed = Instant::now();
        // Copies the metadata only; the memory is shared.
        let mut frame = last.picture.copy();
        if let Some(frame) = frame.get_mut() {
            frame.unset_flags(gst::BufferFlags::all());
            frame.set_pts(self.input.current_running_time());
            frame.set_dts(None);
            frame.set_duration(None);
        }
        if self.input.caps().as_ref() != Some(&last.caps) {
            // `appsrc` queues caps behind the frames that it holds.
            self.input.set_caps(Some(&last.caps));
        }
        // Fails only while the server stops.
        let _ = self.input.push_buffer(frame);
    }
}

/// `caps` with the frame rate of `others`.
fn at_rate_of(caps: &gst::CapsRef, others: &gst::CapsRef) -> gst::Caps {
    let rate = others.structure(0).and_then(|s| s.value("framerate").ok());
    let mut caps = caps.to_owned();
    if let (Some(structure), Some(rate)) = (caps.make_mut().structure_mut(0), rate) {
        structure.set_value("framerate", rate.clone());
    }
    caps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_keep_all_but_the_rate() {
        gst::init().expect("GStreamer");
        let caps = |text: &str| text.parse::<gst::Caps>().expect("caps");
        let source = caps(
            "video/x-raw,format=I420,width=64,height=48,framerate=30000/1001,colorimetry=1:4:0:0,chroma-site=jpeg",
        );
        let output = caps("video/x-raw,format=I420,width=64,height=48,framerate=25/1");
        let wanted = caps(
            "video/x-raw,format=I420,width=64,height=48,framerate=25/1,colorimetry=1:4:0:0,chroma-site=jpeg",
        );
        assert_eq!(at_rate_of(&source, &output), wanted);
    }
}
