// SPDX-License-Identifier: MPL-2.0
//! Execution providers and precisions: what exists, what works here, and how each is asked for.

use gst::glib;
use ort::ep::{self, ExecutionProvider};
use ort::session::builder::{AutoDevicePolicy, BuilderResult, SessionBuilder};

use super::session::Session;
use super::{CAT, EngineError, Runtime};

/** GstStylizeExecutionProvider:
 *
 * Where the generator runs. Nicks follow GStreamer's `onnxinference`. A value that the loaded ONNX
 * Runtime or the machine lacks is an error that says what to install.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizeExecutionProvider")]
pub enum Provider {
    #[default]
    #[enum_value(name = "Fastest provider that works on this machine", nick = "auto")]
    Auto,
    #[enum_value(name = "CPU (ONNX Runtime's own kernels)", nick = "cpu")]
    Cpu,
    #[enum_value(name = "OpenVINO (x86-64 and Arm CPUs, Intel GPUs)", nick = "openvino")]
    OpenVino,
    #[enum_value(name = "CUDA (NVIDIA GPUs)", nick = "cuda")]
    Cuda,
    #[enum_value(name = "TensorRT (NVIDIA GPUs)", nick = "tensorrt")]
    TensorRt,
    #[enum_value(name = "TensorRT for RTX (NVIDIA GPUs)", nick = "nv-tensorrt-rtx")]
    NvTensorRtRtx,
    #[enum_value(name = "WebGPU (Vulkan, Metal or Direct3D 12)", nick = "webgpu")]
    WebGpu,
    #[enum_value(name = "MIGraphX (AMD GPUs)", nick = "migraphx")]
    MiGraphX,
    #[enum_value(name = "Core ML (Apple)", nick = "coreml")]
    CoreMl,
    #[enum_value(name = "DirectML (Windows)", nick = "dml")]
    Dml,
}

/** GstStylizePrecision:
 *
 * Arithmetic inside the generator; frames stay 8-bit.
 */
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstStylizePrecision")]
pub enum Precision {
    #[default]
    #[enum_value(name = "Fastest that looks the same on the provider", nick = "auto")]
    Auto,
    #[enum_value(name = "32-bit floating point", nick = "fp32")]
    Fp32,
    #[enum_value(name = "16-bit floating point", nick = "fp16")]
    Fp16,
    #[enum_value(name = "bfloat16", nick = "bf16")]
    Bf16,
}

/// A provider and precision that are decided; neither is `Auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Choice {
    pub provider: Provider,
    pub precision: Precision,
    /// Threads of a CPU provider, in all; 0 = one per logical CPU.
    pub threads: usize,
    /// Runs at once, at least 1; a CPU provider's threads are divided among them.
    pub streams: usize,
}

/// In the order of the speed to expect. Providers that spend minutes on building engines
/// (TensorRT), or may be a software renderer (WebGPU), are not taken unasked.
const AUTO_ORDER: [Provider; 6] = [
    Provider::Cuda,
    Provider::MiGraphX,
    Provider::CoreMl,
    Provider::Dml,
    Provider::OpenVino,
    Provider::Cpu,
];

impl Provider {
    /// The nick of the property's value.
    pub fn nick(self) -> &'static str {
        nick(self)
    }

    fn install_hint(self) -> &'static str {
        match self {
            Self::Auto | Self::Cpu => "Install ONNX Runtime (`make setup`).",
            Self::OpenVino => {
                "Install the PyPI package onnxruntime-openvino (`make setup` on x86-64 does) and point runtime-library at its libonnxruntime.so."
            }
            Self::Cuda => {
                "Install the PyPI package onnxruntime-gpu with CUDA and cuDNN, and point runtime-library at its libonnxruntime.so; an NVIDIA GPU and driver are needed."
            }
            Self::TensorRt => {
                "Install the PyPI packages onnxruntime-gpu and tensorrt, and point runtime-library at its libonnxruntime.so; an NVIDIA GPU and driver are needed."
            }
            Self::NvTensorRtRtx => {
                "Use an ONNX Runtime built with TensorRT for RTX and point runtime-library at it; an NVIDIA RTX GPU and driver are needed."
            }
            Self::WebGpu => {
                "Install the PyPI package onnxruntime-webgpu and a Vulkan driver, and point runtime-library at its libonnxruntime.so."
            }
            Self::MiGraphX => {
                "Install the PyPI package onnxruntime-migraphx with ROCm, and point runtime-library at its libonnxruntime.so."
            }
            Self::CoreMl => "Core ML exists on Apple systems only.",
            Self::Dml => "DirectML exists on Windows only: install onnxruntime-directml.",
        }
    }

    /// Whether the loaded library was built with the provider; it may still not work here.
    fn is_built_in(self) -> bool {
        fn has<P: ExecutionProvider + Default>() -> bool {
            P::is_available().unwrap_or(false)
        }
        match self {
            Self::Auto | Self::Cpu => true,
            Self::OpenVino => has::<ep::OpenVINO>(),
            Self::Cuda => has::<ep::CUDA>(),
            Self::TensorRt => has::<ep::TensorRT>(),
            Self::NvTensorRtRtx => has::<ep::NVRTX>(),
            Self::WebGpu => has::<ep::WebGPU>(),
            Self::MiGraphX => has::<ep::MIGraphX>(),
            Self::CoreMl => has::<ep::CoreML>(),
            Self::Dml => has::<ep::DirectML>(),
        }
    }

    /// Precisions that the provider really computes in on this machine, preferred first.
    fn precisions(self) -> &'static [Precision] {
        match self {
            Self::OpenVino if has_bf16() => &[Precision::Bf16, Precision::Fp32],
            Self::TensorRt => &[Precision::Fp16, Precision::Fp32, Precision::Bf16],
            _ => &[Precision::Fp32],
        }
    }

    fn missing(self, reason: impl Into<String>) -> EngineError {
        EngineError::ProviderMissing {
            provider: self.nick(),
            reason: reason.into(),
            install: self.install_hint(),
        }
    }
}

