// SPDX-License-Identifier: MPL-2.0
//! The way into the output: frames of the source as they come, and the last one again while none do.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

/// As many frames may come at once, behind one that was late.
const CATCH_UP: u32 = 3;

/// Takes frames from whoever has one, and gives them the time at which they came.
pub struct Feed {
    input: gst_app::AppSrc,
    frame_time: Duration,
    last: Mutex<Last>,
}

struct Last {
    picture: gst::Buffer,
    /// Of the picture, at the output's rate: its colours and siting are the source's.
    caps: gst::Caps,
    /// Whether a source has made it.
    real: bool,
    repeating: bool,
    pushed: Instant,
    /// When the source's next picture would come at the rate that was asked for.
    due: Instant,
}

impl Feed {
    /// Until there is a source, the picture is `blank`, with these caps.
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

    /// The next picture of the source, with its caps. Left out if there are more than were asked for; one that
    /// is only early, or behind one that was late, is not.
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

    /// Repeats the last picture if none has come for three frames or so. To be called once a frame.
    pub fn keep_alive(&self) {
        let patience = (3 * self.frame_time).max(Duration::from_millis(150));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Once it has begun to repeat, at the full rate, so that a style glides as ever.
        if last.repeating || last.pushed.elapsed() > patience {
            last.repeating = true;
            self.send(&mut last);
        }
    }

    /// A picture that a source has made, with its caps, if there has been one.
    pub fn picture(&self) -> Option<(gst::Buffer, gst::Caps)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.real.then(|| (last.picture.clone(), last.caps.clone()))
    }

    /// With the lock held, so that times only grow.
    fn send(&self, last: &mut Last) {
        last.pushed = Instant::now();
        // The same memory; only the description of the frame is new.
        let mut frame = last.picture.copy();
        if let Some(frame) = frame.get_mut() {
            frame.unset_flags(gst::BufferFlags::all());
            frame.set_pts(self.input.current_running_time());
            frame.set_dts(None);
            frame.set_duration(None);
        }
        if self.input.caps().as_ref() != Some(&last.caps) {
            // They take their place behind the frames that are on their way.
            self.input.set_caps(Some(&last.caps));
        }
        // Fails only while the server stops.
        let _ = self.input.push_buffer(frame);
    }
}

/// The caps as they are, with the frame rate of others.
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
    fn all_but_the_rate_is_the_source_s() {
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
