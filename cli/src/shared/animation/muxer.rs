// SPDX-License-Identifier: MPL-2.0
//! The element `stylizeanimation`: joins pictures, each a whole file, to one animation file.
//!
//! A frame's duration is known when the next one arrives, so one frame is always held back. Counts and lengths in the
//! file's header are written at EOS, so downstream must be seekable.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::encoder::GifEncoder;
use super::{Span, Writer, writer};
use crate::shared::pads::{self, always, sink_and_source};

glib::wrapper! {
    /// The element `stylizeanimation`.
    pub struct Animation(ObjectSubclass<Imp>) @extends gst::Element, gst::Object;
}

/// Registers the elements for this program.
///
/// # Errors
/// If GStreamer refuses them.
pub fn register() -> Result<(), glib::BoolError> {
    let rank = gst::Rank::NONE;
    gst::Element::register(None, "stylizeanimation", rank, Animation::static_type())?;
    gst::Element::register(None, "stylizegifenc", rank, GifEncoder::static_type())
}

#[derive(Default)]
struct State {
    writer: Option<Box<dyn Writer>>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    /// The frame that is held back, and the running time from which it is shown.
    waiting: Option<(gst::Buffer, gst::ClockTime)>,
    /// Duration of the frame before it.
    lasted: gst::ClockTime,
    /// Running time of the first frame.
    begin: gst::ClockTime,
    /// Whether a second frame has arrived, and something has been written.
    animated: bool,
    /// Number of frames left out because they were shorter than [`Writer::shortest`].
    left_out: u64,
}

/// The element's implementation.
pub struct Imp {
    sink: gst::Pad,
    src: gst::Pad,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for Imp {
    const NAME: &'static str = "StylizeAnimation";
    type Type = Animation;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let (sink, src) = sink_and_source::<Self>(class, Self::chain, Self::event);
        Self {
            sink,
            src,
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for Imp {
    fn constructed(&self) {
        self.parent_constructed();
        pads::add(&*self.obj(), [&self.sink, &self.src]);
    }
}

impl GstObjectImpl for Imp {}

impl ElementImpl for Imp {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Animated pictures",
                "Codec/Muxer",
                "Joins GIF, PNG or WebP pictures to an animation",
                "The gst-plugin-stylize developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps: gst::Caps = ["image/gif", "image/png", "image/webp"]
                .into_iter()
                .map(|kind| gst::Structure::builder(kind).build())
                .collect();
            always(&caps, &caps)
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            *self.lock() = State::default();
        }
        self.parent_change_state(transition)
    }
}

impl Imp {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, err: &anyhow::Error) -> gst::FlowError {
        gst::element_imp_error!(self, gst::StreamError::Mux, ("{err:#}"));
        gst::FlowError::Error
    }

    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let bytes = self.lock().add(buffer).map_err(|err| self.failed(&err))?;
        match bytes {
            Some(bytes) => self.src.push(gst::Buffer::from_mut_slice(bytes)),
            None => Ok(gst::FlowSuccess::Ok),
        }
    }

    fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                let mut state = self.lock();
                if !state.animated {
                    state.writer = writer_of(caps.caps());
                }
                let known = state.writer.is_some();
                drop(state);
                known && self.src.push_event(event)
            }
            gst::EventView::Segment(segment) => {
                if let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() {
                    self.lock().segment = segment.clone();
                }
                // The output is a byte stream with one segment.
                if self.src.sticky_event::<gst::event::Segment>(0).is_some() {
                    return true;
                }
                self.src.push_event(bytes_from(0))
            }
            gst::EventView::FlushStop(_) => {
                // A new file begins, in the format that was negotiated.
                *self.lock() = State {
                    writer: pad.current_caps().and_then(|caps| writer_of(&caps)),
                    ..State::default()
                };
                gst::Pad::event_default(pad, Some(&*self.obj()), event)
            }
            gst::EventView::Eos(_) => {
                match self.end() {
                    // An element downstream that refused data has posted its error.
                    Ok(()) | Err(None) => (),
                    Err(Some(err)) => drop(self.failed(&err)),
                }
                self.src.push_event(event)
            }
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    /// Writes the last frame, the end of the file and the changed bytes of its header. `Err(None)`: downstream refused
    /// data.
    fn end(&self) -> Result<(), Option<anyhow::Error>> {
        let (last, over, left_out) = {
            let mut state = self.lock();
            let (last, over) = state.end()?;
            (last, over, std::mem::take(&mut state.left_out))
        };
        if left_out > 0 {
            let said = gst::Structure::builder("stylize-note")
                .field("text", format!("{left_out} frames are left out: players of this format slow down frames that follow so soon"))
                .build();
            // Fails without a bus, where nothing could read the message.
            let _ = self.obj().post_message(gst::message::Element::new(said));
        }
        if let Some(last) = last {
            self.src.push(last).map_err(|_| None)?;
        }
        if let Some((at, bytes)) = over {
            self.src.push_event(bytes_from(at));
            let bytes = gst::Buffer::from_mut_slice(bytes);
            self.src.push(bytes).map_err(|_| None)?;
        }
        Ok(())
    }
}

