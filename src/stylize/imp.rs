// SPDX-License-Identifier: MPL-2.0
//! GObject and GStreamer glue: trait methods, each a short call.
//!
//! # Locks
//! In this order, when more than one is held: `settings`, `stream`, `cancel`, `stats`. None is held
//! across a call out: inference, a push, a posted message, `obj()`. The streaming thread takes the
//! [`Player`] out of `stream` while it uses it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::BaseTransformMode;
use gst_base::subclass::prelude::*;
use gst_video::prelude::*;
use parking_lot::Mutex;

use super::job::Player;
use super::report::Error;
use super::settings::Settings;
use super::stats::Stats;
use super::{caps, frame, properties};
use crate::engine::{Canceller, EngineError};
use crate::graph::Frame;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "stylize",
        gst::DebugColorFlags::empty(),
        Some("Video to paintings"),
    )
});

/// What exists between start and stop.
#[derive(Default)]
struct Stream {
    /// `None` while stopped, and while the streaming thread uses it.
    player: Option<Player>,
    info: Option<gst_video::VideoInfo>,
    /// For frames whose memory ends early; empty otherwise.
    spare: Vec<u8>,
}

/// How other threads stop a run.
#[derive(Default)]
struct Cancel {
    flushing: bool,
    current: Option<Canceller>,
}

/// The element's instance.
#[derive(Default)]
pub struct Stylize {
    settings: Mutex<Settings>,
    stream: Mutex<Stream>,
    cancel: Mutex<Cancel>,
    stats: Mutex<Stats>,
    /// An error was posted and nothing has worked since: the same one is not posted again when
    /// upstream tries its sticky events once more.
    failed: AtomicBool,
}

#[glib::object_subclass]
impl ObjectSubclass for Stylize {
    const NAME: &'static str = "GstStylize";
    type Type = super::Stylize;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for Stylize {
    fn properties() -> &'static [glib::ParamSpec] {
        &properties::TABLE
    }

    fn constructed(&self) {
        self.parent_constructed();
        // A late frame is dropped before inference rather than by the sink behind it.
        self.obj().set_property("qos", true);
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.settings.lock().set(value, pspec);
        gst::log!(CAT, imp = self, "{} = {value:?}", pspec.name());
        let live = pspec.flags().contains(gst::PARAM_FLAG_MUTABLE_PLAYING);
        if !live && self.obj().current_state() > gst::State::Ready {
            let name = pspec.name();
            gst::warning!(
                CAT,
                imp = self,
                "{name} takes effect when the element starts again"
            );
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => self.stats.lock().structure().to_value(),
            _ => self.settings.lock().get(pspec),
        }
    }
}

impl GstObjectImpl for Stylize {}

impl ElementImpl for Stylize {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Video Stylizer",
                "Filter/Effect/Video",
                "Turns video into paintings with a feed-forward style-transfer network (ONNX)",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            [
                ("sink", gst::PadDirection::Sink),
                ("src", gst::PadDirection::Src),
            ]
            .map(|(name, direction)| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps::TEMPLATE)
                    .expect("fixed names and caps")
            })
            .into()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::PausedToReady {
            // The pads wait for the streaming thread: do not let them wait for a whole frame.
            self.cancel_runs();
        }
        self.parent_change_state(transition)
    }
}

