// SPDX-License-Identifier: MPL-2.0
//! Sees whether anything moves, so that no run stands still for ever, whatever the input is.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use gst::prelude::*;

/// Nothing has moved for so long: that is the end.
const LIMIT: Duration = Duration::from_secs(30);
/// The same while the generator has something to do, or the muxer puts its file in order.
const PATIENCE: Duration = Duration::from_secs(600);

/// What moves, in all threads of a pipeline. Clones are the same watch.
#[derive(Clone, Default)]
pub struct Watch(Arc<Inner>);

#[derive(Default)]
struct Inner {
    moved: AtomicU64,
    /// Frames that are in the generator.
    inside: AtomicI64,
    /// The generator is being loaded or compiled.
    loading: AtomicBool,
    streams: Mutex<Vec<Stream>>,
    last: Mutex<Option<(u64, Instant)>>,
    notes: Mutex<Vec<String>>,
}

/// A stream on its way into the file.
struct Stream {
    name: String,
    /// How far it has come.
    at: Option<gst::ClockTime>,
    ended: bool,
}

impl Watch {
    /// Whatever passes this pad is a movement.
    pub fn see(&self, pad: &gst::Pad) {
        let watch = self.clone();
        let types = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(types, move |_, _| {
            watch.0.moved.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
    }

    /// Frames between these two pads are being painted.
    pub fn painting(&self, into: &gst::Pad, out: &gst::Pad) {
        for (pad, step) in [(into, 1), (out, -1)] {
            let watch = self.clone();
            let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
            pad.add_probe(types, move |_, info| {
                watch.0.moved.fetch_add(1, Ordering::Relaxed);
                match info.buffer() {
                    Some(_) => drop(watch.0.inside.fetch_add(step, Ordering::Relaxed)),
                    // A seek empties it.
                    None => watch.0.inside.store(0, Ordering::Relaxed),
                }
                gst::PadProbeReturn::Ok
            });
        }
    }

    /// This pad leads a stream into the file.
    pub fn stream(&self, pad: &gst::Pad, name: &str) {
        self.see(pad);
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

    /// Looks at what the element says of itself.
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

    /// Something that the user should know, once.
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

    /// Whether it goes on. Called now and then.
    ///
    /// # Errors
    /// If nothing has moved for 30 s, with the name of the stream that all wait for.
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
        let limit = if busy { PATIENCE } else { LIMIT };
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