/// See [`State::end`].
type Ended = (Option<gst::Buffer>, Option<(u64, Vec<u8>)>);

impl State {
    /// Takes a frame; returns the bytes of the one before, whose duration is known now.
    fn add(&mut self, buffer: gst::Buffer) -> Result<Option<Vec<u8>>> {
        let pts = buffer.pts().context("a frame without a time")?;
        let now = self.segment.to_running_time(pts).unwrap_or(pts);
        let Some((before, since)) = self.waiting.take() else {
            self.begin = now;
            self.waiting = Some((buffer, now));
            return Ok(None);
        };
        let (span, writer) = (self.span(since, now), self.writer()?);
        // Less by half a millisecond, because timestamps are rounded.
        if span.to - span.from + Duration::from_micros(500) < writer.shortest() {
            self.left_out += 1;
            self.waiting = Some((before, since));
            return Ok(None);
        }
        let bytes = writer.picture(&before.map_readable()?, span)?;
        self.lasted = now.saturating_sub(since);
        self.waiting = Some((buffer, now));
        self.animated = true;
        Ok(Some(bytes))
    }

    /// The bytes of the last frame and of the end, and the bytes to overwrite with their offset. A single picture is a
    /// whole file already.
    fn end(&mut self) -> Result<Ended> {
        let Some((last, since)) = self.waiting.take() else {
            return Ok((None, None));
        };
        if !self.animated {
            return Ok((Some(last), None));
        }
        let lasts = last.duration().filter(|lasts| !lasts.is_zero());
        let span = self.span(since, since + lasts.unwrap_or(self.lasted));
        let writer = self.writer()?;
        let mut bytes = writer.picture(&last.map_readable()?, span)?;
        let (tail, over) = writer.end();
        bytes.extend(tail);
        Ok((Some(gst::Buffer::from_mut_slice(bytes)), over))
    }

    fn span(&self, from: gst::ClockTime, to: gst::ClockTime) -> Span {
        let at = |time: gst::ClockTime| time.saturating_sub(self.begin).into();
        Span {
            from: at(from),
            to: at(to),
        }
    }

    fn writer(&mut self) -> Result<&mut Box<dyn Writer>> {
        self.writer.as_mut().context("a frame without a format")
    }
}

/// The writer for these caps.
fn writer_of(caps: &gst::CapsRef) -> Option<Box<dyn Writer>> {
    writer(caps.structure(0)?.name())
}

/// A byte segment that starts at this offset: `filesink` seeks there.
fn bytes_from(place: u64) -> gst::Event {
    let mut segment = gst::FormattedSegment::<gst::format::Bytes>::new();
    segment.set_start(gst::format::Bytes::from_u64(place));
    segment.set_time(gst::format::Bytes::from_u64(place));
    gst::event::Segment::new(&segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_begins_a_new_file() {
        gst::init().expect("GStreamer");
        let element = gst::glib::Object::new::<Animation>();
        element.set_state(gst::State::Paused).expect("paused");
        let sink = element.static_pad("sink").expect("a pad");
        let caps = gst::Caps::new_empty_simple("image/gif");
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        assert!(sink.send_event(gst::event::StreamStart::new("one")));
        sink.send_event(gst::event::Caps::new(&caps));
        sink.send_event(gst::event::Segment::new(&segment));
        element.imp().lock().animated = true;
        sink.send_event(gst::event::FlushStart::new());
        sink.send_event(gst::event::FlushStop::new(true));
        let state = element.imp().lock();
        assert!(!state.animated && state.writer.is_some());
        drop(state);
        element.set_state(gst::State::Null).expect("stopped");
    }
}