impl BaseTransformImpl for Stylize {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings.lock().clone();
        let player = Player::load(&settings).map_err(|err| err.message())?;
        *self.stats.lock() = Stats::default();
        *self.cancel.lock() = Cancel::default();
        self.failed.store(false, Ordering::Relaxed);
        *self.stream.lock() = Stream {
            player: Some(player),
            ..Stream::default()
        };
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.cancel.lock() = Cancel::default();
        let stream = std::mem::take(&mut *self.stream.lock());
        drop(stream);
        Ok(())
    }

    fn unit_size(&self, caps: &gst::Caps) -> Option<usize> {
        Some(gst_video::VideoInfo::from_caps(caps).ok()?.size())
    }

    fn transform_size(
        &self,
        _direction: gst::PadDirection,
        _caps: &gst::Caps,
        _size: usize,
        othercaps: &gst::Caps,
    ) -> Option<usize> {
        // Not from `size`: a buffer with padding is larger than its caps say.
        self.unit_size(othercaps)
    }

    fn accept_caps(&self, direction: gst::PadDirection, caps: &gst::Caps) -> bool {
        // Sizes that cannot be played go on to `sink_event`, which can say so in words.
        self.parent_accept_caps(direction, caps)
            || (direction == gst::PadDirection::Sink && caps::bad_size(caps).is_some())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                if let Some((width, height)) = caps::bad_size(caps.caps()) {
                    let error = Error::FrameSize { width, height };
                    self.report(&error);
                    return false;
                }
            }
            gst::EventView::FlushStart(_) => self.cancel_runs(),
            gst::EventView::FlushStop(_) => self.allow_runs(),
            _ => (),
        }
        self.parent_sink_event(event)
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        // Compiled here for the usual memory layout, so that the first frame does not wait for it.
        self.prepare(incaps).map_err(|err| {
            self.report(&err);
            gst::loggable_error!(CAT, "{err}")
        })?;
        self.failed.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn propose_allocation(
        &self,
        decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        self.parent_propose_allocation(decide_query, query)?;
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        Ok(())
    }

    fn decide_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        let (caps, _) = query.get_owned();
        let Some(info) = caps.and_then(|caps| gst_video::VideoInfo::from_caps(&caps).ok()) else {
            return Err(gst::loggable_error!(
                CAT,
                "allocation query without video caps"
            ));
        };
        let caps = info
            .to_caps()
            .map_err(|err| gst::loggable_error!(CAT, "{err}"))?;
        let offered = query.allocation_pools().next();
        let (pool, size, min, max) = offered.clone().unwrap_or((None, info.size() as u32, 0, 0));
        let pool = pool.unwrap_or_else(|| gst_video::VideoBufferPool::new().upcast());
        let mut config = pool.config();
        config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
        config.set_params(Some(&caps), size, min, max);
        pool.set_config(config)
            .map_err(|err| gst::loggable_error!(CAT, "{err}"))?;
        match offered {
            Some(_) => query.set_nth_allocation_pool(0, Some(&pool), size, min, max),
            None => query.add_allocation_pool(Some(&pool), size, min, max),
        }
        self.parent_decide_allocation(query)
    }

    fn transform_meta<'a>(
        &self,
        _outbuf: &mut gst::BufferRef,
        meta: gst::MetaRef<'a, gst::Meta>,
        _inbuf: &'a gst::BufferRef,
    ) -> bool {
        // Geometry, format and colorimetry stay as they were; only what describes the memory of the
        // source frame does not hold for the new one.
        !meta.has_tag::<gst::meta::tags::Memory>()
    }

    fn submit_input_buffer(
        &self,
        is_discont: bool,
        inbuf: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let flow = self.parent_submit_input_buffer(is_discont, inbuf)?;
        // The base class keeps the buffer for us unless QoS found it late.
        if self.queued_buffer().is_none() {
            self.stats.lock().dropped += 1;
        }
        Ok(flow)
    }

    fn before_transform(&self, inbuf: &gst::BufferRef) {
        // Controlled properties are a function of stream time.
        let segment = self.obj().segment();
        if let Some(segment) = segment.downcast_ref::<gst::ClockTime>()
            && let Some(time) = segment.to_stream_time(inbuf.pts())
        {
            // Fails only when nothing is controlled.
            let _ = self.obj().sync_values(time);
        }
    }

    fn transform(
        &self,
        inbuf: &gst::Buffer,
        outbuf: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        match self.stylize(inbuf, outbuf) {
            Ok(()) => Ok(gst::FlowSuccess::Ok),
            Err(Error::Engine(EngineError::Cancelled)) => Err(gst::FlowError::Flushing),
            Err(err) => {
                self.report(&err);
                Err(gst::FlowError::Error)
            }
        }
    }
}

