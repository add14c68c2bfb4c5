// SPDX-License-Identifier: MPL-2.0
//! A film in pieces: each is painted by itself and kept until all are there, then they are joined.
//!
//! A piece holds the encoder's buffers of the frames from one time to the next, with their caps and
//! timestamps as they were (GStreamer's data protocol). All else, sound and subtitles, is copied from
//! the input when the pieces are joined, so it knows of no seams. A piece belongs to the process that
//! holds its lock, which the system releases when that process ends, however it ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use gst::prelude::*;

use super::look::Film;
use super::plan::Plan;
use super::play::{mux, sink, stats, wait};
use super::progress::Show;
use super::source::reader;
use super::watch::Watch;
use super::{Args, beside, claim, streams, whole};

/// Decoded at both ends of a piece, and left out: what a seek clips must not be what is kept.
const MARGIN: gst::ClockTime = gst::ClockTime::from_seconds(1);

struct Pieces<'a> {
    args: &'a Args,
    plan: &'a Plan,
    film: &'a Film,
    folder: PathBuf,
    /// Stream time of each piece's beginning.
    cuts: Vec<gst::ClockTime>,
}

/// Paints what is missing and joins all; nothing if another process has joined them.
pub fn film(args: &Args, plan: &Plan, film: &Film, part: &Path) -> Result<Option<String>> {
    let duration = duration(&film.uri).context("leave --segments out")?;
    let count = u64::from(args.segments);
    let cuts = (0..count).map(|i| gst::ClockTime::from_nseconds(duration.nseconds() / count * i));
    let pieces = Pieces {
        args,
        plan,
        film,
        folder: beside(&args.output, ".pieces"),
        cuts: cuts.collect(),
    };
    pieces.prepare(duration)?;
    let begin = Instant::now();
    let (mut frames, mut there, mut elsewhere) = (0, 0, 0);
    // First those that nobody has; then those that others have, in case they do not finish.
    for patient in [false, true] {
        for i in 0..pieces.cuts.len() {
            if pieces.file(i).exists() {
                there += u32::from(!patient);
                continue;
            }
            let lock = File::create(pieces.name(i, "lock"));
            let lock = match lock {
                // Another process was faster with all of it.
                Err(_) if !pieces.plan_file().exists() => return Ok(None),
                lock => {
                    lock.with_context(|| format!("{} cannot be written", pieces.folder.display()))?
                }
            };
            if patient {
                lock.lock()?;
            } else if lock.try_lock().is_err() {
                continue;
            }
            if !pieces.plan_file().exists() {
                return Ok(None);
            }
            if pieces.file(i).exists() {
                elsewhere += 1;
                continue;
            }
            frames += whole(&pieces.name(i, "part"), &pieces.file(i), || pieces.paint(i))?;
        }
    }
    let lock = File::create(pieces.folder.join("join.lock"));
    let Some(_lock) = lock.ok().filter(|lock| lock.lock().is_ok()) else {
        return Ok(None);
    };
    if !pieces.plan_file().exists() {
        return Ok(None);
    }
    let Some(_part) = claim(part)? else {
        return Ok(None);
    };
    let mut notes = whole(part, &args.output, || pieces.join(part))?;
    notes.splice(0..0, plan.video(&film.video)?.1);
    std::fs::remove_dir_all(&pieces.folder)?;
    let notes = notes.iter().map(|note| format!("note: {note}\n"));
    Ok(Some(format!(
        "{}{frames} frames in {:.1} s; of {count} pieces {there} were there, {elsewhere} came from elsewhere",
        notes.collect::<String>(),
        begin.elapsed().as_secs_f64(),
    )))
}

pub fn duration(uri: &str) -> Result<gst::ClockTime> {
    let discoverer = gst_pbutils::Discoverer::new(gst::ClockTime::from_seconds(60))?;
    let info = discoverer.discover_uri(uri)?;
    let duration = info.duration().filter(|duration| !duration.is_zero());
    duration.context("how long it is cannot be told")
}

