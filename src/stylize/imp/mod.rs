// SPDX-License-Identifier: MPL-2.0
//! GObject and GStreamer glue: trait methods, each a short call.
//!
//! # Locks
//! In this order, when more than one is held: `settings`, `stream`, `cancel`, `history`, `stats`. None
//! is held across a call out: inference, a push, a posted message, `obj()`. The streaming thread takes
//! the [`Stream`] out of its lock while it uses it.
//!
//! # Threads
//! The streaming thread of the sink pad decides what is done for a frame and hands it to a thread of the
//! session. With one frame in flight it waits for the result and pushes it itself, as any filter does. With more, a
//! task of the source pad pushes each frame when it is done; serialized events and queries wait until
//! all frames before them have been pushed, so that both threads never push at the same time.

mod flow;
mod latency;
mod loading;
mod output;
mod transform;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use parking_lot::Mutex;

use super::{caps, properties};
use crate::engine::Canceller;
use crate::graph::Frame;
use crate::stylize::background::BackgroundThreads;
use crate::stylize::generator::active::ActiveGenerator;
use crate::stylize::generator::loading::Loading;
use crate::stylize::generator::networks;
use crate::stylize::mask::masks::Masks;
use crate::stylize::settings::{Settings, StartSettings};
use crate::stylize::stats::Stats;
use crate::stylize::stream::delays::Delays;
use crate::stylize::stream::frame::Timing;
use crate::stylize::stream::queue::OutputQueue;
use crate::stylize::stream::repeat::Repeats;
use crate::stylize::style::transition::Values;

pub(crate) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "stylize",
        gst::DebugColorFlags::empty(),
        Some("Video to paintings"),
    )
});

/// Name of the custom downstream event that changes the style at its place in the stream: fields
/// `style` (string, as the property) and `transition` (guint64, ns; may be missing).
pub(super) const STYLE_EVENT: &str = "stylize-style";

/// Properties that decide which styles there are.
const NAMES_STYLES: [&str; 3] = ["model-file", "quality", "precision"];

/// The value of the property `styles`, and the revision of settings and files that it was read from.
type StylesCache = ((u64, Vec<networks::FileVersion>), Vec<String>);

/// What exists between start and stop.
#[derive(Default)]
pub(crate) struct Stream {
    /// `None` until the first one is loaded.
    pub active: Option<ActiveGenerator>,
    /// The generator that is being loaded.
    pub loading: Option<Loading>,
    /// Revision of the settings that the active generator was loaded with.
    pub changes: u64,
    /// A layout for which compiling failed, where `on-error` lets the stream go on.
    pub refused: Option<Frame>,
    /// What holds since the start.
    pub start: StartSettings,
    pub info: Option<gst_video::VideoInfo>,
    pub masks: Masks,
    pub repeats: Repeats,
    /// Style values of the previous frame, inside the mask and outside, if the next frame may blend with
    /// it.
    pub painted: Option<(Values, Option<Values>)>,
    /// The next frame does not follow the one before: something was dropped.
    pub discont: bool,
}

impl Stream {
    /// Forgets the previous frame: after a gap, seek, flush or caps change nothing is blended with it.
    pub fn reset_history(&mut self) {
        self.painted = None;
        self.repeats = Repeats::default();
    }
}

/// How other threads stop a run.
#[derive(Default)]
pub(crate) struct Cancel {
    pub flushing: bool,
    pub current: Option<Canceller>,
}

/// What is known from the frames that have left; written by the thread that pushes them.
#[derive(Default)]
pub(crate) struct History {
    /// The last frame could not be stylized.
    failing: bool,
    /// Whether the last stylized frame is kept, and that frame.
    keeps_last: bool,
    last: Option<gst::Buffer>,
    /// Times that the streaming thread has not taken in yet.
    timings: Vec<Timing>,
    /// Times from a frame's coming to its leaving.
    delays: Delays,
}

/// The element's instance.
#[derive(Default)]
pub struct Stylize {
    pub(crate) settings: Mutex<Settings>,
    pub(crate) stream: Mutex<Stream>,
    pub(crate) cancel: Mutex<Cancel>,
    pub(crate) stats: Mutex<Stats>,
    /// An error was posted and nothing has succeeded since: it is not posted again when upstream resends
    /// its sticky events.
    pub(crate) failed: AtomicBool,
    pub(crate) history: Mutex<History>,
    /// Frames in flight.
    pub(crate) queue: OutputQueue,
    pub(crate) threads: BackgroundThreads,
    /// Cache of the property `styles` with the settings' revision: pipeline dumps read all properties
    /// each time, and parsing a model is slow.
    styles: Mutex<Option<StylesCache>>,
    /// Frames computed at once, at least 1 after the start.
    pub(crate) streams: AtomicUsize,
    /// The delay that is reported, nanoseconds.
    pub(crate) latency: AtomicU64,
    /// How much of it is buffered here, nanoseconds: what the maximum latency grows by.
    pub(crate) held: AtomicU64,
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
    type Interfaces = (gst::Preset,);
}

/// Presets come from `GstStylize.prs`; all writable properties can be saved in one.
impl PresetImpl for Stylize {}

impl ObjectImpl for Stylize {
    fn properties() -> &'static [glib::ParamSpec] {
        &properties::TABLE
    }

    fn constructed(&self) {
        self.parent_constructed();
        // Drop late frames before inference, not in the sink after it.
        self.obj().set_property("qos", true);
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let changed = {
            let mut settings = self.settings.lock();
            let before = settings.changes;
            settings.set(value, pspec);
            settings.changes != before
        };
        if changed && NAMES_STYLES.contains(&pspec.name()) {
            self.obj().notify("styles");
        }
        gst::log!(CAT, imp = self, "{} = {value:?}", pspec.name());
        if value.get::<f64>().is_ok_and(f64::is_nan) {
            gst::warning!(
                CAT,
                imp = self,
                "{} is not a number; it stays",
                pspec.name()
            );
        }
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
                self.styles_of(&settings).to_value()
            }
            _ => self.settings.lock().get(pspec),
        }
    }
}

impl GstObjectImpl for Stylize {}

impl Stylize {
    /// The styles that the settings' generator has; none if it cannot be read, which is tried again
    /// each time.
    fn styles_of(&self, settings: &Settings) -> Vec<String> {
        let key = (settings.changes, networks::file_versions(settings));
        if let Some((known, styles)) = &*self.styles.lock()
            && *known == key
        {
            return styles.clone();
        }
        let styles = networks::styles(settings);
        if !styles.is_empty() {
            *self.styles.lock() = Some((key, styles.clone()));
        }
        styles
    }
}

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
            // The pads wait for the streaming thread and for the source pad's task.
            self.cancel_runs();
        }
        self.parent_change_state(transition)
    }

    fn post_message(&self, mut message: gst::Message) -> bool {
        if message.type_() == gst::MessageType::Qos {
            // The base class counts only the frames that it pushes itself, not those of the task.
            let left = self.stats.lock().left();
            message.make_mut().structure_mut().set("processed", left);
        }
        self.parent_post_message(message)
    }
}
