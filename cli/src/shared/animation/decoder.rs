// SPDX-License-Identifier: MPL-2.0
//! The element `stylizeanimationdec`: an animated GIF, PNG or WebP comes in, its frames go out with their times.
//!
//! GStreamer 1.22 decodes only the first frame of an animated PNG or WebP, and `avdemux_gif` waits for more data at the
//! end of some short GIFs. A media type of its own, found by the first bytes of a file, makes `decodebin` choose this
//! element for such files. Pictures in other containers keep their types and decoders.
//!
//! The decoders of `image` seek in the file, so all of it is kept; frames are decoded one at a time, after EOS.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::reader::{Kind, Reader};
use crate::shared::pads::{self, always, sink_and_source};

glib::wrapper! {
    /// The element `stylizeanimationdec`.
    pub struct Decoder(ObjectSubclass<Imp>) @extends gst::Element, gst::Object;
}

/// The type of such files.
const TYPE: &str = "image/x-animation";
/// Larger files are refused.
const LARGEST_FILE: usize = 256 << 20;

/// Ends a pipeline early, with the frames that have been decoded: by EOS at its sources, and at the decoders of
/// animations, whose files were read to the end at the start.
pub fn end_early(pipeline: &gst::Pipeline) {
    pipeline.send_event(gst::event::Eos::new());
    // Stops at a change of the bin: elements that are added just now have no data to end.
    let mut elements = pipeline.iterate_recurse().into_iter();
    while let Some(Ok(element)) = elements.next() {
        if let Some(decoder) = element.downcast_ref::<Decoder>() {
            decoder.send_event(gst::event::Eos::new());
        }
    }
}

/// Whether a stream is an animation: each of its frames has a duration of its own.
pub fn is_animation(caps: &gst::CapsRef) -> bool {
    caps.structure(0).is_some_and(|kind| kind.name() == TYPE)
}

/// Registers the element and the type of its files for this program.
///
/// # Errors
/// If GStreamer refuses them.
pub fn register() -> Result<(), glib::BoolError> {
    let rank = gst::Rank::PRIMARY;
    gst::Element::register(None, "stylizeanimationdec", rank, Decoder::static_type())?;
    let caps = gst::Caps::new_empty_simple(TYPE);
    // Above GStreamer's typefinders, which report the same probability.
    let before = rank + 64;
    let names = Some("gif,png,apng,webp");
    let find = |find: &mut gst::TypeFind| {
        let animation = Kind::of(|at| {
            let bytes = find.peek(i64::try_from(at).ok()?, 8)?;
            bytes.first_chunk().copied()
        });
        if animation.is_some() {
            let caps = gst::Caps::new_empty_simple(TYPE);
            find.suggest(gst::TypeFindProbability::Maximum, &caps);
        }
    };
    gst::TypeFind::register(
        None,
        "stylizeanimationtype",
        before,
        names,
        Some(&caps),
        find,
    )
}

/// The element's implementation.
pub struct Imp {
    sink: gst::Pad,
    src: gst::Pad,
    /// Bytes of the file that have arrived.
    file: Mutex<Vec<u8>>,
    /// Whether decoding is to stop before the last frame.
    ended: AtomicBool,
}

#[glib::object_subclass]
impl ObjectSubclass for Imp {
    const NAME: &'static str = "StylizeAnimationDecoder";
    type Type = Decoder;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let (sink, src) =
            sink_and_source::<Self>(class, |imp, buffer| imp.chain(&buffer), Self::event);
        Self {
            sink,
            src,
            file: Mutex::default(),
            ended: AtomicBool::default(),
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
                "Codec/Decoder/Video",
                "Decodes animated GIF, PNG and WebP",
                "The gst-plugin-stylize developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let raw = gst_video::VideoCapsBuilder::new()
                .format(gst_video::VideoFormat::Rgba)
                .build();
            always(&gst::Caps::new_empty_simple(TYPE), &raw)
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            self.begin();
        }
        let done = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            self.begin();
        }
        Ok(done)
    }

    fn send_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Eos {
            self.ended.store(true, Ordering::Relaxed);
            return true;
        }
        self.parent_send_event(event)
    }
}

impl Imp {
    fn file(&self) -> MutexGuard<'_, Vec<u8>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        *self.file() = Vec::new();
        self.ended.store(false, Ordering::Relaxed);
    }

    fn failed(&self, err: &anyhow::Error) -> gst::FlowError {
        gst::element_imp_error!(self, gst::StreamError::Decode, ("{err:#}"));
        gst::FlowError::Error
    }

    fn chain(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.add(buffer).map_err(|err| self.failed(&err))?;
        Ok(gst::FlowSuccess::Ok)
    }

    fn add(&self, buffer: &gst::Buffer) -> Result<()> {
        let mut file = self.file();
        ensure!(
            file.len() + buffer.size() <= LARGEST_FILE,
            "the animation has more than {} MiB; FFmpeg makes a film of it",
            LARGEST_FILE >> 20
        );
        file.extend_from_slice(&buffer.map_readable()?);
        Ok(())
    }

    fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            // Sent by `announce`, when the size of the frames is known.
            gst::EventView::Caps(_) | gst::EventView::Segment(_) => true,
            gst::EventView::FlushStop(_) => {
                self.begin();
                gst::Pad::event_default(pad, Some(&*self.obj()), event)
            }
            gst::EventView::Eos(_) => {
                let file = std::mem::take(&mut *self.file());
                match self.play(file) {
                    // An element downstream that refused data has posted its error.
                    Ok(()) | Err(None) => (),
                    Err(Some(err)) => {
                        let _ = self.failed(&err);
                        return false;
                    }
                }
                self.src.push_event(event)
            }
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    /// Decodes and pushes all frames. `Err(None)`: downstream refused data.
    fn play(&self, file: Vec<u8>) -> Result<(), Option<anyhow::Error>> {
        let ended = || self.ended.load(Ordering::Relaxed);
        if file.is_empty() || ended() {
            return Ok(());
        }
        let broken = |err: anyhow::Error| Some(err.context("the animation cannot be decoded"));
        let reader = Reader::new(file).map_err(broken)?;
        let size = reader.size;
        let mut at = gst::ClockTime::ZERO;
        for frame in reader {
            let (picture, shown) = frame.map_err(broken)?;
            if ended() {
                break;
            }
            if at.is_zero() {
                self.announce(size, shown).map_err(Some)?;
            }
            let shown = gst::ClockTime::try_from(shown).map_err(|err| Some(err.into()))?;
            let mut buffer = gst::Buffer::from_mut_slice(picture.into_raw());
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(at);
                buffer.set_duration(shown);
            }
            at = at.saturating_add(shown);
            self.src.push(buffer).map_err(|_| None)?;
        }
        Ok(())
    }

    /// Sends caps and segment. The framerate is that of the first frame: most animations have one duration throughout.
    fn announce(&self, (width, height): (u32, u32), shown: Duration) -> Result<()> {
        let millis = i32::try_from(shown.as_millis())?;
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgba, width, height)
            .fps(gst::Fraction::new(1000, millis))
            .build()?;
        self.src.push_event(gst::event::Caps::new(&info.to_caps()?));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        self.src.push_event(gst::event::Segment::new(&segment));
        self.src
            .current_caps()
            .map(drop)
            .context("nobody takes its frames")
    }
}