impl Pieces<'_> {
    fn plan_file(&self) -> PathBuf {
        self.folder.join("plan")
    }

    fn name(&self, i: usize, extension: &str) -> PathBuf {
        self.folder.join(format!("{i:03}.{extension}"))
    }

    /// A piece that is whole has this name.
    fn file(&self, i: usize) -> PathBuf {
        self.name(i, "gdp")
    }

    /// Makes the folder, or sees that what is in it belongs to the same film.
    fn prepare(&self, duration: gst::ClockTime) -> Result<()> {
        let size = Path::new(&self.args.input)
            .metadata()
            .map_or(0, |data| data.len());
        let wanted = format!(
            "input: {}, {size} bytes, {duration}\npieces: {}\n{}",
            self.film.uri,
            self.cuts.len(),
            self.plan.look(self.args)
        );
        let file = self.plan_file();
        let found = std::fs::read_to_string(&file).ok();
        if found.as_ref() == Some(&wanted) {
            return Ok(());
        }
        if found.is_some() && !self.args.force {
            bail!(
                "{} has pieces of another film or with other settings; say --force to begin anew, or remove it",
                self.folder.display()
            );
        }
        let cannot = || format!("{} cannot be written", self.folder.display());
        if found.is_some() {
            std::fs::remove_dir_all(&self.folder).with_context(cannot)?;
        }
        std::fs::create_dir_all(&self.folder).with_context(cannot)?;
        // Whole or not there, for processes that start at the same time.
        let part = beside(&file, &format!(".{}", std::process::id()));
        std::fs::write(&part, wanted).with_context(cannot)?;
        std::fs::rename(&part, &file).with_context(cannot)
    }

    /// Paints a piece; how many frames it has.
    fn paint(&self, i: usize) -> Result<u64> {
        if self.args.show() == Show::Bar {
            eprintln!("piece {} of {}", i + 1, self.cuts.len());
        }
        let pipeline = gst::Pipeline::new();
        let pay = gst::ElementFactory::make("gdppay").build()?;
        pipeline.add(&pay)?;
        sink(&pipeline, &pay, &self.name(i, "part"))?;
        let (start, stop) = (self.cuts[i], self.cuts.get(i + 1).copied());
        let watch = Watch::default();
        let into = self.add_video(&pipeline, &pay, &watch, start, stop)?;
        let id = &self.film.video.stream.id;
        reader(&pipeline, &self.film.uri, id, &into, &watch)?;
        let result = wait(&pipeline, &watch, self.args.show(), || {
            let pad = into.peer().context("the input has no video")?;
            let begin = start.saturating_sub(MARGIN);
            let (kind, end) = match stop {
                Some(stop) => (gst::SeekType::Set, Some(stop + MARGIN)),
                None => (gst::SeekType::None, None),
            };
            let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
            let seek = gst::event::Seek::new(1.0, flags, gst::SeekType::Set, begin, kind, end);
            if !pad.send_event(seek) {
                bail!(
                    "{} cannot be played from its middle; leave --segments out",
                    self.args.input
                );
            }
            Ok(())
        });
        let stats = stats(&pipeline);
        pipeline.set_state(gst::State::Null)?;
        result?;
        Ok(stats
            .and_then(|stats| stats.get("frames").ok())
            .unwrap_or(0))
    }

    /// Puts the pieces one behind the other, beside the input's other streams.
    fn join(&self, part: &Path) -> Result<Vec<String>> {
        let mut plan = self.plan.clone();
        plan.pieces = Some(self.folder.join("*.gdp"));
        Ok(mux(Show::Nothing, &plan, self.film, part)?.notes)
    }

    /// Adds the way through generator and encoder, which lets only this piece's frames pass; its beginning.
    fn add_video(
        &self,
        pipeline: &gst::Pipeline,
        pay: &gst::Element,
        watch: &Watch,
        start: gst::ClockTime,
        stop: Option<gst::ClockTime>,
    ) -> Result<gst::Pad> {
        let (line, _) = self.plan.video(&self.film.video)?;
        let (bin, into, out) = streams::build(&format!("{line} ! capsfilter name=wanted"))?;
        streams::prepare_frames(&bin, watch)?;
        let filter = bin.by_name("wanted").context("no filter")?;
        filter.set_property("caps", streams::painted_caps(self.plan)?);
        pipeline.add(&bin)?;
        let frames = bin
            .by_name("frames")
            .and_then(|frames| frames.static_pad("src"));
        let frames = frames.context("no frames")?;
        // Not earlier: `decodebin` must have found its decoder before the seek flushes it.
        tell_when_known(pipeline, &frames);
        // What came before the seek is no part of the piece, whatever its time.
        let sought = AtomicBool::new(false);
        let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
        frames.add_probe(types, move |pad, info| {
            if let Some(event) = info.event() {
                sought.fetch_or(event.type_() == gst::EventType::FlushStop, Ordering::SeqCst);
                return gst::PadProbeReturn::Ok;
            }
            let at = stream_time(pad, info.buffer().and_then(|buffer| buffer.pts()));
            let inside = at.is_some_and(|at| at >= start && stop.is_none_or(|stop| at < stop));
            if inside && sought.load(Ordering::SeqCst) {
                gst::PadProbeReturn::Ok
            } else {
                gst::PadProbeReturn::Handled
            }
        });
        // Nothing has been written yet, and `gdppay` 1.22 does not write a segment again after a flush.
        let painted = filter.static_pad("src").context("no pad")?;
        painted.add_probe(gst::PadProbeType::EVENT_FLUSH, |_, _| {
            gst::PadProbeReturn::Handled
        });
        let entry = pay.static_pad("sink").context("no pad")?;
        // Some events hold objects, which cannot be written.
        entry.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
            use gst::EventType as T;
            let Some(gst::PadProbeData::Event(event)) = &mut info.data else {
                return gst::PadProbeReturn::Ok;
            };
            match event.type_() {
                T::StreamStart => *event = gst::event::StreamStart::new("painting"),
                T::Caps | T::Segment | T::Tag | T::Eos => (),
                _ => return gst::PadProbeReturn::Handled,
            }
            gst::PadProbeReturn::Ok
        });
        out.link(&entry)?;
        // An element that does not start says on the bus why; that is the better error.
        let _ = bin.sync_state_with_parent();
        Ok(into)
    }
}

