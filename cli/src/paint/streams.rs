// SPDX-License-Identifier: MPL-2.0
//! Links every stream of the input to the muxer: stylized, copied or transcoded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use gst::prelude::*;

use super::alpha;
use super::container::template;
use super::film::{Film, Stream};
use super::look::name;
use super::plan::Plan;
use super::seam::seamless;
use super::source::reader;
use super::watch::Watch;
use crate::shared::animation::is_animation;
use crate::shared::text::quoted;
use crate::shared::time::running_time;

/// Largest number of frames between decoder and muxer, encoder and queues included.
const MOST_ON_THEIR_WAY: usize = 1000;

/// Adds a branch for every stream that the container supports. Returns notes for the user on the others.
///
/// # Errors
/// If the container does not support the video, or an element is missing.
pub fn add_all(
    pipeline: &gst::Pipeline,
    muxer: &gst::Element,
    film: &Film,
    plan: &Plan,
    watch: &Watch,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let video = &film.video;
    match &plan.pieces {
        Some(pieces) => add_pieces(pipeline, muxer, pieces, &plan.encoder.caps, watch)?,
        None => {
            let (line, of_video) = plan.video(video)?;
            notes.extend(of_video);
            let bin = add(
                pipeline,
                muxer,
                film,
                &video.stream,
                &line,
                &plan.encoder.caps,
                watch,
            )?;
            let frames = prepare_frames(&bin, watch)?;
            let varies = video.info.fps().numer() == 0 || is_animation(&video.stream.caps);
            if let Some(out) = out_of(&bin).filter(|_| varies) {
                keep_durations(&frames, &out);
            }
        }
    }
    if film.chapters && !plan.container.chapters {
        notes.push(format!(
            "chapters are left out: they are not written to .{}",
            plan.container.extension
        ));
    }
    if film.cover && !plan.container.cover {
        notes.push(format!(
            "the cover picture is left out: it is not written to .{}",
            plan.container.extension
        ));
    }
    // Other streams of a picture file, such as thumbnails, are not copied.
    let picture = plan.container.pictures.is_some() && video.still;
    let others = film.others.iter().filter(|_| !picture);
    for stream in others {
        match branch(stream, muxer, plan, &mut notes) {
            Some((line, wanted)) => {
                add(pipeline, muxer, film, stream, &line, &wanted, watch)?;
            }
            None => notes.push(format!(
                "{} is left out: the container has no place for it",
                name(&stream.caps)
            )),
        }
    }
    Ok(notes)
}

/// Adds a reader, a branch and a muxer pad for a stream.
fn add(
    pipeline: &gst::Pipeline,
    muxer: &gst::Element,
    film: &Film,
    stream: &Stream,
    line: &str,
    wanted: &gst::Caps,
    watch: &Watch,
) -> Result<gst::Bin> {
    gst::info!(gst::CAT_DEFAULT, "{line}");
    let (bin, into, out) = build(line)?;
    pipeline.add(&bin)?;
    let place = place(muxer, wanted)
        .with_context(|| format!("the container has no place for {}", name(&stream.caps)))?;
    out.link(&place)?;
    watch.stream(&place, &name(&stream.caps));
    reader(pipeline, film, &stream.id, &into, watch)?;
    Ok(bin)
}

/// The muxer's static sink pad, or a request pad for these caps.
fn place(muxer: &gst::Element, wanted: &gst::Caps) -> Option<gst::Pad> {
    if let Some(pad) = muxer.static_pad("sink") {
        return Some(pad);
    }
    muxer.request_pad(&template(muxer, wanted)?, None, None)
}

