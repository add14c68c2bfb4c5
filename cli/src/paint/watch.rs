// SPDX-License-Identifier: MPL-2.0
//! Watchdog: ends a run in which no data has moved for some time.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use gst::prelude::*;

/// Time without progress after which a run fails.
const LIMIT: Duration = Duration::from_secs(30);
/// The same while the generator is loading or has a frame, or the muxer finishes the file.
const PATIENCE: Duration = Duration::from_secs(600);

/// The watchdog of a pipeline. Clones share their state.
#[derive(Clone)]
pub struct Watch(Arc<Inner>);

struct Inner {
    limit: Duration,
    patience: Duration,
    /// Number of buffers and messages so far.
    moved: AtomicU64,
    /// Number of frames in the element.
    inside: AtomicI64,
    /// Whether the generator is being loaded or compiled.
    loading: AtomicBool,
    streams: Mutex<Vec<Stream>>,
    /// Value of `moved` at the last progress, and when that was.
    last: Mutex<Option<(u64, Instant)>>,
    notes: Mutex<Vec<String>>,
}

/// A stream that is being muxed.
struct Stream {
    name: String,
    /// Timestamp of its last buffer.
    at: Option<gst::ClockTime>,
    ended: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self::with_limits(LIMIT, PATIENCE)
    }
}

impl Watch {
    fn with_limits(limit: Duration, patience: Duration) -> Self {
        Self(Arc::new(Inner {
            limit,
            patience,
            moved: AtomicU64::default(),
            inside: AtomicI64::default(),
            loading: AtomicBool::default(),
            streams: Mutex::default(),
            last: Mutex::default(),
            notes: Mutex::default(),
        }))
    }

    /// Counts buffers at this pad as progress.
    pub fn count_buffers(&self, pad: &gst::Pad) {
        let watch = self.clone();
        let types = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(types, move |_, _| {
            watch.0.moved.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
    }

    /// Counts the frames between these two pads, the element's, as being processed.
    pub fn count_frames(&self, into: &gst::Pad, out: &gst::Pad) {
        for (pad, step) in [(into, 1), (out, -1)] {
            let watch = self.clone();
            let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
            pad.add_probe(types, move |_, info| {
                watch.0.moved.fetch_add(1, Ordering::Relaxed);
                match info.buffer() {
                    Some(_) => drop(watch.0.inside.fetch_add(step, Ordering::Relaxed)),
                    // A flush empties the element.
                    None => watch.0.inside.store(0, Ordering::Relaxed),
                }
                gst::PadProbeReturn::Ok
            });
        }
    }

    /// Watches a stream at its muxer pad, by a name for messages.
    pub fn stream(&self, pad: &gst::Pad, name: &str) {
        self.count_buffers(pad);
        let index = {
            let mut streams = self.streams();
            streams.push(Stream {
                name: name.into(),
                at: None,
                ended: false,
            });
            streams.len() - 1
        };
        let watch = self.clone();
        let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(types, move |_, info| {
            if let Some(stream) = watch.streams().get_mut(index) {
                stream.at = info.buffer().and_then(|buffer| buffer.pts()).or(stream.at);
                stream.ended |= info
                    .event()
                    .is_some_and(|event| event.type_() == gst::EventType::Eos);
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Handles element messages: notes, and the state of loading.
    pub fn message(&self, message: &gst::message::Element) {
        let Some(structure) = message.structure() else {
            return;
        };
        if structure.name() == "stylize-note"
            && let Ok(text) = structure.get::<String>("text")
        {
            self.note(text);
        }
        if structure.name() == "stylize-loading"
            && let Ok(state) = structure.get::<&str>("state")
        {
            let loading = ["loading", "compiling"].contains(&state);
            self.0.loading.store(loading, Ordering::Relaxed);
            self.0.moved.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds a note for the user, unless it has been added before.
    pub fn note(&self, note: String) {
        let mut notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// All notes so far.
    pub fn notes(&self) -> Vec<String> {
        let notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.clone()
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<Stream>> {
        self.0
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks for progress. To be called several times a second.
    ///
    /// # Errors
    /// If there was no progress for [`LIMIT`] or [`PATIENCE`]; names the stream that is furthest behind.
    pub fn check(&self) -> Result<()> {
        let moved = self.0.moved.load(Ordering::Relaxed);
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match *last {
            Some((before, since)) if before == moved => since.elapsed(),
            _ => {
                *last = Some((moved, Instant::now()));
                return Ok(());
            }
        };
        let streams = self.streams();
        let all_ended = !streams.is_empty() && streams.iter().all(|stream| stream.ended);
        let busy = self.0.loading.load(Ordering::Relaxed)
            || self.0.inside.load(Ordering::Relaxed) > 0
            || all_ended;
        let limit = if busy { self.0.patience } else { self.0.limit };
        if since < limit {
            return Ok(());
        }
        let open = streams.iter().filter(|stream| !stream.ended);
        match open.min_by_key(|stream| stream.at) {
            Some(Stream {
                name, at: Some(at), ..
            }) => bail!(
                "nothing has moved for {} s: {name} has not gone on after {at:.1}",
                limit.as_secs()
            ),
            Some(Stream { name, .. }) => bail!(
                "nothing has moved for {} s: {name} has not begun",
                limit.as_secs()
            ),
            None => bail!("nothing has moved for {} s", limit.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sink pad that accepts everything.
    fn pad() -> gst::Pad {
        gst::init().expect("GStreamer");
        let pad = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(|_, _, _| Ok(gst::FlowSuccess::Ok))
            .build();
        pad.set_active(true).expect("active");
        assert!(pad.send_event(gst::event::StreamStart::new("stream")));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        assert!(pad.send_event(gst::event::Segment::new(&segment)));
        pad
    }

    fn push(pad: &gst::Pad, seconds: u64) {
        let mut buffer = gst::Buffer::new();
        let pts = gst::ClockTime::from_seconds(seconds);
        buffer.get_mut().expect("one owner").set_pts(pts);
        pad.chain(buffer).expect("taken");
    }

    #[test]
    fn stalled_stream_is_named() {
        let (picture, sound) = (pad(), pad());
        let watch = Watch::with_limits(Duration::ZERO, Duration::MAX);
        watch.stream(&picture, "video (H.264)");
        watch.stream(&sound, "audio (AAC)");
        let said = |what: &str| {
            watch.check().expect("it has moved since the last time");
            let err = watch.check().expect_err("nothing moves").to_string();
            assert!(err.contains(what), "{err}");
        };
        push(&picture, 1);
        said("audio (AAC) has not begun");
        push(&sound, 3);
        said("video (H.264) has not gone on after 0:00:01.0");
        push(&sound, 4);
        assert!(picture.send_event(gst::event::Eos::new()));
        said("audio (AAC) has not gone on after 0:00:04.0");
    }

    #[test]
    fn painting_and_finishing_the_file_take_their_time() {
        let (into, out) = (pad(), pad());
        let watch = Watch::with_limits(Duration::ZERO, Duration::MAX);
        watch.count_frames(&into, &out);
        push(&into, 0);
        watch.check().expect("a frame has moved");
        watch.check().expect("a frame is being painted");
        push(&out, 0);
        watch.check().expect("a frame has moved");
        watch.check().expect_err("nothing is being painted");
        let last = pad();
        watch.stream(&last, "video");
        assert!(last.send_event(gst::event::Eos::new()));
        watch
            .check()
            .expect("the muxer is putting the file in order");
    }
}
