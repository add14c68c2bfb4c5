// SPDX-License-Identifier: MPL-2.0
//! The table of properties, their setters and getters.

use std::path::PathBuf;
use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use super::settings::{Order, Settings};
use crate::engine::{Precision, Provider};

pub(super) static TABLE: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    let settings = Settings::default();
    vec![
        glib::ParamSpecString::builder("model-file")
            .nick("Model file")
            .blurb("ONNX file of the generator, or the name of an installed one (NULL = the built-in generator)")
            .mutable_ready()
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
        glib::ParamSpecEnum::builder_with_default("execution-provider", settings.provider)
            .nick("Execution provider")
            .blurb("Where the generator runs; a provider that is missing here is an error, never a silent run on the CPU")
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("precision", settings.precision)
            .nick("Precision")
            .blurb("Arithmetic inside the generator")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("threads")
            .nick("Threads")
            .blurb("Threads of a CPU provider (0 = one per logical CPU)")
            .maximum(1024)
            .default_value(settings.threads)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("frames-in-flight")
            .nick("Frames in flight")
            .blurb("Frames computed at once, with the threads divided among them: more frames per second, but a latency of so many frames (0 = automatic: 1)")
            .maximum(16)
            .default_value(settings.frames_in_flight)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("seed")
            .nick("Seed")
            .blurb("Seed of the generator's noise inputs, where it has any: another seed, another picture")
            .default_value(settings.seed)
            .controllable()
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("runtime-library")
            .nick("Runtime library")
            .blurb("ONNX Runtime's shared library or its folder (NULL = ORT_DYLIB_PATH, beside the plugin, the build's setup folder, the system's loader)")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("input-range")
            .nick("Input range")
            .blurb("Tensor values that stand for 8-bit 0 and 255 at the generator's input: \"min,max\", or one pair per channel, \"min,max;min,max;min,max\" (NULL = as the model says)")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("output-range")
            .nick("Output range")
            .blurb("The same for the generator's output (NULL = as the model says, else measured)")
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("channel-order", settings.order)
            .nick("Channel order")
            .blurb("Order of the colour channels in the generator's tensors")
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("Frames, drops and times in nanoseconds since start, and what runs where")
            .read_only()
            .build(),
    ]
});

/// An empty string means "not set", as `gst-launch-1.0` has no other way to say it.
fn text(value: &glib::Value) -> Option<String> {
    value
        .get::<Option<String>>()
        .ok()
        .flatten()
        .filter(|text| !text.is_empty())
}

impl Settings {
    /// Stores a property's value, which GObject has checked for type and range.
    pub(super) fn set(&mut self, value: &glib::Value, pspec: &glib::ParamSpec) {
        match pspec.name() {
            "model-file" => self.model_file = text(value).map(PathBuf::from),
            "strength" => self.strength = value.get().unwrap_or(self.strength),
            "execution-provider" => {
                self.provider = value.get::<Provider>().unwrap_or(self.provider);
            }
            "precision" => self.precision = value.get::<Precision>().unwrap_or(self.precision),
            "threads" => self.threads = value.get().unwrap_or(self.threads),
            "frames-in-flight" => {
                self.frames_in_flight = value.get().unwrap_or(self.frames_in_flight);
            }
            "seed" => self.seed = value.get().unwrap_or(self.seed),
            "runtime-library" => self.runtime_library = text(value).map(PathBuf::from),
            "input-range" => self.input_range = text(value),
            "output-range" => self.output_range = text(value),
            "channel-order" => self.order = value.get::<Order>().unwrap_or(self.order),
            name => unreachable!("property {name} is not writable"),
        }
    }

    /// A writable property's value.
    pub(super) fn get(&self, pspec: &glib::ParamSpec) -> glib::Value {
        let path = |path: &Option<PathBuf>| {
            path.as_ref()
                .map(|path| path.to_string_lossy().into_owned())
                .to_value()
        };
        match pspec.name() {
            "model-file" => path(&self.model_file),
            "strength" => self.strength.to_value(),
            "execution-provider" => self.provider.to_value(),
            "precision" => self.precision.to_value(),
            "threads" => self.threads.to_value(),
            "frames-in-flight" => self.frames_in_flight.to_value(),
            "seed" => self.seed.to_value(),
            "runtime-library" => path(&self.runtime_library),
            "input-range" => self.input_range.to_value(),
            "output-range" => self.output_range.to_value(),
            "channel-order" => self.order.to_value(),
            name => unreachable!("property {name} is not of the settings"),
        }
    }
}
