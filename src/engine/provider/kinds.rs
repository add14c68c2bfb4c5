// SPDX-License-Identifier: MPL-2.0
//! The execution providers and precisions, and their capabilities.

use gst::glib;
use ort::ep::{self, ExecutionProvider};

use crate::engine::error::EngineError;

/** GstStylizeExecutionProvider:
 *
 * ONNX Runtime execution provider that runs the generator. Nicks follow GStreamer's `onnxinference`. A provider
 * that the loaded ONNX Runtime or the machine lacks is an error, whose message says what to install.
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
 * Number format in which the generator computes; the format of frames does not change.
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
    #[enum_value(
        name = "8-bit integers: the built-in lite gallery, or a quantized model file",
        nick = "int8"
    )]
    Int8,
}

impl Provider {
    /// The nick of the property's value.
    pub fn nick(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::OpenVino => "openvino",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::NvTensorRtRtx => "nv-tensorrt-rtx",
            Self::WebGpu => "webgpu",
            Self::MiGraphX => "migraphx",
            Self::CoreMl => "coreml",
            Self::Dml => "dml",
        }
    }

    /// The last sentence of the error for a provider that is not available.
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
                "Install the PyPI package onnxruntime-ep-nv-tensorrt-rtx-cu13 and point provider-library at its folder; an NVIDIA RTX GPU and driver are needed."
            }
            Self::WebGpu => {
                "Install a Vulkan driver and the PyPI package onnxruntime-webgpu, and point runtime-library at its libonnxruntime.so; or onnxruntime-ep-webgpu, and point provider-library at its folder."
            }
            Self::MiGraphX => {
                "Install the PyPI package onnxruntime-migraphx with ROCm, and point runtime-library at its libonnxruntime.so."
            }
            Self::CoreMl => "Core ML exists on Apple systems only.",
            Self::Dml => "DirectML exists on Windows only: install onnxruntime-directml.",
        }
    }

    /// ONNX Runtime's name of the provider.
    pub(crate) fn onnx_name(self) -> &'static str {
        fn name<P: ExecutionProvider>() -> &'static str {
            P::NAME
        }
        match self {
            Self::Auto | Self::Cpu => name::<ep::CPU>(),
            Self::OpenVino => name::<ep::OpenVINO>(),
            Self::Cuda => name::<ep::CUDA>(),
            Self::TensorRt => name::<ep::TensorRT>(),
            Self::NvTensorRtRtx => name::<ep::NVRTX>(),
            Self::WebGpu => name::<ep::WebGPU>(),
            Self::MiGraphX => name::<ep::MIGraphX>(),
            Self::CoreMl => name::<ep::CoreML>(),
            Self::Dml => name::<ep::DirectML>(),
        }
    }

    /// Usual name of the provider's plugin library, without `lib` and extension; `None` if it has none.
    pub(crate) fn library_name(self) -> Option<&'static str> {
        match self {
            Self::NvTensorRtRtx => Some("onnxruntime_providers_nv_tensorrt_rtx"),
            Self::WebGpu => Some("onnxruntime_providers_webgpu"),
            Self::OpenVino => Some("onnxruntime_providers_openvino_plugin"),
            _ => None,
        }
    }

    /// Default number of concurrent runs: 2 on a GPU, where the next frame is uploaded while one is computed.
    pub fn streams(self) -> usize {
        match self {
            Self::Auto | Self::Cpu | Self::OpenVino => 1,
            _ => 2,
        }
    }

    /// Whether inputs are copied over a bus to device memory.
    pub fn is_behind_a_bus(self) -> bool {
        matches!(
            self,
            Self::Cuda
                | Self::TensorRt
                | Self::NvTensorRtRtx
                | Self::WebGpu
                | Self::MiGraphX
                | Self::Dml
        )
    }

    /// Whether the provider computes in the graph's types, so that half precision needs a float16 graph; others
    /// have an option for it.
    pub(crate) fn computes_as_written(self) -> bool {
        matches!(
            self,
            Self::Cuda | Self::NvTensorRtRtx | Self::WebGpu | Self::CoreMl | Self::Dml
        )
    }

    /// Whether the loaded library was built with the provider, which may still lack a driver or device.
    pub(crate) fn is_built_in(self) -> bool {
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

    /// Precisions that the provider supports in hardware on this machine and device, preferred first.
    pub(crate) fn precisions(self, device: Option<&str>) -> &'static [Precision] {
        let on_cpu = device.is_none_or(|device| device.starts_with("CPU"));
        match self {
            Self::Cpu => &[Precision::Fp32, Precision::Int8],
            Self::OpenVino if on_cpu && has_bf16() => {
                &[Precision::Bf16, Precision::Fp32, Precision::Int8]
            }
            Self::OpenVino if on_cpu => &[Precision::Fp32, Precision::Int8],
            Self::OpenVino if !on_cpu => &[Precision::Fp16, Precision::Fp32],
            Self::TensorRt => &[Precision::Fp16, Precision::Fp32, Precision::Bf16],
            Self::MiGraphX => &[Precision::Fp32, Precision::Fp16],
            provider if provider.computes_as_written() => &[Precision::Fp32, Precision::Fp16],
            _ => &[Precision::Fp32],
        }
    }

    /// The error for a provider that is not available.
    pub(crate) fn missing(self, reason: impl Into<String>) -> EngineError {
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
        match self {
            Self::Auto => "auto",
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

/// Whether OpenVINO multiplies bfloat16 in hardware on this CPU; emulated, it would be slower than float32.
/// OpenVINO uses oneDNN, whose instruction set an environment variable can limit.
pub(crate) fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bf16") && onednn_may_use_bf16();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether `ONEDNN_MAX_CPU_ISA`, or the older `DNNL_MAX_CPU_ISA`, allows bfloat16.
#[cfg(target_arch = "x86_64")]
fn onednn_may_use_bf16() -> bool {
    let limit = ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    limit.is_none_or(|limit| allows_bf16(&limit))
}

/// Whether this value of `ONEDNN_MAX_CPU_ISA` allows bfloat16. oneDNN ignores values that it does not know.
#[cfg(target_arch = "x86_64")]
fn allows_bf16(limit: &str) -> bool {
    const WITHOUT: [&str; 7] = [
        "SSE41",
        "AVX",
        "AVX2",
        "AVX2_VNNI",
        "AVX2_VNNI_2",
        "AVX512_CORE",
        "AVX512_CORE_VNNI",
    ];
    !WITHOUT.contains(&limit.to_ascii_uppercase().as_str())
}

#[cfg(test)]
mod tests {
    use gst::glib::prelude::*;

    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn older_processors_have_no_bfloat16() {
        for (limit, wanted) in [
            ("AVX2", false),
            ("avx512_core_vnni", false),
            ("AVX512_CORE_BF16", true),
            ("AVX512_CORE_AMX", true),
            ("DEFAULT", true),
            ("nonsense", true),
        ] {
            assert_eq!(allows_bf16(limit), wanted, "{limit}");
        }
    }

    #[test]
    fn nicks_are_those_of_the_properties() {
        fn check<E>(nick: fn(E) -> &'static str)
        where
            E: StaticType
                + HasParamSpec<ParamSpec = glib::ParamSpecEnum>
                + for<'a> glib::value::FromValue<'a>,
        {
            let class = glib::EnumClass::new::<E>();
            let mut seen = 0;
            for value in class.values() {
                let registered = value.to_value(&class).get::<E>().expect("of the type");
                assert_eq!(nick(registered), value.nick());
                seen += 1;
            }
            assert!(seen > 2);
        }
        check::<Provider>(Provider::nick);
        check::<Precision>(Precision::nick);
    }
}
