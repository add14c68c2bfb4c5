// SPDX-License-Identifier: MPL-2.0
//! What the user set: plain values, snapshotted by the streaming thread.

use std::path::PathBuf;

use gst::glib;

use crate::engine::{Optimization, Options, Precision, Provider};
use crate::graph::{Colour, Effects, Upscale};
use crate::model::{ChannelOrder, Conventions, Range};

/** GstStylizeChannelOrder:
 *
 * Order of the colour channels in the generator's tensors.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeChannelOrder")]
pub enum Order {
    /// As the model says, else RGB.
    #[default]
    #[enum_value(name = "As the model says, else RGB", nick = "auto")]
    Auto,
    /// Red, green, blue.
    #[enum_value(name = "Red, green, blue", nick = "rgb")]
    Rgb,
    /// Blue, green, red.
    #[enum_value(name = "Blue, green, red", nick = "bgr")]
    Bgr,
}

/** GstStylizeQuality:
 *
 * Which of the built-in generators paints.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeQuality")]
pub enum Quality {
    /// The full one on a GPU, the lite one on a CPU.
    #[default]
    #[enum_value(name = "Full on a GPU, lite on a CPU", nick = "auto")]
    Auto,
    /// The fast one.
    #[enum_value(name = "The small generator, for CPUs", nick = "lite")]
    Lite,
    /// The good one.
    #[enum_value(name = "The large generator, for GPUs and files", nick = "full")]
    Full,
    /// The fastest one.
    #[enum_value(
        name = "The smallest generator, for old CPUs and many streams",
        nick = "quick"
    )]
    Quick,
}

/** GstStylizeMask:
 *
 * Where the painting is shown.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeMask")]
pub enum MaskKind {
    /// Everywhere.
    #[default]
    #[enum_value(name = "Everywhere", nick = "none")]
    None,
    /// In the regions of interest that a frame carries.
    #[enum_value(
        name = "In the regions of interest that the frame carries (GstVideoRegionOfInterestMeta)",
        nick = "roi"
    )]
    Roi,
    /// Where a picture is bright.
    #[enum_value(
        name = "Where the picture in mask-file is bright, or opaque if it has holes",
        nick = "image"
    )]
    Image,
    /// In the objects and segments that analysis found in a frame.
    #[enum_value(
        name = "In the objects and segments that the frame carries (GstAnalyticsRelationMeta)",
        nick = "analytics"
    )]
    Analytics,
}

/// Where the painting is shown, as the user says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaskSettings {
    /// Where it comes from.
    pub kind: MaskKind,
    /// For [`MaskKind::Image`].
    pub file: Option<PathBuf>,
    /// The other parts instead.
    pub invert: bool,
    /// Width of the way from one to the other, pixels.
    pub feather: u32,
}

/** GstStylizeWhileLoading:
 *
 * What happens to frames while a generator is loaded or a graph is compiled.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeWhileLoading")]
pub enum WhileLoading {
    /// Frames wait.
    #[default]
    #[enum_value(name = "Frames wait", nick = "block")]
    Block,
    /// Frames pass as they are.
    #[enum_value(name = "Frames pass as they are", nick = "passthrough")]
    Passthrough,
    /// The last stylized frame is repeated.
    #[enum_value(
        name = "The last stylized frame is repeated; before the first, frames pass as they are",
        nick = "hold"
    )]
    Hold,
}

/** GstStylizeOnError:
 *
 * What happens to a frame that cannot be stylized.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeOnError")]
pub enum OnError {
    /// The stream ends with an error.
    #[default]
    #[enum_value(name = "The stream ends with an error", nick = "fail")]
    Fail,
    /// The frame passes as it is.
    #[enum_value(name = "The frame passes as it is", nick = "passthrough")]
    Passthrough,
    /// The last stylized frame is repeated.
    #[enum_value(
        name = "The last stylized frame is repeated; before the first, the frame passes as it is",
        nick = "hold"
    )]
    Hold,
}

/// What is shown in place of a stylized frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The frame as it came.
    Source,
    /// The last stylized frame, if there is one, else the frame as it came.
    Last,
}

impl WhileLoading {
    /// `None`: wait.
    pub fn substitute(self) -> Option<Fallback> {
        match self {
            Self::Block => None,
            Self::Passthrough => Some(Fallback::Source),
            Self::Hold => Some(Fallback::Last),
        }
    }
}

impl OnError {
    /// `None`: fail.
    pub fn substitute(self) -> Option<Fallback> {
        match self {
            Self::Fail => None,
            Self::Passthrough => Some(Fallback::Source),
            Self::Hold => Some(Fallback::Last),
        }
    }
}

/** GstStylizeAdapt:
 *
 * What gives way when frames are not painted in time.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeAdapt")]
pub enum Adapt {
    /// Nothing: late frames are dropped, if `qos` is set.
    #[default]
    #[enum_value(name = "Nothing: late frames are dropped", nick = "off")]
    Off,
    /// The size of the picture shown to the generator.
    #[enum_value(
        name = "The size of the picture shown to the generator: broader strokes, the same frames",
        nick = "resolution"
    )]
    Resolution,
}

/// Which style, as the user says it.
#[derive(Debug, Clone, PartialEq)]
pub struct StyleSettings {
    /// A name, a number or a mix; `None`: the generator's first.
    pub style: Option<String>,
    /// The ends of a blend by hand; without `style_a` it begins at `style`.
    pub style_a: Option<String>,
    pub style_b: Option<String>,
    /// Place between the ends, 0..1.
    pub mix: f64,
    /// A painting.
    pub image: Option<PathBuf>,
    /// The network that understands paintings.
    pub predictor: Option<PathBuf>,
    /// A file that says which style when.
    pub playlist: Option<PathBuf>,
    /// Time that a change of style takes.
    pub transition: gst::ClockTime,
    /// Counts changes of what must be looked up.
    pub changes: u64,
}

/// The writable properties' values.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `None`: the built-in gallery.
    pub model_file: Option<PathBuf>,
    /// Of the built-in gallery.
    pub quality: Quality,
    /// 0..1.
    pub strength: f64,
    /// 0..1.
    pub split: f64,
    /// Pixels; 0 = the frame's.
    pub inference_height: u32,
    pub upscale: Upscale,
    pub adapt: Adapt,
    /// Time from a frame's arrival to its leaving; `None`: automatic.
    pub target_latency: Option<gst::ClockTime>,
    pub colour: Colour,
    /// Where compiled graphs are written.
    pub dump_graph: Option<PathBuf>,
    pub stability: f64,
    /// Whether it has been above 0 since the start: then the graph can do it, and stays so.
    pub stable: bool,
    pub provider: Provider,
    pub precision: Precision,
    /// 0 = one per logical CPU.
    pub threads: u32,
    /// Number or name; `None`: the provider's first.
    pub device: Option<String>,
    /// Fields in the provider's own words.
    pub provider_options: Option<gst::Structure>,
    pub provider_library: Option<PathBuf>,
    pub model_cache_dir: Option<PathBuf>,
    pub optimization: Optimization,
    /// Frames computed at once; 0 = as many as suit the provider.
    pub frames_in_flight: u32,
    pub style: StyleSettings,
    pub mask: MaskSettings,
    /// Of the generator's noise inputs.
    pub seed: u32,
    pub runtime_library: Option<PathBuf>,
    /// In the dialect of `.modelinfo`; checked when the element starts.
    pub input_range: Option<String>,
    pub output_range: Option<String>,
    pub order: Order,
    /// Every so many frames one is painted.
    pub interval: u32,
    /// Whether the painting is repeated for a source that did not change.
    pub reuse: bool,
    pub while_loading: WhileLoading,
    pub on_error: OnError,
    /// Counts changes for which the generator must be loaded anew.
    pub changes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model_file: None,
            quality: Quality::default(),
            strength: 1.0,
            split: 0.0,
            inference_height: 0,
            upscale: Upscale::default(),
            adapt: Adapt::default(),
            target_latency: None,
            colour: Colour::default(),
            dump_graph: None,
            stability: 0.0,
            stable: false,
            provider: Provider::Auto,
            precision: Precision::Auto,
            threads: 0,
            device: None,
            provider_options: None,
            provider_library: None,
            model_cache_dir: None,
            optimization: Optimization::default(),
            frames_in_flight: 0,
            style: StyleSettings {
                style: None,
                style_a: None,
                style_b: None,
                mix: 0.0,
                image: None,
                predictor: None,
                playlist: None,
                transition: gst::ClockTime::from_mseconds(500),
                changes: 0,
            },
            mask: MaskSettings::default(),
            seed: 0,
            runtime_library: None,
            input_range: None,
            output_range: None,
            order: Order::Auto,
            interval: 1,
            reuse: false,
            while_loading: WhileLoading::default(),
            on_error: OnError::default(),
            changes: 0,
        }
    }
}

/// Weight of the frame before where nothing moved, for a value of the property `stability`. At 0.8 that
/// leaves a fifth of the noise of a generator's output, at 1 what is still stays for good.
pub fn weight_of_past(stability: f64) -> f64 {
    1.0 - (1.0 - stability).powf(1.5)
}

/// The values of those properties that take effect when the element starts, as they were then.
#[derive(Debug, Clone, Default)]
pub struct StartSettings {
    pub frames_in_flight: u32,
    pub interval: u32,
    pub reuse: bool,
    pub while_loading: WhileLoading,
    pub on_error: OnError,
    pub runtime_library: Option<PathBuf>,
}

impl StartSettings {
    /// Whether the last stylized frame may be needed once more.
    pub fn holds(&self) -> bool {
        let substitutes = [self.while_loading.substitute(), self.on_error.substitute()];
        substitutes.contains(&Some(Fallback::Last)) || self.interval > 1 || self.reuse
    }
}

impl Settings {
    /// What holds from a start on.
    pub fn at_start(&self) -> StartSettings {
        StartSettings {
            frames_in_flight: self.frames_in_flight,
            interval: self.interval,
            reuse: self.reuse,
            while_loading: self.while_loading,
            on_error: self.on_error,
            runtime_library: self.runtime_library.clone(),
        }
    }

    /// These settings with what holds since the start.
    pub fn started_with(&self, start: &StartSettings) -> Self {
        let start = start.clone();
        Self {
            frames_in_flight: start.frames_in_flight,
            interval: start.interval,
            reuse: start.reuse,
            while_loading: start.while_loading,
            on_error: start.on_error,
            runtime_library: start.runtime_library,
            ..self.clone()
        }
    }

    /// What decides the generator and its style; changes with either.
    pub fn revision(&self) -> (u64, u64) {
        (self.changes, self.style.changes)
    }

    /// What is compiled into the graph.
    pub fn effects(&self) -> Effects {
        Effects {
            inference_height: self.inference_height as usize,
            upscale: self.upscale,
            colour: self.colour,
            stability: self.stable,
            mask: self.mask.kind != MaskKind::None,
        }
    }

    /// See [`weight_of_past`].
    pub fn weight_of_past(&self) -> f32 {
        weight_of_past(self.stability) as f32
    }

    /// What is asked of the engine beside provider and precision; `Err` names a field of
    /// `provider-options` that cannot be written as text.
    pub fn options(&self) -> Result<Options, String> {
        let fields = self.provider_options.iter().flat_map(|s| s.iter());
        let text = |(name, value): (&gst::glib::GStr, &gst::glib::SendValue)| {
            let text = match value.get::<bool>() {
                // As providers write it.
                Ok(flag) => Some(u8::from(flag).to_string()),
                Err(_) => value.transform::<String>().ok().and_then(|v| v.get().ok()),
            };
            let text = text.ok_or_else(|| name.to_string())?;
            Ok((name.to_string(), text))
        };
        Ok(Options {
            threads: self.threads as usize,
            streams: self.frames_in_flight as usize,
            device: self.device.clone(),
            provider_options: fields.map(text).collect::<Result<_, String>>()?,
            provider_library: self.provider_library.clone(),
            cache_dir: self.model_cache_dir.clone(),
            optimization: self.optimization,
        })
    }

    /// The conventions about the generator that properties state; `Err` names the property whose range
    /// is not understood.
    pub fn conventions(&self) -> Result<Conventions, (&'static str, String)> {
        let range = |name: &'static str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match Range::parse(text) {
                Some(range) => Ok(Some(range)),
                None => Err((name, text.clone())),
            },
        };
        Ok(Conventions {
            input_range: range("input-range", &self.input_range)?,
            output_range: range("output-range", &self.output_range)?,
            order: match self.order {
                Order::Auto => None,
                Order::Rgb => Some(ChannelOrder::Rgb),
                Order::Bgr => Some(ChannelOrder::Bgr),
            },
            ..Conventions::default()
        })
    }
}
