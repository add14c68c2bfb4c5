// SPDX-License-Identifier: MPL-2.0
//! The element's GObject properties: their param specs, and how their values are stored in [`Settings`].

use std::path::PathBuf;
use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use super::settings::{MaskKind, Order, Quality, Settings};
use crate::engine::{Precision, Provider};

/// Param specs of all properties, in the order of the documentation.
pub(super) static TABLE: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    let settings = Settings::default();
    vec![
        glib::ParamSpecString::builder("model-file")
            .nick("Model file")
            .blurb("ONNX file of the generator, or the name of an installed one (NULL = the built-in gallery)")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("quality", settings.quality)
            .nick("Quality")
            .blurb("Size of the built-in generator, which trades quality for speed; without effect with model-file")
            .mutable_playing()
            .build(),
        glib::ParamSpecDouble::builder("strength")
            .nick("Strength")
            .blurb("Linear mix of the source frame (0) and the stylized one (1)")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(settings.strength)
            .controllable()
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("inference-height")
            .nick("Inference height")
            .blurb("Height of the picture shown to the generator, pixels, with the frame's aspect ratio: less means broader strokes for less work (0, or more than the frame's = the frame's; at least 16; a generator of fixed size has its own)")
            .maximum(8192)
            .default_value(settings.inference_height)
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("upscale", settings.upscale)
            .nick("Upscale")
            .blurb("Interpolation with which a painting that is smaller than the frame is enlarged")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("adapt", settings.adapt)
            .nick("Adapt")
            .blurb("What is reduced while frames are not painted in time: with resolution, the height of the picture shown to the generator, in steps down to a quarter of inference-height, and up again when there is time. Only while the source is live or the sink reports frames as late, so never when a file is converted")
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("target-latency")
            .nick("Target latency")
            .maximum(LONGEST.nseconds())
            .blurb("Time that a frame may take here, nanoseconds; reported as the element's latency, and kept to by adapt (0 = automatic: with adapt, the duration of as many frames as are in flight)")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("color", settings.colour)
            .nick("Color")
            .blurb("Colours of the painting: its own, or taken from the source frame")
            .mutable_playing()
            .build(),
        glib::ParamSpecDouble::builder("split")
            .nick("Split")
            .blurb("Share of the width, from the left, that shows the source frame for comparison (0 = none, 1 = all)")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(settings.split)
            .controllable()
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("dump-graph")
            .nick("Dump graph")
            .blurb("File to which each graph is written when it is compiled, as ONNX, for viewers such as Netron; a file that cannot be written is a warning (NULL = none)")
            .mutable_playing()
            .build(),
        glib::ParamSpecDouble::builder("stability")
            .nick("Stability")
            .blurb("Share of the previous frame's painting that is kept where the source did not move, against flicker (0 = none, 1 = all)")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(settings.stability)
            .controllable()
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("mask", settings.mask.kind)
            .nick("Mask")
            .blurb("Parts of the frame that show the painting; the others show the source frame")
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("mask-file")
            .nick("Mask file")
            .blurb("Picture for mask=image: JPEG, PNG or WebP, scaled to the frame (NULL = none)")
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("mask-invert")
            .nick("Invert mask")
            .blurb("Show the painting outside the mask instead of inside it")
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("mask-feather")
            .nick("Feather mask")
            .blurb("Width of the soft edge of the mask, pixels of the frame (0 = hard edge)")
            .maximum(1024)
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("execution-provider", settings.provider)
            .nick("Execution provider")
            .blurb("ONNX Runtime execution provider that runs the generator; one that is not available is an error, without fallback to the CPU")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("precision", settings.precision)
            .nick("Precision")
            .blurb("Number format in which the generator computes")
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("threads")
            .nick("Threads")
            .blurb("Threads of a CPU provider (0 = one per logical CPU)")
            .maximum(1024)
            .default_value(settings.threads)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("device")
            .nick("Device")
            .blurb("Device of the execution provider: its number from 0, or the provider's own name for it, such as OpenVINO's \"GPU.1\" (NULL = the provider's first)")
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("provider-options")
            .nick("Provider options")
            .blurb("Options of the execution provider under the names that ONNX Runtime has for them, such as \"options,cudnn_conv_algo_search=HEURISTIC\" (NULL = none)")
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("provider-library")
            .nick("Provider library")
            .blurb("Library that adds the execution provider to ONNX Runtime, or its folder (NULL = built in, else beside ONNX Runtime)")
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("model-cache-dir")
            .nick("Model cache directory")
            .blurb("Folder for the engines that TensorRT, Core ML and OpenVINO on a GPU compile, so that the next start is quick (NULL = nothing is kept)")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("optimization-level", settings.optimization)
            .nick("Optimization level")
            .blurb("Graph optimizations that ONNX Runtime applies when it loads the graph")
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("frames-in-flight")
            .nick("Frames in flight")
            .blurb("Frames computed at once, with the threads divided among them: more frames per second, but a latency of so many frames (0 = automatic: 1 on a CPU, 2 on a GPU)")
            .maximum(16)
            .default_value(settings.frames_in_flight)
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("style")
            .nick("Style")
            .blurb("Style to paint in: one of styles, its number from 0, or a mix such as \"waves:0.7,night:0.3\" (NULL = the first)")
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<Vec<String>>("styles")
            .nick("Styles")
            .blurb("Names of the generator's styles")
            .read_only()
            .build(),
        glib::ParamSpecUInt64::builder("transition")
            .nick("Transition")
            .blurb("Time that a change of style or style-image takes while playing, nanoseconds of running time")
            .maximum(LONGEST.nseconds())
            .default_value(settings.style.transition.nseconds())
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("playlist")
            .nick("Playlist")
            .blurb("Text file with a running time and a style in each line, such as `1:30 great-wave`; may end in `loop 2:00:00` (NULL = none)")
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("style-a")
            .nick("Style A")
            .blurb("Style at style-mix 0, without a transition (NULL = style)")
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("style-b")
            .nick("Style B")
            .blurb("Style at style-mix 1 (NULL = no mix)")
            .mutable_playing()
            .build(),
        glib::ParamSpecDouble::builder("style-mix")
            .nick("Style mix")
            .blurb("Linear mix of style-a (0) and style-b (1)")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(settings.style.mix)
            .controllable()
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("style-image")
            .nick("Style image")
            .blurb("Painting (JPEG, PNG, WebP) to take the style from, for generators with a style predictor (NULL = none)")
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("style-predictor")
            .nick("Style predictor")
            .blurb("ONNX file of the network that makes the generator's style vector from style-image (NULL = as the sidecar says)")
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("seed")
            .nick("Seed")
            .blurb("Seed of the random numbers for the generator's noise inputs; without effect on a generator without noise inputs")
            .default_value(settings.seed)
            .controllable()
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("runtime-library")
            .nick("Runtime library")
            .blurb("ONNX Runtime's shared library or its folder (NULL = the first of ORT_DYLIB_PATH, the plugin's folder, the build's setup folder and the system's loader that has one)")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("input-range")
            .nick("Input range")
            .blurb("Tensor values that stand for 8-bit 0 and 255 at the generator's input: \"min,max\", or one pair per channel, \"min,max;min,max;min,max\" (NULL = as the model says)")
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("output-range")
            .nick("Output range")
            .blurb("Tensor values that stand for 8-bit 0 and 255 at the generator's output, written as in input-range (NULL = as the model says, else measured)")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("channel-order", settings.order)
            .nick("Channel order")
            .blurb("Order of the colour channels in the generator's tensors")
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("interval")
            .nick("Interval")
            .blurb("Paint the first of every so many frames and repeat it in place of the others (1 = paint every frame)")
            .minimum(1)
            .maximum(1000)
            .default_value(settings.interval)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("reuse")
            .nick("Reuse")
            .blurb("Repeat the last painting, without computing it, while the source's bytes stay the same; without effect with stability")
            .default_value(settings.reuse)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("while-loading", settings.while_loading)
            .nick("While loading")
            .blurb("What happens to frames while the first generator is loaded or a graph is compiled for new caps")
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("on-error", settings.on_error)
            .nick("On error")
            .blurb("What happens to a frame that cannot be stylized")
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("Numbers of frames and drops and times in nanoseconds since start, and the provider, precision and sizes in use")
            .read_only()
            .build(),
    ]
});