impl Precision {
    /// The nick of the property's value.
    pub fn nick(self) -> &'static str {
        nick(self)
    }
}

/// The nick of a registered enum's value.
fn nick<E: glib::value::ToValue>(value: E) -> &'static str {
    glib::EnumValue::from_value(&value.to_value()).map_or("", |(_, value)| {
        // Values of registered types live as long as the process.
        unsafe { std::mem::transmute::<&str, &'static str>(value.nick()) }
    })
}

/// Whether the CPU multiplies bfloat16 in hardware; elsewhere it would only be slower.
fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Decides where to run: checks what the user asked for, or finds the fastest that works.
///
/// Every candidate must run a small graph, because "built in" does not mean "works here".
pub fn choose(
    runtime: &Runtime,
    provider: Provider,
    precision: Precision,
    threads: usize,
    streams: usize,
) -> Result<Choice, EngineError> {
    let check = |provider| check(runtime, provider, precision, threads, streams);
    if provider != Provider::Auto {
        return check(provider);
    }
    let mut last = None;
    for candidate in AUTO_ORDER.into_iter().filter(|p| p.is_built_in()) {
        match check(candidate) {
            Ok(choice) => return Ok(choice),
            Err(err) => {
                gst::warning!(
                    CAT,
                    "execution-provider=auto passes over {candidate:?}: {err}"
                );
                last = Some(err);
            }
        }
    }
    Err(last.unwrap_or_else(|| Provider::Cpu.missing("no provider works")))
}

fn check(
    runtime: &Runtime,
    provider: Provider,
    precision: Precision,
    threads: usize,
    streams: usize,
) -> Result<Choice, EngineError> {
    if !provider.is_built_in() {
        return Err(provider.missing(format!(
            "ONNX Runtime {} at \"{}\" was built without it",
            runtime.version(),
            runtime.path().display()
        )));
    }
    let supported = provider.precisions();
    let precision = match precision {
        Precision::Auto => supported[0],
        asked if supported.contains(&asked) => asked,
        asked => {
            let nicks: Vec<_> = supported.iter().map(|p| p.nick()).collect();
            return Err(EngineError::Precision {
                provider: provider.nick(),
                precision: asked.nick(),
                supported: nicks.join(", "),
            });
        }
    };
    let choice = Choice {
        provider,
        precision,
        threads,
        streams,
    };
    Session::check(runtime, &choice).map_err(|err| provider.missing(err.to_string()))?;
    Ok(choice)
}

/// Adds the provider to a session's options; registration failures are errors, never a silent
/// fall back to the CPU.
#[allow(clippy::result_large_err)] // ort's own type
pub(super) fn configure(builder: SessionBuilder, choice: &Choice) -> BuilderResult {
    let threads = match choice.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    // ONNX Runtime's own threads only work between a GPU's nodes, or for the CPU provider. With one
    // thread a run stays in the caller's.
    let builder = builder.with_intra_threads(threads.div_ceil(choice.streams))?;
    let dispatch = match choice.provider {
        // Never a device that ONNX Runtime would pick by itself.
        Provider::Auto | Provider::Cpu => {
            return builder.with_auto_device(AutoDevicePolicy::PreferCPU);
        }
        Provider::OpenVino => openvino(choice.precision, threads, choice.streams),
        Provider::Cuda => ep::CUDA::default().build(),
        Provider::TensorRt => ep::TensorRT::default()
            .with_fp16(choice.precision == Precision::Fp16)
            .with_bf16(choice.precision == Precision::Bf16)
            .build(),
        Provider::NvTensorRtRtx => ep::NVRTX::default().build(),
        Provider::WebGpu => ep::WebGPU::default().build(),
        Provider::MiGraphX => ep::MIGraphX::default().build(),
        Provider::CoreMl => ep::CoreML::default().build(),
        Provider::Dml => ep::DirectML::default().build(),
    };
    builder.with_execution_providers([dispatch.error_on_failure()])
}

/// OpenVINO on the CPU with the threads divided among the frames in flight, not pinned to cores,
/// because decoder and encoder need cores as well. The precision is a hint of OpenVINO's own
/// configuration, which the provider takes as JSON.
fn openvino(precision: Precision, threads: usize, streams: usize) -> ep::ExecutionProviderDispatch {
    use ep::ArbitrarilyConfigurableExecutionProvider;
    let hint = match precision {
        Precision::Bf16 => "bf16",
        Precision::Fp16 => "f16",
        Precision::Fp32 | Precision::Auto => "f32",
    };
    let aim = if streams > 1 { "THROUGHPUT" } else { "LATENCY" };
    let config = format!(
        r#"{{"CPU":{{"INFERENCE_PRECISION_HINT":"{hint}","PERFORMANCE_HINT":"{aim}","NUM_STREAMS":"{streams}","ENABLE_CPU_PINNING":"NO"}}}}"#
    );
    ep::OpenVINO::default()
        .with_device_type("CPU")
        .with_num_threads(threads)
        .with_arbitrary_config("num_streams", streams.to_string())
        .with_arbitrary_config("load_config", config)
        .build()
}
