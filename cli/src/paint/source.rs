// SPDX-License-Identifier: MPL-2.0
//! Reads an input and demuxes it without parsers and decoders.
//!
//! Every stream has a pipeline branch with its own source and demuxer. A single demuxer would deadlock: a muxer that
//! waits for sound that begins late does not accept video, which blocks the demuxer, so it never reaches the sound.
//! Separate readers cannot block each other and need no unlimited queues. The cost is that the file is read once for
//! each stream, which is small compared with stylizing.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use gst::prelude::*;

use super::edits::read_to_the_end;
use super::film::Film;
use super::watch::Watch;

/// Adds source and demuxer; pads for the streams appear on the returned element.
///
/// # Errors
/// If GStreamer's base elements are missing.
pub fn source(pipeline: &gst::Pipeline, uri: &str) -> Result<gst::Element> {
    let source = gst::ElementFactory::make("urisourcebin")
        .property("uri", uri)
        .build()?;
    let parse = gst::ElementFactory::make("parsebin").build()?;
    // Continues after containers only. A parser would add its pad after its first data, so a stream that begins late
    // would be found late or never.
    parse.connect("autoplug-continue", false, |values| {
        let caps = values
            .get(2)
            .and_then(|value| value.get::<gst::Caps>().ok());
        Some(caps.is_none_or(|caps| is_container(&caps)).to_value())
    });
    if let Some(bin) = parse.downcast_ref() {
        read_to_the_end(bin);
    }
    pipeline.add_many([&source, &parse])?;
    let entry = parse.clone();
    source.connect_pad_added(move |_, pad| {
        let sink = entry.static_pad("sink");
        // A second pad of the source stays unlinked; parsebin reports errors.
        let _ = sink
            .filter(|sink| !sink.is_linked())
            .map(|sink| pad.link(&sink));
    });
    Ok(parse)
}

/// Reads one stream into a pad; the data of others are dropped.
///
/// # Errors
/// If GStreamer's base elements are missing.
pub fn reader(
    pipeline: &gst::Pipeline,
    film: &Film,
    id: &str,
    into: &gst::Pad,
    watch: &Watch,
) -> Result<()> {
    let parse = source(pipeline, &film.uri)?;
    if let Some(origin) = film.origin {
        let before = Mutex::new(None);
        let types = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
        into.add_probe(types, move |_, info| {
            let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(gst::PadProbeData::Event(event)) = &mut info.data else {
                return gst::PadProbeReturn::Ok;
            };
            if event.type_() == gst::EventType::FlushStop {
                *before = None;
            }
            if let Some(segment) = with_origin(origin, event) {
                // The demuxer's corrected segment is the same after this, so downstream need not see it.
                if before.as_ref() == Some(&segment) {
                    return gst::PadProbeReturn::Handled;
                }
                *event = gst::event::Segment::builder(&segment)
                    .seqnum(event.seqnum())
                    .build();
                *before = Some(segment);
            }
            gst::PadProbeReturn::Ok
        });
    }
    let (id, into, watch) = (id.to_owned(), into.clone(), watch.clone());
    parse.connect_pad_added(move |_, pad| {
        watch.count_buffers(pad);
        if stream_id(pad) != id || into.is_linked() || pad.link(&into).is_err() {
            drop_all(pad);
        }
    });
    Ok(())
}

/// The segment with the film's beginning at `origin`, at the start and after a seek. `None`: not a time segment.
fn with_origin(
    origin: gst::ClockTime,
    event: &gst::Event,
) -> Option<gst::FormattedSegment<gst::ClockTime>> {
    let gst::EventView::Segment(segment) = event.view() else {
        return None;
    };
    let mut segment = segment.segment().downcast_ref::<gst::ClockTime>()?.clone();
    let (start, time) = (segment.start()?, segment.time()?);
    if time.is_zero() {
        segment.set_start(origin);
    } else {
        segment.set_time(start.checked_sub(origin)?);
    }
    Some(segment)
}

/// The stream id, equal in all pipelines that read the same input.
pub fn stream_id(pad: &gst::Pad) -> String {
    pad.stream_id()
        .map_or_else(|| pad.name().into(), |id| id.into())
}

/// Drops all data of a pad.
pub fn drop_all(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::DATA_DOWNSTREAM, |_, _| {
        gst::PadProbeReturn::Handled
    });
}

/// Whether a demuxer is installed for these caps.
fn is_container(caps: &gst::Caps) -> bool {
    let demuxers = gst::ElementFactory::factories_with_type(
        gst::ElementFactoryType::DEMUXER,
        gst::Rank::MARGINAL,
    );
    demuxers
        .iter()
        .any(|factory| factory.can_sink_any_caps(caps))
}

/// Caps of a pad, also before they are negotiated.
///
/// # Errors
/// If the caps are empty.
pub fn caps(pad: &gst::Pad) -> Result<gst::Caps> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    caps.structure(0).context("a stream without a type")?;
    Ok(caps)
}

/// Duration of a film.
///
/// # Errors
/// If it is unknown.
pub fn duration(uri: &str) -> Result<gst::ClockTime> {
    let discoverer = gst_pbutils::Discoverer::new(gst::ClockTime::from_seconds(60))?;
    let info = discoverer.discover_uri(uri)?;
    let duration = info.duration().filter(|duration| !duration.is_zero());
    duration.context("how long it is cannot be told, so it cannot be cut into pieces")
}