/// Properties whose change loads the generator again, in the background while playing.
const RELOADS: [&str; 19] = [
    "mask",
    "model-file",
    "quality",
    "execution-provider",
    "precision",
    "threads",
    "device",
    "provider-options",
    "provider-library",
    "model-cache-dir",
    "optimization-level",
    "style-predictor",
    "input-range",
    "output-range",
    "channel-order",
    "inference-height",
    "upscale",
    "color",
    "dump-graph",
];

/// Maximum of properties that are times: a day, so that no value is `GST_CLOCK_TIME_NONE` and sums of times
/// fit into 64 bits.
pub(super) const LONGEST: gst::ClockTime = gst::ClockTime::from_seconds(24 * 60 * 60);

/// A file name as GLib has it: any bytes. An empty string means `None`, because `gst-launch-1.0` cannot write
/// NULL.
fn path(value: &glib::Value) -> Option<PathBuf> {
    // `get::<String>` panics if the bytes are not UTF-8.
    let path = value.get::<Option<PathBuf>>().ok().flatten();
    path.filter(|path| !path.as_os_str().is_empty())
}

/// A text; bytes that are not UTF-8 become U+FFFD, so that the error message about the value can show them.
fn text(value: &glib::Value) -> Option<String> {
    path(value).map(|text| text.to_string_lossy().into_owned())
}

