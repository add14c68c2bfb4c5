// SPDX-License-Identifier: MPL-2.0
//! Examines an input before anything is written: type of every stream, format of the first decoded frame, tags and
//! chapters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use gst::prelude::*;

use super::film::{Film, Stream, Video};
use super::source::{caps, drop_all, source, stream_id};
use super::turn::{self, Turn};
use super::watch::Watch;

/// Bytes that are read after the first frame if the demuxer does not report that all streams are known.
const ENOUGH: usize = 64 << 20;

/// Picture files that may have an orientation in their EXIF data.
const PICTURES: [&str; 3] = ["image/jpeg", "image/png", "image/webp"];

#[derive(Default)]
struct State {
    streams: Vec<Stream>,
    video: Option<usize>,
    info: Option<gst_video::VideoInfo>,
    frames: usize,
    turned: Option<Turn>,
    chapters: bool,
    cover: bool,
    /// Whether there is a demuxer, and whether it has reported that there are no more streams.
    container: bool,
    complete: bool,
    /// Number of audio streams without data so far: they may still change the beginning of the film.
    awaited: usize,
    /// By stream: its first timestamp, as its demuxer first reported it.
    begins: Vec<Option<gst::ClockTime>>,
    origin: Option<gst::ClockTime>,
    ended: bool,
    read: usize,
    error: Option<anyhow::Error>,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Whether everything is known.
    fn done(&self) -> bool {
        let begun = self.complete && self.awaited == 0;
        let known = begun || !self.container || self.read > ENOUGH;
        self.ended
            || (known && self.frames > 1)
            || (self.complete && self.video.is_none() && self.read > 0)
    }
}

/// Reads the input until everything is known.
///
/// # Errors
/// If it cannot be read, is encrypted, has no video, or no decoder is installed for it.
pub fn look(uri: &str) -> Result<Film> {
    let pipeline = gst::Pipeline::new();
    let state = Shared::default();
    let watch = Watch::default();
    let parse = source(&pipeline, uri)?;
    watch_container(&parse, &state);
    let (shared, weak, seen) = (state.clone(), pipeline.downgrade(), watch.clone());
    parse.connect_pad_added(move |_, pad| {
        seen.count_buffers(pad);
        if let Some(pipeline) = weak.upgrade()
            && let Err(err) = add_stream(&pipeline, pad, &shared)
        {
            lock(&shared).error.get_or_insert(err);
        }
    });
    let result = play(&pipeline, &state, &watch);
    // A failed stop does not matter: the pipeline is not used any more.
    let _ = pipeline.set_state(gst::State::Null);
    let state = std::mem::take(&mut *lock(&state));
    let (index, info) = match (state.video, state.info) {
        (Some(index), Some(info)) => (index, info),
        (None, _) => {
            result?;
            bail!("it has no video")
        }
        (_, None) => {
            result?;
            bail!("its video cannot be decoded")
        }
    };
    let mut others = state.streams;
    let stream = others.remove(index);
    Ok(Film {
        uri: uri.into(),
        video: Video {
            stream,
            info,
            turned: state.turned,
            still: state.frames == 1,
        },
        others,
        chapters: state.chapters,
        cover: state.cover,
        origin: state.origin,
    })
}

/// Notes whether there is a demuxer, and when it has added all pads.
fn watch_container(parse: &gst::Element, state: &Shared) {
    let shared = state.clone();
    let Some(parse) = parse.downcast_ref::<gst::Bin>() else {
        return;
    };
    parse.connect_deep_element_added(move |_, _, element| {
        let factory = element.factory();
        let demuxer =
            factory.is_some_and(|factory| factory.has_type(gst::ElementFactoryType::DEMUXER));
        if demuxer {
            lock(&shared).container = true;
            let shared = shared.clone();
            element.connect_no_more_pads(move |_| lock(&shared).complete = true);
        }
    });
}

/// Description of a stream for messages: kind and codec.
pub fn name(caps: &gst::Caps) -> String {
    let description = gst_pbutils::pb_utils_get_codec_description(caps);
    let kind = caps.structure(0).map_or("", |s| s.name().as_str());
    let kind = kind.split('/').next().unwrap_or_default();
    format!("{kind} ({description})")
}

/// Notes a stream; video is decoded, the data of others are dropped.
fn add_stream(pipeline: &gst::Pipeline, pad: &gst::Pad, state: &Shared) -> Result<()> {
    let caps = caps(pad)?;
    let kind = caps
        .structure(0)
        .map_or("", |s| s.name().as_str())
        .to_owned();
    let (is_video, index) = {
        let mut state = lock(state);
        let index = state.streams.len();
        let picture = kind.starts_with("video/") || kind.starts_with("image/");
        let is_video = picture && state.video.is_none();
        if is_video {
            state.video = Some(index);
        }
        state.streams.push(Stream {
            id: stream_id(pad),
            caps: caps.clone(),
        });
        state.begins.push(None);
        (is_video, index)
    };
    if kind == "application/x-cenc" {
        bail!("it is encrypted");
    }
    if is_video && PICTURES.contains(&kind.as_str()) && !lock(state).container {
        let shared = state.clone();
        turn::detect(pad, move |turn| lock(&shared).turned = Some(turn));
    }
    let sound = kind.starts_with("audio/");
    lock(state).awaited += usize::from(sound);
    let (shared, mut awaited) = (state.clone(), sound);
    let begun = Mutex::new(move || std::mem::take(&mut awaited));
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(types, move |_, info| {
        let ends = info.event().map(|event| event.type_()) == Some(gst::EventType::Eos);
        let begins = info.buffer().is_some() || ends;
        let first = begins && begun.lock().unwrap_or_else(PoisonError::into_inner)();
        let mut state = lock(&shared);
        state.awaited -= usize::from(first);
        state.read += info.buffer().map_or(0, |buffer| buffer.size());
        if let Some(event) = info.event() {
            state.event(event);
            state.segment(index, event);
            // With video, the end of its frames is the end.
            state.ended |= state.video.is_none() && event.type_() == gst::EventType::Eos;
        }
        gst::PadProbeReturn::Ok
    });
    if let Some(segment) = pad.sticky_event::<gst::event::Segment>(0) {
        lock(state).segment(index, &segment);
    }
    // There is one tag event for the stream and one for the file.
    for tags in (0..).map_while(|index| pad.sticky_event::<gst::event::Tag>(index)) {
        lock(state).event(&tags);
    }
    lock(state).chapters |= pad.sticky_event::<gst::event::Toc>(0).is_some();
    if is_video {
        decode(pipeline, pad, state)
    } else {
        drop_all(pad);
        Ok(())
    }
}