/// Sends a message when the first frame comes.
fn tell_when_known(pipeline: &gst::Pipeline, pad: &gst::Pad) {
    let weak = pipeline.downgrade();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        if let Some(pipeline) = weak.upgrade() {
            let structure = gst::Structure::new_empty("decoding");
            drop(pipeline.post_message(gst::message::Application::new(structure)));
        }
        gst::PadProbeReturn::Remove
    });
}

/// Where in the film a buffer is.
fn stream_time(pad: &gst::Pad, at: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    // Not `to_stream_time`, which knows nothing of what is outside.
    let time = at? + segment.time()?;
    time.checked_sub(segment.start()?)
}

/// Makes one stream of what `gdpdepay` finds in the pieces: one segment, one time, one end.
pub fn seamless(depay: &gst::Element) -> Result<()> {
    let into = depay.static_pad("sink").context("no pad")?;
    let out = depay.static_pad("src").context("no pad")?;
    let state = Arc::new(Mutex::new(Seam::default()));
    let shared = state.clone();
    into.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let (Some(event), Ok(mut seam)) = (info.event(), shared.lock()) {
            seam.last = event.type_() == gst::EventType::Eos;
        }
        gst::PadProbeReturn::Ok
    });
    let types = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
    out.add_probe(types, move |_, info| {
        let Ok(mut seam) = state.lock() else {
            return gst::PadProbeReturn::Handled;
        };
        match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => seam.event(event),
            Some(gst::PadProbeData::Buffer(buffer)) => seam.buffer(buffer.make_mut()),
            _ => gst::PadProbeReturn::Ok,
        }
    });
    Ok(())
}

#[derive(Default)]
struct Seam {
    /// Segment time and start, of the first piece and of this one.
    first: Option<(gst::ClockTime, gst::ClockTime)>,
    this: Option<(gst::ClockTime, gst::ClockTime)>,
    /// No piece follows.
    last: bool,
}

impl Seam {
    fn event(&mut self, event: &mut gst::Event) -> gst::PadProbeReturn {
        match event.view() {
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                self.this = segment.as_ref().and_then(|s| Some((s.time()?, s.start()?)));
                if self.first.is_some() {
                    return gst::PadProbeReturn::Handled;
                }
                self.first = self.this;
                if let Some(mut segment) = segment {
                    // It does not end where the first piece does.
                    segment.set_stop(gst::ClockTime::NONE);
                    *event = gst::event::Segment::new(&segment);
                }
                gst::PadProbeReturn::Ok
            }
            gst::EventView::Eos(_) if !self.last => gst::PadProbeReturn::Handled,
            gst::EventView::StreamStart(_) if self.first.is_some() => gst::PadProbeReturn::Handled,
            _ => gst::PadProbeReturn::Ok,
        }
    }

    fn buffer(&self, buffer: &mut gst::BufferRef) -> gst::PadProbeReturn {
        let (Some(first), Some(this)) = (self.first, self.this) else {
            return gst::PadProbeReturn::Handled;
        };
        let moved = |at: gst::ClockTime| (at + this.0 + first.1).checked_sub(this.1 + first.0);
        let (pts, dts) = (buffer.pts().and_then(moved), buffer.dts().and_then(moved));
        buffer.set_pts(pts);
        buffer.set_dts(dts);
        gst::PadProbeReturn::Ok
    }
}