/// A number whose range GObject has checked. NaN passes that check and leaves the present value `now` in place.
fn number(value: &glib::Value, now: f64) -> f64 {
    let number = value.get::<f64>().ok().filter(|number| !number.is_nan());
    number.unwrap_or(now)
}

/// A time in nanoseconds; GObject has checked that it is at most [`LONGEST`].
fn time(value: &glib::Value) -> Option<gst::ClockTime> {
    let time = value.get::<u64>().ok()?;
    Some(gst::ClockTime::from_nseconds(time.min(LONGEST.nseconds())))
}

impl Settings {
    /// Stores a property's value, which GObject has checked for type and range.
    pub(super) fn set(&mut self, value: &glib::Value, pspec: &glib::ParamSpec) {
        let before = self.clone();
        self.store(value, pspec);
        if *self == before {
            // Setting the same value again must not load the generator again.
            return;
        }
        match pspec.name() {
            "style" | "style-a" | "style-b" | "style-image" | "playlist" => self.style.changes += 1,
            name if RELOADS.contains(&name) => self.changes += 1,
            _ => (),
        }
    }

    /// Stores the value, without counting the change except for the first `stability` above 0, which needs
    /// another graph.
    fn store(&mut self, value: &glib::Value, pspec: &glib::ParamSpec) {
        let style = &mut self.style;
        match pspec.name() {
            "model-file" => self.model_file = path(value),
            "quality" => self.quality = value.get::<Quality>().unwrap_or(self.quality),
            "strength" => self.strength = number(value, self.strength),
            "stability" => {
                self.stability = number(value, self.stability);
                if self.stability > 0.0 && !self.stable {
                    self.stable = true;
                    self.changes += 1;
                }
            }
            "mask" => self.mask.kind = value.get::<MaskKind>().unwrap_or(self.mask.kind),
            "mask-file" => self.mask.file = path(value),
            "mask-invert" => self.mask.invert = value.get().unwrap_or(self.mask.invert),
            "mask-feather" => self.mask.feather = value.get().unwrap_or(self.mask.feather),
            "split" => self.split = number(value, self.split),
            "inference-height" => {
                self.inference_height = value.get().unwrap_or(self.inference_height);
            }
            "upscale" => self.upscale = value.get().unwrap_or(self.upscale),
            "adapt" => self.adapt = value.get().unwrap_or(self.adapt),
            "target-latency" => {
                self.target_latency = time(value).filter(|time| !time.is_zero());
            }
            "color" => self.colour = value.get().unwrap_or(self.colour),
            "dump-graph" => self.dump_graph = path(value),
            "execution-provider" => {
                self.provider = value.get::<Provider>().unwrap_or(self.provider);
            }
            "precision" => self.precision = value.get::<Precision>().unwrap_or(self.precision),
            "threads" => self.threads = value.get().unwrap_or(self.threads),
            "device" => self.device = text(value),
            "provider-options" => self.provider_options = value.get().unwrap_or_default(),
            "provider-library" => self.provider_library = path(value),
            "model-cache-dir" => self.model_cache_dir = path(value),
            "optimization-level" => {
                self.optimization = value.get().unwrap_or(self.optimization);
            }
            "frames-in-flight" => {
                self.frames_in_flight = value.get().unwrap_or(self.frames_in_flight);
            }
            "style" => style.style = text(value),
            "playlist" => style.playlist = path(value),
            "style-a" => style.style_a = text(value),
            "style-b" => style.style_b = text(value),
            "style-mix" => style.mix = number(value, style.mix),
            "style-image" => style.image = path(value),
            "style-predictor" => style.predictor = path(value),
            "transition" => style.transition = time(value).unwrap_or(style.transition),
            "seed" => self.seed = value.get().unwrap_or(self.seed),
            "runtime-library" => self.runtime_library = path(value),
            "input-range" => self.input_range = text(value),
            "output-range" => self.output_range = text(value),
            "channel-order" => self.order = value.get::<Order>().unwrap_or(self.order),
            "interval" => self.interval = value.get().unwrap_or(self.interval),
            "reuse" => self.reuse = value.get().unwrap_or(self.reuse),
            "while-loading" => self.while_loading = value.get().unwrap_or(self.while_loading),
            "on-error" => self.on_error = value.get().unwrap_or(self.on_error),
            name => unreachable!("property {name} is not writable"),
        }
    }

