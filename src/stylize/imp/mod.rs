// SPDX-License-Identifier: MPL-2.0
//! GObject and GStreamer glue: trait methods, each a short call.
//!
//! # Locks
//! In this order, when more than one is held: `settings`, `stream`, `cancel`, `stats`. None is held
//! across a call out: inference, a push, a posted message, `obj()`. The streaming thread takes the
//! [`Stream`] out of its lock while it uses it.

mod flow;
mod latency;
mod loading;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;
use parking_lot::Mutex;

use super::{caps, properties};
use crate::engine::Canceller;
use crate::graph::Frame;
use crate::stylize::generator::job::Player;
use crate::stylize::generator::loading::Loading;
use crate::stylize::generator::networks;
use crate::stylize::mask::masks::Masks;
use crate::stylize::report::Error;
use crate::stylize::settings::Settings;
use crate::stylize::stats::Stats;
use crate::stylize::stream::flight::{Flights, Pending};
use crate::stylize::stream::repeat::Repeats;
use crate::stylize::style::glide::Values;

pub(crate) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "stylize",
        gst::DebugColorFlags::empty(),
        Some("Video to paintings"),
    )
});

/// Name of the custom downstream event that changes the style at its place in the stream: fields
/// `style` (string, as the property) and `transition` (guint64, ns; may be missing).
const STYLE_EVENT: &str = "stylize-style";

/// What exists between start and stop.
#[derive(Default)]
pub(crate) struct Stream {
    /// `None` until the first one is loaded.
    pub player: Option<Player>,
    /// The player that will take its place.
    pub loading: Option<Loading>,
    /// Of the settings that the player was loaded with.
    pub changes: u64,
    /// The layout for which nothing could be compiled, if the stream goes on all the same.
    pub refused: Option<Frame>,
    /// The last frame could not be stylized.
    pub failing: bool,
    /// Whether the last stylized frame is kept, and that frame.
    pub keeps_last: bool,
    pub last: Option<gst::Buffer>,
    pub info: Option<gst_video::VideoInfo>,
    pub masks: Masks,
    pub repeats: Repeats,
    /// The styles of the last painting, in the mask and of the rest, if the next one may go on from
    /// there.
    pub painted: Option<(Values, Option<Values>)>,
    /// There between start and stop.
    pub flights: Option<Flights>,
}

impl Stream {
    /// What comes next does not follow from what came before.
    pub fn begin_anew(&mut self) {
        self.painted = None;
        self.repeats = Repeats::default();
    }
}

/// How other threads stop a run.
#[derive(Default)]
pub(crate) struct Cancel {
    pub flushing: bool,
    pub current: Option<Canceller>,
    pub pending: Pending,
}