/// Adds missing timestamps and durations to the frames of the video branch, joins alpha that is encoded separately, and
/// watches their progress. Returns the pad with raw frames.
pub fn prepare_frames(bin: &gst::Bin, watch: &Watch) -> Result<gst::Pad> {
    let pad = |element: &str, pad: &str| {
        let element = bin.by_name(element);
        element
            .and_then(|element| element.static_pad(pad))
            .context("no frames")
    };
    watch.count_frames(&pad("stylize", "sink")?, &pad("stylize", "src")?);
    let before = Mutex::new((None::<gst::ClockTime>, gst::ClockTime::ZERO));
    alpha::join(bin)?;
    let frames = pad("frames", "src")?;
    note_size(&frames, watch);
    // Matroska often has no durations, and muxers take that of the last frame. The first frame of a GIF has no
    // timestamp, nor has the second field of a frame.
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
    frames.add_probe(types, move |pad, info| {
        let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else {
            // After a flush, timestamps begin again.
            *before = (None, gst::ClockTime::ZERO);
            return gst::PadProbeReturn::Ok;
        };
        let (last, lasted) = *before;
        // Some decoders repeat a timestamp.
        let later = |pts: &gst::ClockTime| last.is_none_or(|last| *pts > last);
        let pts = buffer.pts().filter(later).or_else(|| match last {
            Some(last) => Some(last + lasted),
            None => start(pad),
        });
        let gap = pts.zip(last).and_then(|(now, last)| now.checked_sub(last));
        let duration = buffer.duration().filter(|duration| !duration.is_zero());
        let duration = duration.or_else(|| period(pad)).or(gap);
        *before = (pts, duration.unwrap_or(lasted));
        if buffer.pts() != pts || buffer.duration() != duration {
            let buffer = buffer.make_mut();
            buffer.set_pts(pts);
            buffer.set_duration(duration);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(frames)
}

/// The source pad of a branch.
fn out_of(bin: &gst::Bin) -> Option<gst::Pad> {
    bin.src_pads().into_iter().next()
}

/// Restores the durations of raw frames on the encoded ones: parsers replace them by those of a constant frame rate, and
/// muxers take the end of the film from the last one.
fn keep_durations(frames: &gst::Pad, encoded: &gst::Pad) {
    // Durations of frames in the encoder by running time: encoders may shift timestamps, and the segment with them.
    let lasting = Arc::new(Mutex::new(BTreeMap::new()));
    let on_their_way = lasting.clone();
    frames.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(buffer) = info.buffer()
            && let Some(shown) = running_time(pad, buffer.pts())
            && let Some(duration) = buffer.duration()
        {
            let mut lasting = lasting.lock().unwrap_or_else(PoisonError::into_inner);
            lasting.insert(shown, duration);
            // Bounded, because an encoder may drop frames.
            if lasting.len() > MOST_ON_THEIR_WAY {
                lasting.pop_first();
            }
        }
        gst::PadProbeReturn::Ok
    });
    encoded.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(buffer) = info.buffer_mut()
            && let Some(shown) = running_time(pad, buffer.pts())
        {
            let mut lasting = on_their_way.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(duration) = lasting.remove(&shown) {
                buffer.make_mut().set_duration(duration);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Start of a pad's segment.
fn start(pad: &gst::Pad) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    event.segment().downcast_ref::<gst::ClockTime>()?.start()
}

/// Adds a note if the size of frames changes.
fn note_size(frames: &gst::Pad, watch: &Watch) {
    let (watch, first) = (watch.clone(), Mutex::new(None));
    frames.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) {
            let side = |name| {
                caps.caps()
                    .structure(0)
                    .and_then(|s| s.get::<i32>(name).ok())
            };
            let size = side("width").zip(side("height"));
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            let first = first.get_or_insert(size);
            if let (Some((width, height)), Some((w, h))) = (size, *first)
                && (width, height) != (w, h)
            {
                watch.note(format!(
                    "frames of {width}x{height} are fitted into {w}x{h}, the size of the first"
                ));
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Duration of a frame by the frame rate, if it is known.
fn period(pad: &gst::Pad) -> Option<gst::ClockTime> {
    let caps = pad.current_caps()?;
    let fps = caps.structure(0)?.get::<gst::Fraction>("framerate").ok()?;
    let (numer, denom) = (
        u64::try_from(fps.numer()).ok()?,
        u64::try_from(fps.denom()).ok()?,
    );
    (numer > 0).then(|| gst::ClockTime::SECOND.mul_div_round(denom, numer))?
}

/// Launch description of the branch for a stream other than the video, and the caps of its output. `None`: the
/// container does not support it.
fn branch(
    stream: &Stream,
    muxer: &gst::Element,
    plan: &Plan,
    notes: &mut Vec<String>,
) -> Option<(String, gst::Caps)> {
    let kind = stream.caps.structure(0)?.name().as_str();
    if !is_known(kind) {
        return None;
    }
    let caps = plain(&stream.caps);
    if template(muxer, &caps).is_some() {
        let parse = parser(&stream.caps).map_or(String::new(), |parser| format!(" ! {parser}"));
        return Some((format!("queue{parse}"), caps));
    }
    let text = gst::Caps::builder("text/x-raw")
        .field("format", "utf8")
        .build();
    if kind == "text/x-raw" && template(muxer, &text).is_some() {
        // Demuxers output `pango-markup`, muxers accept `utf8` only; players interpret the tags.
        let line = "queue ! capssetter caps=text/x-raw,format=utf8 replace=true";
        return Some((line.into(), text));
    }
    let (encoder, encoded) = plan.container.sound;
    let encoded = gst::Caps::new_empty_simple(encoded);
    if kind.starts_with("audio/") && template(muxer, &encoded).is_some() {
        if !decodes(&stream.caps) {
            notes.push(format!("nothing here decodes {}", name(&stream.caps)));
            return None;
        }
        notes.push(format!(
            "{} is encoded anew for this container",
            name(&stream.caps)
        ));
        let line = format!("queue ! decodebin ! audioconvert ! audioresample ! {encoder} ! queue");
        return Some((line, encoded));
    }
    None
}

/// Caps without the fields that a parser may change.
fn plain(caps: &gst::Caps) -> gst::Caps {
    let mut caps = caps.copy();
    for structure in caps.make_mut().iter_mut() {
        structure.remove_fields([
            "framed",
            "parsed",
            "stream-format",
            "alignment",
            "codec_data",
        ]);
    }
    caps
}

/// The parser for demuxed data of this type, if one is installed.
fn parser(caps: &gst::Caps) -> Option<String> {
    let parsers = gst::ElementFactory::factories_with_type(
        gst::ElementFactoryType::PARSER,
        gst::Rank::MARGINAL,
    );
    let fitting = parsers.iter().filter(|factory| {
        let demuxer = factory.has_type(gst::ElementFactoryType::DEMUXER);
        !demuxer && factory.can_sink_any_caps(caps)
    });
    let best = fitting.max_by_key(|factory| factory.rank());
    best.map(|factory| factory.name().into())
}

/// Whether an audio decoder is installed for these caps.
fn decodes(caps: &gst::Caps) -> bool {
    let raw = caps.structure(0).is_some_and(|s| s.name() == "audio/x-raw");
    let decoders = gst::ElementFactory::factories_with_type(
        gst::ElementFactoryType::DECODER,
        gst::Rank::MARGINAL,
    );
    raw || decoders
        .iter()
        .any(|factory| factory.can_sink_any_caps(caps))
}

/// Adds a branch that reads the encoded video from piece files, in the order of their names.
fn add_pieces(
    pipeline: &gst::Pipeline,
    muxer: &gst::Element,
    pieces: &Path,
    wanted: &gst::Caps,
    watch: &Watch,
) -> Result<()> {
    let line = format!(
        "splitfilesrc location={} ! gdpdepay name=depay ! queue",
        quoted(&pieces.to_string_lossy())
    );
    let bin = gst::parse::bin_from_description(&line, true)?;
    seamless(&bin.by_name("depay").context("no depayloader")?)?;
    pipeline.add(&bin)?;
    let place = place(muxer, wanted).context("the container takes no video")?;
    watch.stream(&place, "video");
    bin.static_pad("src").context("no pad")?.link(&place)?;
    Ok(())
}

/// Builds a branch with ghost pads for input and output. The description must begin with a queue and have one unlinked
/// source pad.
pub fn build(branch: &str) -> Result<(gst::Bin, gst::Pad, gst::Pad)> {
    let named = branch.replacen("queue", "queue name=head", 1);
    let bin = gst::parse::bin_from_description(&named, false)?;
    let head = bin.by_name("head").and_then(|head| head.static_pad("sink"));
    let tail = bin.find_unlinked_pad(gst::PadDirection::Src);
    let into = gst::GhostPad::with_target(&head.context("the branch has no input")?)?;
    let out = gst::GhostPad::with_target(&tail.context("the branch has no output")?)?;
    bin.add_pad(&into)?;
    bin.add_pad(&out)?;
    Ok((bin, into.upcast(), out.upcast()))
}

/// Whether players support streams of this media type; private data, for instance, are left out.
fn is_known(name: &str) -> bool {
    [
        "audio/",
        "text/",
        "subtitle/",
        "application/x-ssa",
        "application/x-ass",
        "subpicture/",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

/// Caps that the muxer needs of the encoder.
pub fn painted_caps(plan: &Plan) -> Result<gst::Caps> {
    let muxer = plan.container.muxer()?;
    let template = template(&muxer, &plan.encoder.caps).context("the container takes no video")?;
    Ok(template.caps().intersect(&plan.encoder.caps))
}