impl Stylize {
    /// Posts an error, once.
    fn report(&self, error: &Error) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            self.post_error_message(error.message());
        }
    }

    /// Compiles for frames of these caps in their usual memory layout.
    fn prepare(&self, caps: &gst::Caps) -> Result<(), Error> {
        let info =
            gst_video::VideoInfo::from_caps(caps).map_err(|_| Error::Format(caps.to_string()))?;
        let stride = usize::try_from(info.stride()[0]).unwrap_or(0);
        let layout = layout(&info, stride, stride)?;
        self.with_player(|this, player, stream| {
            this.session(player, &layout)?;
            let facts = player.facts(info.width(), info.height());
            gst::info!(CAT, imp = this, "{}", facts.line());
            this.stats.lock().facts = facts;
            stream.info = Some(info);
            Ok(())
        })
    }

    /// One frame's way: buffer → bytes → compiled graph → bytes → buffer.
    fn stylize(&self, inbuf: &gst::Buffer, outbuf: &mut gst::BufferRef) -> Result<(), Error> {
        let (strength, seed) = {
            let settings = self.settings.lock();
            (settings.strength as f32, settings.seed)
        };
        self.with_player(|this, player, stream| {
            let info = stream.info.as_ref().ok_or(Error::NotNegotiated)?;
            let unmapped = |_| Error::Memory("it cannot be mapped".into());
            let source = gst_video::VideoFrameRef::from_buffer_ref_readable(inbuf, info)
                .map_err(unmapped)?;
            let mut target = gst_video::VideoFrameRef::from_buffer_ref_writable(outbuf, info)
                .map_err(unmapped)?;
            let layout = layout(
                info,
                usize::try_from(source.plane_stride()[0]).unwrap_or(0),
                usize::try_from(target.plane_stride()[0]).unwrap_or(0),
            )?;
            let source = frame::readable(&source, layout.row(), &mut stream.spare)?;
            let target = frame::writable(&mut target, layout.row())?;
            let session = this.session(player, &layout)?;
            session.set_seed(seed.into())?;
            this.begin_run(session.canceller())?;
            let begin = Instant::now();
            session.run(source, strength, target)?;
            this.stats.lock().count(begin.elapsed());
            Ok(())
        })
    }

    /// The session for this layout, counting a compilation.
    fn session<'p>(
        &self,
        player: &'p mut Player,
        layout: &Frame,
    ) -> Result<&'p mut crate::engine::Session, Error> {
        let (session, compiled) = player.session(layout)?;
        if let Some(time) = compiled {
            gst::debug!(CAT, imp = self, "compiled for {layout:?} in {time:?}");
            let mut stats = self.stats.lock();
            stats.compiled += 1;
            stats.compile_time = time;
        }
        Ok(session)
    }

    /// Takes the player and the stream's facts out of their lock for as long as `f` runs. Only the
    /// streaming thread calls this.
    fn with_player<T>(
        &self,
        f: impl FnOnce(&Self, &mut Player, &mut Stream) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut stream = std::mem::take(&mut *self.stream.lock());
        let Some(mut player) = stream.player.take() else {
            return Err(Error::NotNegotiated);
        };
        let result = f(self, &mut player, &mut stream);
        stream.player = Some(player);
        *self.stream.lock() = stream;
        result
    }

    /// Makes a session the one that a flush cancels; refuses while flushing.
    fn begin_run(&self, canceller: Canceller) -> Result<(), EngineError> {
        let mut cancel = self.cancel.lock();
        if cancel.flushing {
            return Err(EngineError::Cancelled);
        }
        cancel.current = Some(canceller);
        Ok(())
    }

    fn cancel_runs(&self) {
        let mut cancel = self.cancel.lock();
        cancel.flushing = true;
        if let Some(canceller) = &cancel.current {
            canceller.cancel();
        }
    }

    fn allow_runs(&self) {
        let mut cancel = self.cancel.lock();
        cancel.flushing = false;
        if let Some(canceller) = &cancel.current {
            canceller.reset();
        }
    }
}

/// The layout of frames with these strides in bytes.
fn layout(info: &gst_video::VideoInfo, stride: usize, out_stride: usize) -> Result<Frame, Error> {
    let format =
        caps::packed(info.format()).ok_or_else(|| Error::Format(info.format().to_string()))?;
    Ok(Frame {
        format,
        width: info.width() as usize,
        height: info.height() as usize,
        stride,
        out_stride,
    })
}