    /// The value of a writable property.
    pub(super) fn get(&self, pspec: &glib::ParamSpec) -> glib::Value {
        let path = |path: &Option<PathBuf>| path.to_value();
        match pspec.name() {
            "model-file" => path(&self.model_file),
            "quality" => self.quality.to_value(),
            "strength" => self.strength.to_value(),
            "stability" => self.stability.to_value(),
            "mask" => self.mask.kind.to_value(),
            "mask-file" => path(&self.mask.file),
            "mask-invert" => self.mask.invert.to_value(),
            "mask-feather" => self.mask.feather.to_value(),
            "split" => self.split.to_value(),
            "inference-height" => self.inference_height.to_value(),
            "upscale" => self.upscale.to_value(),
            "adapt" => self.adapt.to_value(),
            "target-latency" => {
                let time = self.target_latency.unwrap_or_default();
                time.nseconds().to_value()
            }
            "color" => self.colour.to_value(),
            "dump-graph" => path(&self.dump_graph),
            "execution-provider" => self.provider.to_value(),
            "precision" => self.precision.to_value(),
            "threads" => self.threads.to_value(),
            "device" => self.device.to_value(),
            "provider-options" => self.provider_options.to_value(),
            "provider-library" => path(&self.provider_library),
            "model-cache-dir" => path(&self.model_cache_dir),
            "optimization-level" => self.optimization.to_value(),
            "frames-in-flight" => self.frames_in_flight.to_value(),
            "style" => self.style.style.to_value(),
            "playlist" => path(&self.style.playlist),
            "style-a" => self.style.style_a.to_value(),
            "style-b" => self.style.style_b.to_value(),
            "style-mix" => self.style.mix.to_value(),
            "style-image" => path(&self.style.image),
            "style-predictor" => path(&self.style.predictor),
            "transition" => self.style.transition.nseconds().to_value(),
            "seed" => self.seed.to_value(),
            "runtime-library" => path(&self.runtime_library),
            "input-range" => self.input_range.to_value(),
            "output-range" => self.output_range.to_value(),
            "channel-order" => self.order.to_value(),
            "interval" => self.interval.to_value(),
            "reuse" => self.reuse.to_value(),
            "while-loading" => self.while_loading.to_value(),
            "on-error" => self.on_error.to_value(),
            name => unreachable!("property {name} is not of the settings"),
        }
    }
}
