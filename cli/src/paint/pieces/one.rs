// SPDX-License-Identifier: MPL-2.0
//! Stylizes one piece: seeks, and passes the frames between two times through generator and encoder to a file.
//!
//! The file has the encoder's buffers with caps and timestamps in GStreamer Data Protocol (`gdppay`).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use gst::prelude::*;

use super::film_plan::{Painted, Piece};
use super::here::Here;
use crate::paint::play::{sink, wait};
use crate::paint::progress::{Show, stats};
use crate::paint::source::reader;
use crate::paint::streams;
use crate::paint::watch::Watch;

/// Decoded and dropped at both ends of a piece, so that the seek's clipping does not touch frames of the piece.
const MARGIN: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// Stylizes a piece into a file.
///
/// # Errors
/// If anything on the way fails, or the input is not seekable.
pub fn paint(here: &Here, piece: &Piece, file: &Path, show: Show) -> Result<Painted> {
    let (begin, start, stop) = piece.times();
    let pipeline = gst::Pipeline::new();
    let pay = gst::ElementFactory::make("gdppay").build()?;
    pipeline.add(&pay)?;
    sink(&pipeline, &pay, file)?;
    let watch = Watch::default();
    let kept = Arc::new(AtomicU64::new(0));
    let into = add_video(&pipeline, here, &pay, &watch, piece, &kept)?;
    let video = &here.film.video.stream.id;
    reader(&pipeline, &here.film, video, &into, &watch)?;
    let result = wait(&pipeline, &watch, show, || {
        let pad = into.peer().context("the input has no video")?;
        let begin = begin.min(start).saturating_sub(MARGIN);
        let (kind, end) = match stop {
            Some(stop) => (gst::SeekType::Set, Some(stop + MARGIN)),
            None => (gst::SeekType::None, None),
        };
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let seek = gst::event::Seek::new(1.0, flags, gst::SeekType::Set, begin, kind, end);
        if !pad.send_event(seek) {
            bail!("it cannot be played from its middle, so it cannot be painted in pieces");
        }
        Ok(())
    });
    let stats = stats(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    result?;
    let stats = stats.context("nothing was stylized")?;
    let text = |name| stats.get::<String>(name).unwrap_or_default();
    Ok(Painted {
        frames: kept.load(Ordering::SeqCst),
        provider: text("provider"),
        precision: text("precision"),
        model: text("model"),
    })
}

/// Adds the video branch, which passes only the frames of this piece. Returns its sink pad.
fn add_video(
    pipeline: &gst::Pipeline,
    here: &Here,
    pay: &gst::Element,
    watch: &Watch,
    piece: &Piece,
    kept: &Arc<AtomicU64>,
) -> Result<gst::Pad> {
    let (begin, start, stop) = piece.times();
    let (line, _) = here.plan.video(&here.film.video)?;
    let (bin, into, out) = streams::build(&format!("{line} ! capsfilter name=wanted"))?;
    streams::prepare_frames(&bin, watch)?;
    let filter = bin.by_name("wanted").context("no filter")?;
    filter.set_property("caps", streams::painted_caps(&here.plan)?);
    pipeline.add(&bin)?;
    let pad = |element: &str| {
        let element = bin.by_name(element);
        element
            .and_then(|element| element.static_pad("src"))
            .context("no frames")
    };
    let (decoded, painted) = (pad("frames")?, pad("stylize")?);
    // The seek is sent after the first frame: `decodebin` must have chosen its decoder before the flush.
    post_at_first_frame(pipeline, &decoded);
    // Frames before the seek are dropped, whatever their timestamp.
    let sought = AtomicBool::new(false);
    let types = gst::PadProbeType::BUFFER
        | gst::PadProbeType::EVENT_FLUSH
        | gst::PadProbeType::EVENT_DOWNSTREAM;
    decoded.add_probe(types, move |pad, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data {
            sought.fetch_or(event.type_() == gst::EventType::FlushStop, Ordering::SeqCst);
            if let Some(whole) = without_seek(event) {
                *event = whole;
            }
            return gst::PadProbeReturn::Ok;
        }
        let at = stream_time(pad, info.buffer().and_then(|buffer| buffer.pts()));
        let inside = at.is_some_and(|at| at >= begin && stop.is_none_or(|stop| at < stop));
        if inside && sought.load(Ordering::SeqCst) {
            gst::PadProbeReturn::Ok
        } else {
            gst::PadProbeReturn::Handled
        }
    });
    // Frames before `start` are warm-up.
    let counter = kept.clone();
    painted.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let at = stream_time(pad, info.buffer().and_then(|buffer| buffer.pts()));
        if at.is_some_and(|at| at >= start) {
            counter.fetch_add(1, Ordering::SeqCst);
            gst::PadProbeReturn::Ok
        } else {
            gst::PadProbeReturn::Handled
        }
    });
    // `gdppay` 1.22 does not write the segment again after a flush. Nothing has been written before it.
    let encoded = filter.static_pad("src").context("no pad")?;
    encoded.add_probe(gst::PadProbeType::EVENT_FLUSH, |_, _| {
        gst::PadProbeReturn::Handled
    });
    let entry = pay.static_pad("sink").context("no pad")?;
    // Some events have objects, which cannot be serialized.
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
    // If an element does not start, its error message on the bus says more.
    let _ = bin.sync_state_with_parent();
    Ok(into)
}

/// Posts an application message at the first frame.
fn post_at_first_frame(pipeline: &gst::Pipeline, pad: &gst::Pad) {
    let weak = pipeline.downgrade();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        if let Some(pipeline) = weak.upgrade() {
            let structure = gst::Structure::new_empty("decoding");
            drop(pipeline.post_message(gst::message::Application::new(structure)));
        }
        gst::PadProbeReturn::Remove
    });
}

/// The segment with the running time that frames would have without the seek, because playlists use running time.
/// `None`: not a time segment.
fn without_seek(event: &gst::Event) -> Option<gst::Event> {
    let gst::EventView::Segment(segment) = event.view() else {
        return None;
    };
    let mut whole = segment.segment().downcast_ref::<gst::ClockTime>()?.clone();
    whole.set_base(whole.time());
    Some(
        gst::event::Segment::builder(&whole)
            .seqnum(event.seqnum())
            .build(),
    )
}

/// Stream time of a timestamp.
pub fn stream_time(pad: &gst::Pad, at: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    // Not `to_stream_time`, which returns `None` outside the segment.
    let time = at? + segment.time()?;
    time.checked_sub(segment.start()?)
}
