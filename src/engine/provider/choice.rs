// SPDX-License-Identifier: MPL-2.0
//! Where and how a graph runs: what the user asks for, and what was decided.

use std::path::PathBuf;
use std::sync::Arc;

use gst::glib;
use ort::session::builder::GraphOptimizationLevel;

use super::kinds::{Precision, Provider};

/** GstStylizeOptimizationLevel:
 *
 * What ONNX Runtime may do to a graph before it runs. Nicks follow GStreamer's `onnxinference`.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeOptimizationLevel")]
pub enum Optimization {
    #[enum_value(name = "Nothing", nick = "disable-all")]
    Nothing,
    #[enum_value(name = "Remove what does nothing", nick = "enable-basic")]
    Basic,
    #[enum_value(
        name = "Fuse operators for the execution provider, too",
        nick = "enable-extended"
    )]
    Extended,
    #[default]
    #[enum_value(name = "Choose memory layouts, too", nick = "enable-all")]
    All,
}

impl Optimization {
    pub(crate) fn level(self) -> GraphOptimizationLevel {
        match self {
            Self::Nothing => GraphOptimizationLevel::Disable,
            Self::Basic => GraphOptimizationLevel::Level1,
            Self::Extended => GraphOptimizationLevel::Level2,
            Self::All => GraphOptimizationLevel::All,
        }
    }
}

/// What the user may say beside provider and precision. The default works everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Options {
    /// Threads of a CPU provider, in all; 0 = one per logical CPU.
    pub threads: usize,
    /// Runs at once; a CPU provider's threads are divided among them. 0 = as many as suit the
    /// provider; in a [`Choice`] at least 1.
    pub streams: usize,
    /// Number from 0, or the provider's own name for it; `None`: the provider's first.
    pub device: Option<String>,
    /// Options in the provider's own words; they win over ours.
    pub provider_options: Vec<(String, String)>,
    /// A library that adds a provider to ONNX Runtime; `None`: one beside ONNX Runtime, if any.
    pub provider_library: Option<PathBuf>,
    /// Folder for what providers compile; `None`: nothing is kept.
    pub cache_dir: Option<PathBuf>,
    pub optimization: Optimization,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 0,
            streams: 1,
            device: None,
            provider_options: Vec::new(),
            provider_library: None,
            cache_dir: None,
            optimization: Optimization::default(),
        }
    }
}

/// Where and how graphs run; neither provider nor precision is `Auto`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Choice {
    pub provider: Provider,
    pub precision: Precision,
    pub options: Arc<Options>,
}

impl Choice {
    /// ONNX Runtime's CPU kernels in full precision, which every graph can run on.
    pub fn cpu() -> Self {
        Self {
            provider: Provider::Cpu,
            precision: Precision::Fp32,
            options: Arc::default(),
        }
    }

    /// Whether the graph runs on a GPU or the like, as far as provider and device tell.
    pub fn on_gpu(&self) -> bool {
        match self.provider {
            Provider::Auto | Provider::Cpu => false,
            Provider::OpenVino => {
                let device = self.options.device.as_deref();
                device.is_some_and(|device| device.starts_with("GPU") || device.starts_with("NPU"))
            }
            _ => true,
        }
    }

    /// Whether the graph itself must be in 16-bit floats, because the provider computes in the
    /// precision that it finds there.
    pub fn wants_half_graph(&self) -> bool {
        self.precision == Precision::Fp16 && self.provider.computes_as_written()
    }
}
