// SPDX-License-Identifier: MPL-2.0
//! The element's subclass: GObject and GStreamer virtual methods.
//!
//! # Locks
//! Lock order: `settings`, `stream`, `cancel`, `history`, `stats`. No lock is held during inference, a push,
//! posting a message or a call to the parent class. The streaming thread takes the [`Stream`] out of its lock
//! while it uses it.
//!
//! # Threads
//! The streaming thread of the sink pad plans the work for a frame and queues it on a thread of the session.
//! With one frame in flight it waits for the result and pushes it, as other filters do. With more, a task of the
//! source pad pushes each frame when it is done; serialized events and queries wait until all frames before them
//! have been pushed, so that the two threads never push at the same time.

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
use crate::engine::{Canceller, exit};
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

/// Debug category of the element.
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

/// Properties on which the value of `styles` depends.
const NAMES_STYLES: [&str; 3] = ["model-file", "quality", "precision"];

/// The value of the property `styles`, and the revision of settings and files that it was read from.
type StylesCache = ((u64, Vec<networks::FileVersion>), Vec<String>);

/// State between start and stop, used by the streaming thread.
#[derive(Default)]
pub(crate) struct Stream {
    /// The generator in use; `None` until the first one is loaded.
    pub active: Option<ActiveGenerator>,
    /// The generator that is being loaded.
    pub loading: Option<Loading>,
    /// [`Settings::changes`] with which the generator was last loaded.
    pub changes: u64,
    /// The layout for which compiling failed, if `on-error` allowed the stream to continue.
    pub refused: Option<Frame>,
    /// Values of properties that take effect at a start.
    pub start: StartSettings,
    pub info: Option<gst_video::VideoInfo>,
    pub masks: Masks,
    pub repeats: Repeats,
    /// Style values of the previous frame, inside the mask and outside, if the next frame may be blended with
    /// it.
    pub painted: Option<(Values, Option<Values>)>,
    /// Whether a frame was dropped, so that the next one must be flagged DISCONT.
    pub discont: bool,
}

impl Stream {
    /// Forgets the previous frame after a gap, seek, flush or caps change, so that nothing is blended with it.
    pub fn reset_history(&mut self) {
        self.painted = None;
        self.repeats = Repeats::default();
    }
}

/// State with which other threads cancel runs.
#[derive(Default)]
pub(crate) struct Cancel {
    /// Whether runs are refused, because the element flushes or stops.
    pub flushing: bool,
    /// Canceller of the session in use.
    pub current: Option<Canceller>,
}

/// State of the frames that have been pushed; written by the thread that pushes them.
#[derive(Default)]
pub(crate) struct History {
    /// Whether the last frame could not be stylized.
    failing: bool,
    /// Whether the last stylized frame is kept.
    keeps_last: bool,
    /// The last stylized frame.
    last: Option<gst::Buffer>,
    /// Times of frames that the streaming thread has not passed to the adaptation yet.
    timings: Vec<Timing>,
    /// Times from a frame's arrival to its result.
    delays: Delays,
}

/// The element's instance.
#[derive(Default)]
pub struct Stylize {
    pub(crate) settings: Mutex<Settings>,
    pub(crate) stream: Mutex<Stream>,
    pub(crate) cancel: Mutex<Cancel>,
    pub(crate) stats: Mutex<Stats>,
    /// Whether an error was posted and nothing has succeeded since. Then it is not posted again when upstream
    /// resends its sticky events.
    pub(crate) failed: AtomicBool,
    pub(crate) history: Mutex<History>,
    /// Frames in flight.
    pub(crate) queue: OutputQueue,
    pub(crate) threads: BackgroundThreads,
    /// Cache of the property `styles` with the settings' revision: pipeline dumps read all properties
    /// each time, and parsing a model is slow.
    styles: Mutex<Option<StylesCache>>,
    /// Number of frames in flight, at least 1 after the start.
    pub(crate) streams: AtomicUsize,
    /// Minimum latency that the element adds, nanoseconds.
    pub(crate) latency: AtomicU64,
    /// Duration of the frames that the element buffers, nanoseconds: its share of the maximum latency.
    pub(crate) held: AtomicU64,
    /// Whether upstream is live.
    pub(crate) live: AtomicBool,
    /// Whether the sink reported a late frame (QoS) since the last painted frame was recorded.
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
        exit::attend();
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
                "NaN is ignored: {} keeps its value",
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
    /// Names of the generator's styles, from the cache if settings and files are unchanged. Empty if it cannot be
    /// read, which is not cached.
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
        exit::attend();
        if transition == gst::StateChange::PausedToReady {
            // The parent deactivates the pads, which waits for the streaming thread and the source pad's task.
            self.cancel_runs();
        }
        self.parent_change_state(transition)
    }

    fn post_message(&self, mut message: gst::Message) -> bool {
        if message.type_() == gst::MessageType::Qos {
            // The base class only counts the frames that it pushes itself, not those of the task.
            let left = self.stats.lock().left();
            message.make_mut().structure_mut().set("processed", left);
        }
        self.parent_post_message(message)
    }
}