/// Decodes two frames and drops the rest.
fn decode(pipeline: &gst::Pipeline, pad: &gst::Pad, state: &Shared) -> Result<()> {
    let line = "queue name=head ! decodebin name=decoder";
    let bin = gst::parse::bin_from_description(line, false)?;
    let head = bin.by_name("head").and_then(|head| head.static_pad("sink"));
    let decoder = bin.by_name("decoder").context("no decoder")?;
    let sink = gst::ElementFactory::make("fakesink")
        .property("sync", false)
        .property("async", false)
        .build()?;
    bin.add(&sink)?;
    let entry = sink.static_pad("sink").context("no pad")?;
    let shared = state.clone();
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    entry.add_probe(types, move |pad, info| {
        let mut state = lock(&shared);
        if info.buffer().is_some() {
            state.frames += 1;
            let caps = pad.current_caps();
            let info = caps.and_then(|caps| gst_video::VideoInfo::from_caps(&caps).ok());
            state.info = state.info.take().or(info);
        } else if let Some(event) = info.event() {
            state.event(event);
            state.ended |= event.type_() == gst::EventType::Eos;
        }
        gst::PadProbeReturn::Ok
    });
    decoder.connect_pad_added(move |_, pad| {
        // Only one pad can appear, because the input is one elementary stream.
        let _ = (!entry.is_linked()).then(|| pad.link(&entry));
    });
    let ghost = gst::GhostPad::with_target(&head.context("no pad")?)?;
    bin.add_pad(&ghost)?;
    pipeline.add(&bin)?;
    // If an element does not start, its error message is on the bus.
    let _ = bin.sync_state_with_parent();
    pad.link(&ghost)?;
    let shared = state.clone();
    ghost.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        if lock(&shared).frames > 1 {
            gst::PadProbeReturn::Handled
        } else {
            gst::PadProbeReturn::Ok
        }
    });
    Ok(())
}

impl State {
    /// Notes the beginning of a stream. A demuxer that corrects it sends another segment with base 0; one that
    /// continues with the next part of a film sends one with a larger base.
    fn segment(&mut self, stream: usize, event: &gst::EventRef) {
        let gst::EventView::Segment(segment) = event.view() else {
            return;
        };
        let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() else {
            return;
        };
        let begins = segment
            .start()
            .zip(segment.time())
            .and_then(|(start, time)| start.checked_sub(time));
        if let (Some(begins), Some(gst::ClockTime::ZERO)) = (begins, segment.base()) {
            let known = self.begins[stream].get_or_insert(begins);
            if begins < *known && self.container {
                self.origin = Some(begins);
                *known = begins;
            }
        }
    }

    /// Notes chapters, orientation and cover.
    fn event(&mut self, event: &gst::EventRef) {
        match event.view() {
            gst::EventView::Toc(_) => self.chapters = true,
            gst::EventView::Tag(tag) => {
                let turn = tag.tag().get::<gst::tags::ImageOrientation>();
                if turn.is_some_and(|turn| turn.get() != "rotate-0") {
                    self.turned = Some(turn::BY_TAG);
                }
                self.cover |= tag.tag().get::<gst::tags::Image>().is_some();
            }
            _ => (),
        }
    }
}

/// Plays until everything is known.
fn play(pipeline: &gst::Pipeline, state: &Shared, watch: &Watch) -> Result<()> {
    use gst::MessageView;
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    let started = pipeline.set_state(gst::State::Playing);
    let mut missing = None;
    loop {
        let message = bus.timed_pop(gst::ClockTime::from_mseconds(20));
        {
            let mut state = lock(state);
            if let Some(err) = state.error.take() {
                return Err(err);
            }
            if state.done() {
                return Ok(());
            }
        }
        match message.as_ref().map(|message| message.view()) {
            Some(MessageView::Eos(_)) => return Ok(()),
            Some(MessageView::Element(element)) => {
                let plugin = element
                    .structure()
                    .filter(|structure| structure.name() == "missing-plugin");
                let name = plugin.and_then(|structure| structure.get::<String>("name").ok());
                missing = missing.or(name);
            }
            Some(MessageView::Error(error)) => {
                gst::error!(gst::CAT_DEFAULT, "{error:?}");
                return Err(match missing {
                    Some(name) => anyhow!("no {name} is installed here"),
                    None => anyhow!("{}", error.error().message()),
                });
            }
            None if started.is_err() => bail!("it cannot be read"),
            None => watch.check()?,
            Some(_) => (),
        }
    }
}
