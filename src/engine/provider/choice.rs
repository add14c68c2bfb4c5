// SPDX-License-Identifier: MPL-2.0
//! The configuration with which graphs run: the user's options, and the provider and precision selected.

use std::path::PathBuf;
use std::sync::Arc;

use gst::glib;
use ort::session::builder::GraphOptimizationLevel;

use super::kinds::{Precision, Provider};

/** GstStylizeOptimizationLevel:
 *
 * Graph optimizations that ONNX Runtime applies when it loads a graph. Nicks follow GStreamer's `onnxinference`.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeOptimizationLevel")]
pub enum Optimization {
    /// No optimization.
    #[enum_value(name = "None", nick = "disable-all")]
    Nothing,
    /// Optimizations that do not depend on the provider.
    #[enum_value(
        name = "Remove redundant nodes and fold constants",
        nick = "enable-basic"
    )]
    Basic,
    /// Also fusions of operators for the provider.
    #[enum_value(
        name = "Also fuse operators for the execution provider",
        nick = "enable-extended"
    )]
    Extended,
    /// Also memory layouts.
    #[default]
    #[enum_value(name = "Also choose memory layouts", nick = "enable-all")]
    All,
}

impl Optimization {
    /// ONNX Runtime's value.
    pub(crate) fn level(self) -> GraphOptimizationLevel {
        match self {
            Self::Nothing => GraphOptimizationLevel::Disable,
            Self::Basic => GraphOptimizationLevel::Level1,
            Self::Extended => GraphOptimizationLevel::Level2,
            Self::All => GraphOptimizationLevel::All,
        }
    }
}

/// Options beside provider and precision. The defaults are valid for every provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Options {
    /// Total number of threads of a CPU provider; 0 = one per logical CPU.
    pub threads: usize,
    /// Number of concurrent runs, among which a CPU provider's threads are divided. 0 = the provider's default;
    /// in a [`Choice`] at least 1.
    pub streams: usize,
    /// Number of the device from 0, or the provider's name for it; `None`: the provider's first.
    pub device: Option<String>,
    /// Keys and values of the provider's options; they override those that the engine sets.
    pub provider_options: Vec<(String, String)>,
    /// Plugin library of the provider, or its folder; `None`: built in, else one beside ONNX Runtime.
    pub provider_library: Option<PathBuf>,
    /// Folder in which compiled engines are kept; `None`: nowhere.
    pub cache_dir: Option<PathBuf>,
    /// Graph optimizations of ONNX Runtime.
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

/// The selected configuration; neither provider nor precision is `Auto`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Choice {
    pub provider: Provider,
    pub precision: Precision,
    pub options: Arc<Options>,
}

impl Choice {
    /// ONNX Runtime's CPU kernels in fp32, which can run every graph.
    pub fn cpu() -> Self {
        Self {
            provider: Provider::Cpu,
            precision: Precision::Fp32,
            options: Arc::default(),
        }
    }

    /// Whether the graph runs on a GPU or NPU, by provider and device name.
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

    /// Whether the graph must be converted to float16, because the provider computes in the graph's types.
    pub fn wants_half_graph(&self) -> bool {
        self.precision == Precision::Fp16 && self.provider.computes_as_written()
    }
}
