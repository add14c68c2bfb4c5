// SPDX-License-Identifier: MPL-2.0
//! Values of the writable properties. The streaming thread works on a copy.

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
 * Size of the built-in generator.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeQuality")]
pub enum Quality {
    /// [`Self::Full`] on a GPU, [`Self::Lite`] on a CPU.
    #[default]
    #[enum_value(name = "Full on a GPU, lite on a CPU", nick = "auto")]
    Auto,
    /// The small generator, for CPUs.
    #[enum_value(name = "The small generator, for CPUs", nick = "lite")]
    Lite,
    /// The large generator, for GPUs and files.
    #[enum_value(name = "The large generator, for GPUs and files", nick = "full")]
    Full,
    /// The smallest generator, for old CPUs and many streams.
    #[enum_value(
        name = "The smallest generator, for old CPUs and many streams",
        nick = "quick"
    )]
    Quick,
}

/** GstStylizeMask:
 *
 * Parts of the frame that show the painting.
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
    /// Where a picture is bright, or opaque if it has transparent pixels.
    #[enum_value(
        name = "Where the picture in mask-file is bright, or opaque if it has transparent pixels",
        nick = "image"
    )]
    Image,
    /// In the objects and segments in a frame's analytics metadata.
    #[enum_value(
        name = "In the objects and segments that the frame carries (GstAnalyticsRelationMeta)",
        nick = "analytics"
    )]
    Analytics,
}

/// Values of the properties `mask` and `mask-*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaskSettings {
    /// Source of the mask.
    pub kind: MaskKind,
    /// Picture file for [`MaskKind::Image`].
    pub file: Option<PathBuf>,
    /// Whether source and painting are exchanged.
    pub invert: bool,
    /// Width of the soft edge, pixels of the frame; 0 = hard edge.
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

/// The frame that is pushed in place of a stylized one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The source frame.
    Source,
    /// The last stylized frame; the source frame before the first.
    Last,
}

impl WhileLoading {
    /// The frame that is pushed while loading; `None`: wait.
    pub fn substitute(self) -> Option<Fallback> {
        match self {
            Self::Block => None,
            Self::Passthrough => Some(Fallback::Source),
            Self::Hold => Some(Fallback::Last),
        }
    }
}

impl OnError {
    /// The frame that is pushed in place of a failed one; `None`: fail.
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
 * What is reduced while frames are not painted in time.
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

/// Values of the properties about styles.
#[derive(Debug, Clone, PartialEq)]
pub struct StyleSettings {
    /// A name, a number or a mix; `None`: the generator's first.
    pub style: Option<String>,
    /// Style at `mix` 0; `None`: `style`.
    pub style_a: Option<String>,
    /// Style at `mix` 1; `None`: no mix.
    pub style_b: Option<String>,
    /// Linear mix of `style_a` and `style_b`, 0..1.
    pub mix: f64,
    /// Picture file to take the style from.
    pub image: Option<PathBuf>,
    /// ONNX file of the network that makes a style vector from `image`.
    pub predictor: Option<PathBuf>,
    /// Text file of running times and styles.
    pub playlist: Option<PathBuf>,
    /// Duration of a transition to another style, running time.
    pub transition: gst::ClockTime,
    /// Number of changes of `style`, `style_a`, `style_b`, `image` and `playlist`.
    pub changes: u64,
}

/// Values of all writable properties.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// File or name of the generator; `None`: the built-in gallery.
    pub model_file: Option<PathBuf>,
    /// Size of the built-in generator.
    pub quality: Quality,
    /// Linear mix of source (0) and painting (1).
    pub strength: f64,
    /// Share of the width, from the left, that shows the source, 0..1.
    pub split: f64,
    /// Height of the picture shown to the generator, pixels; 0 = the frame's.
    pub inference_height: u32,
    pub upscale: Upscale,
    pub adapt: Adapt,
    /// Time that a frame may stay in the element; `None`: automatic.
    pub target_latency: Option<gst::ClockTime>,
    pub colour: Colour,
    /// File to which compiled graphs are written.
    pub dump_graph: Option<PathBuf>,
    /// Share of the previous painting that is kept where the source did not move, 0..1.
    pub stability: f64,
    /// Whether `stability` has been above 0 since the start. Then graphs are compiled with the temporal blend,
    /// also while `stability` is 0 again.
    pub stable: bool,
    pub provider: Provider,
    pub precision: Precision,
    /// Threads of a CPU provider; 0 = one per logical CPU.
    pub threads: u32,
    /// Number or name of the device; `None`: the provider's first.
    pub device: Option<String>,
    /// Options of the provider under ONNX Runtime's names for them.
    pub provider_options: Option<gst::Structure>,
    /// Plugin library of the provider, or its folder.
    pub provider_library: Option<PathBuf>,
    /// Folder in which compiled engines are kept.
    pub model_cache_dir: Option<PathBuf>,
    pub optimization: Optimization,
    /// Frames computed at once; 0 = the provider's default.
    pub frames_in_flight: u32,
    pub style: StyleSettings,
    pub mask: MaskSettings,
    /// Seed of the generator's noise inputs.
    pub seed: u32,
    /// Library of ONNX Runtime, or its folder.
    pub runtime_library: Option<PathBuf>,
    /// Range of the generator's input, written as in `.modelinfo`; parsed when the generator is loaded.
    pub input_range: Option<String>,
    /// Range of the generator's output, as `input_range`.
    pub output_range: Option<String>,
    /// Order of the colour channels in the generator's tensors.
    pub order: Order,
    /// One of this many frames is painted, at least 1.
    pub interval: u32,
    /// Whether the painting is repeated while the source's bytes stay the same.
    pub reuse: bool,
    pub while_loading: WhileLoading,
    pub on_error: OnError,
    /// Number of changes of properties for which the generator must be loaded again.
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

/// Weight of the previous frame where nothing moved, 0..1, for a value of the property `stability`: 0.8 reduces
/// the noise of a generator's output to a fifth; with 1 static parts never change.
pub fn weight_of_past(stability: f64) -> f64 {
    1.0 - (1.0 - stability).powf(1.5)
}

/// Values at the last start of the properties that only take effect when the element starts.
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
    /// Whether the last stylized frame must be kept, because it may be pushed again.
    pub fn holds(&self) -> bool {
        let substitutes = [self.while_loading.substitute(), self.on_error.substitute()];
        substitutes.contains(&Some(Fallback::Last)) || self.interval > 1 || self.reuse
    }
}

impl Settings {
    /// The values that take effect at a start.
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

    /// These settings, with the values at the last start for properties that only take effect then.
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

    /// Revision of the settings that decide the generator, and of those that decide its style.
    pub fn revision(&self) -> (u64, u64) {
        (self.changes, self.style.changes)
    }

    /// The effects that are compiled into the graph.
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

    /// Options of the engine beside provider and precision.
    ///
    /// # Errors
    /// The name of a field of `provider-options` that is neither a string nor a number.
    pub fn options(&self) -> Result<Options, String> {
        let fields = self.provider_options.iter().flat_map(|s| s.iter());
        let text = |(name, value): (&gst::glib::GStr, &gst::glib::SendValue)| {
            let text = match value.get::<bool>() {
                // Providers parse booleans as 0 and 1.
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

    /// The conventions of the generator that are set by properties.
    ///
    /// # Errors
    /// Name and value of a range property that cannot be parsed.
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