/// The element's instance.
#[derive(Default)]
pub struct Stylize {
    pub(crate) settings: Mutex<Settings>,
    pub(crate) stream: Mutex<Stream>,
    pub(crate) cancel: Mutex<Cancel>,
    pub(crate) stats: Mutex<Stats>,
    /// An error was posted and nothing has worked since: the same one is not posted again when
    /// upstream tries its sticky events once more.
    pub(crate) failed: AtomicBool,
    /// Of former starts, with workers that may still be at a frame that nobody waits for. They end
    /// before the element does.
    left: Mutex<Vec<Flights>>,
    /// Frames computed at once, at least 1 after the start.
    pub(crate) streams: AtomicUsize,
    /// The delay that is reported, nanoseconds.
    pub(crate) latency: AtomicU64,
    /// Whether upstream is live.
    pub(crate) live: AtomicBool,
    /// Whether the sink has got a frame too late since the last one that was painted.
    pub(crate) late: AtomicBool,
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
            "stats" => {
                let canceller = self.cancel.lock().current.clone();
                let holders = canceller.map_or(0, |canceller| canceller.holders());
                self.stats.lock().structure(holders).to_value()
            }
            "styles" => {
                let settings = self.settings.lock().clone();
                networks::styles(&settings).to_value()
            }
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
        let settings = {
            let mut settings = self.settings.lock();
            settings.stable = settings.stability > 0.0;
            settings.clone()
        };
        self.announce_loading(&settings);
        let (player, loading) = match settings.while_loading.substitute() {
            None => {
                let begin = Instant::now();
                let player = Player::load(&settings, None, None);
                self.announce_loaded(player.as_ref().map(drop), begin.elapsed());
                (Some(player.map_err(|err| err.message())?), None)
            }
            Some(_) => {
                let loading = Loading::start(&settings, None, None);
                (None, Some(loading.map_err(|err| err.message())?))
            }
        };
        *self.stats.lock() = Stats::default();
        for flag in [&self.failed, &self.live, &self.late] {
            flag.store(false, Ordering::Relaxed);
        }
        let streams = match (settings.frames_in_flight, &player) {
            (0, Some(player)) => player.streams(),
            // Not known before it is loaded, but for a provider that was named.
            (0, None) => settings.provider.streams(),
            (frames, _) => frames as usize,
        };
        self.streams.store(streams, Ordering::Relaxed);
        let flights = Flights::new(streams).map_err(|err| err.message())?;
        *self.cancel.lock() = Cancel {
            pending: flights.pending(),
            ..Cancel::default()
        };
        self.left.lock().retain(|flights| !flights.ended());
        *self.stream.lock() = Stream {
            player,
            loading,
            changes: settings.changes,
            keeps_last: settings.holds(),
            flights: Some(flights),
            ..Stream::default()
        };
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.cancel_runs();
        let mut stream = std::mem::take(&mut *self.stream.lock());
        if let Some(mut flights) = stream.flights.take() {
            flights.end();
            self.left.lock().push(flights);
        }
        *self.cancel.lock() = Cancel::default();
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
        // What cannot be played goes on to `sink_event`, which can say so in words.
        self.parent_accept_caps(direction, caps)
            || (direction == gst::PadDirection::Sink && caps::refused(caps).is_some())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                if let Some(error) = caps::refused(caps.caps()) {
                    self.report(&error);
                    return false;
                }
            }
            gst::EventView::FlushStart(_) => self.cancel_runs(),
            gst::EventView::FlushStop(_) => {
                // What was in flight is of the time before.
                self.discard();
                self.stream.lock().begin_anew();
                if let Err(err) = self.allow_runs() {
                    self.report(&Error::Engine(err));
                }
            }
            gst::EventView::CustomDownstream(custom) => {
                if let Some(structure) = custom.structure().filter(|s| s.has_name(STYLE_EVENT)) {
                    // What came before is painted as it was.
                    let _ = self.drain();
                    self.take_style(structure);
                }
            }
            gst::EventView::Segment(_) => self.stream.lock().begin_anew(),
            _ => (),
        }
        if event.is_serialized() && event.type_() != gst::EventType::FlushStop {
            // Posted if it is an error; the event goes on all the same.
            let _ = self.drain();
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view() {
            self.hear(qos);
        }
        self.parent_src_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if direction == gst::PadDirection::Sink && query.is_serialized() {
            // Posted if it is an error; the query has its own answer.
            let _ = self.drain();
        }
        let answered = BaseTransformImplExt::parent_query(self, direction, query);
        if answered
            && direction == gst::PadDirection::Src
            && let gst::QueryViewMut::Latency(latency) = query.view_mut()
        {
            let (live, min, max) = latency.result();
            self.live.store(live, Ordering::Relaxed);
            let own = gst::ClockTime::from_nseconds(self.latency.load(Ordering::Relaxed));
            latency.set(live, min + own, max.map(|max| max + own));
        }
        answered
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
        // Those in flight and the one that is kept come on top; a pool that cannot give so many is of
        // no use.
        let flying = self.streams.load(Ordering::Relaxed).saturating_sub(1);
        let flying = u32::try_from(flying).unwrap_or(0);
        let min = min + flying + u32::from(self.settings.lock().holds());
        let (pool, max) = match pool {
            Some(pool) if max == 0 || max >= min => (pool, max),
            _ => (gst_video::VideoBufferPool::new().upcast(), 0),
        };
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
        // Not `is_discont`, which stays set until the base class itself pushes a frame.
        if inbuf.flags().contains(gst::BufferFlags::DISCONT) {
            // The base class marks the next frame that leaves.
            self.drain()?;
        }
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

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let landed = match self.take_queued_buffer() {
            Some(inbuf) => self.depart(inbuf)?,
            None => None,
        };
        Ok(landed.map_or(
            GenerateOutputSuccess::NoOutput,
            GenerateOutputSuccess::Buffer,
        ))
    }
}
