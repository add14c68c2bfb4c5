// SPDX-License-Identifier: MPL-2.0
//! Translates a [`Choice`] into ONNX Runtime's session options and each provider's own options.

use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProviderDispatch};
use ort::session::builder::{AutoDevicePolicy, SessionBuilder};

use super::cache::Folder;
use super::choice::Choice;
use super::kinds::has_bf16;
use super::kinds::{Precision, Provider};
use super::plugin;
use crate::engine::error::EngineError;
use crate::engine::runtime::Runtime;

/// A session builder with all options set.
///
/// # Errors
/// For options that the provider does not have, and if it cannot be registered: there is no silent fallback to
/// the CPU.
pub(crate) fn builder(
    runtime: &Runtime,
    choice: &Choice,
    cache: Option<&Folder>,
) -> Result<SessionBuilder, EngineError> {
    let options = &choice.options;
    let builder =
        ort::session::Session::builder(&runtime.environment).map_err(EngineError::refused)?;
    let builder = builder
        .with_optimization_level(options.optimization.level())
        .map_err(EngineError::refused)?
        // Spinning threads would keep cores from decoder and encoder between two frames.
        .with_intra_op_spinning(false)
        .map_err(EngineError::refused)?
        .with_config_entry("session.record_ep_graph_assignment_info", "1")
        .map_err(EngineError::refused)?
        // ONNX Runtime's own threads only run CPU nodes. With one thread a run stays on the calling thread.
        .with_intra_threads(threads(choice).div_ceil(options.streams))
        .map_err(EngineError::refused)?;
    let builder = match choice.provider {
        // ONNX Runtime 1.27 fuses the activation after a convolution into it, and then fuses the next activation as
        // well, which replaces the first: a generator that ends with a sigmoid would lose it to the clamp that
        // the graph compiler adds after it.
        Provider::WebGpu => builder
            .with_disabled_optimizers("ConvActivationFusion")
            .map_err(EngineError::refused)?,
        _ => builder,
    };
    if let Some(library) = plugin::library(runtime, choice.provider, options)
        && (options.provider_library.is_some() || !choice.provider.is_built_in())
    {
        return from_plugin(runtime, choice, builder, &library);
    }
    let Some(dispatch) = built_in(choice, cache)? else {
        // Without a policy, ONNX Runtime might select another device by itself.
        let builder = builder.with_auto_device(AutoDevicePolicy::PreferCPU);
        return builder.map_err(EngineError::refused);
    };
    builder
        .with_execution_providers([dispatch.error_on_failure()])
        .map_err(EngineError::refused)
}

/// Total number of threads of a CPU provider.
fn threads(choice: &Choice) -> usize {
    match choice.options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// Adds a provider from a plugin library, on the device that the options name.
fn from_plugin(
    runtime: &Runtime,
    choice: &Choice,
    builder: SessionBuilder,
    library: &std::path::Path,
) -> Result<SessionBuilder, EngineError> {
    let provider = choice.provider;
    let mut devices = plugin::devices(runtime, provider, library)?;
    if devices.is_empty() {
        let reason = format!("the library \"{}\" finds no device", library.display());
        return Err(provider.missing(reason));
    }
    let index = index(choice)?.unwrap_or(0) as usize;
    if index >= devices.len() {
        let known = devices.iter().enumerate();
        let known: Vec<_> = known.map(|(i, d)| plugin::describe(i, d)).collect();
        return Err(no_device(choice, &format!("It has {}.", known.join(", "))));
    }
    let device = devices.swap_remove(index);
    let prefix = provider.onnx_name();
    let options = choice.options.provider_options.iter();
    let options: Vec<_> = options
        .map(|(key, value)| (format!("{prefix}.{key}"), value.clone()))
        .collect();
    builder
        .with_devices([device], Some(&options))
        .map_err(EngineError::refused)
}

/// A provider that ONNX Runtime was built with; `None` for the CPU provider, which every session has.
fn built_in(
    choice: &Choice,
    cache: Option<&Folder>,
) -> Result<Option<ExecutionProviderDispatch>, EngineError> {
    let half = choice.precision == Precision::Fp16;
    let cache = cache.map(|cache| cache.path().display().to_string());
    Ok(Some(match choice.provider {
        Provider::Auto | Provider::Cpu => {
            return match &choice.options.device {
                None => Ok(None),
                Some(_) if index(choice)? == Some(0) => Ok(None),
                Some(_) => Err(no_device(choice, "It has only device 0.")),
            };
        }
        Provider::OpenVino => finished(choice, openvino(choice, cache)),
        Provider::Cuda => numbered(choice, ep::CUDA::default(), "device_id")?,
        Provider::TensorRt => {
            let mut provider = ep::TensorRT::default()
                .with_fp16(half)
                .with_bf16(choice.precision == Precision::Bf16);
            if let Some(folder) = cache {
                provider = provider
                    .with_engine_cache(true)
                    .with_engine_cache_path(&folder)
                    .with_timing_cache(true)
                    .with_timing_cache_path(&folder);
            }
            numbered(choice, provider, "device_id")?
        }
        Provider::NvTensorRtRtx => numbered(choice, ep::NVRTX::default(), "device_id")?,
        Provider::WebGpu => numbered(choice, ep::WebGPU::default(), "deviceId")?,
        Provider::MiGraphX => {
            let mut provider = ep::MIGraphX::default().with_fp16(half);
            if let Some(index) = index(choice)? {
                provider = provider.with_device_id(index);
            }
            refuse_options(choice)?;
            provider.build()
        }
        Provider::CoreMl => {
            let mut provider = ep::CoreML::default();
            if let Some(folder) = cache {
                provider = provider.with_model_cache_dir(folder);
            }
            if let Some(units) = &choice.options.device {
                provider = provider.with_arbitrary_config("MLComputeUnits", units);
            }
            finished(choice, provider)
        }
        Provider::Dml => {
            let mut provider = ep::DirectML::default();
            if let Some(index) = index(choice)? {
                provider = provider.with_device_id(index);
            }
            refuse_options(choice)?;
            provider.build()
        }
    }))
}

/// The provider with the device's number in the option of this name, and with the user's options.
fn numbered<P>(
    choice: &Choice,
    mut provider: P,
    option: &str,
) -> Result<ExecutionProviderDispatch, EngineError>
where
    P: ArbitrarilyConfigurableExecutionProvider + Into<ExecutionProviderDispatch>,
{
    if let Some(index) = index(choice)? {
        provider = provider.with_arbitrary_config(option, index);
    }
    Ok(finished(choice, provider))
}

/// The provider with the user's options, which override those set before.
fn finished<P>(choice: &Choice, mut provider: P) -> ExecutionProviderDispatch
where
    P: ArbitrarilyConfigurableExecutionProvider + Into<ExecutionProviderDispatch>,
{
    for (key, value) in &choice.options.provider_options {
        provider = provider.with_arbitrary_config(key, value);
    }
    provider.into()
}

/// The number of the device, if one is named.
///
/// # Errors
/// [`EngineError::Device`] for a name that is not a number.
fn index(choice: &Choice) -> Result<Option<i32>, EngineError> {
    let Some(device) = &choice.options.device else {
        return Ok(None);
    };
    let index = device.parse::<u16>().map(i32::from).ok();
    let index = index.ok_or_else(|| no_device(choice, "It numbers its devices from 0."))?;
    Ok(Some(index))
}

fn no_device(choice: &Choice, hint: &str) -> EngineError {
    EngineError::Device {
        provider: choice.provider.nick(),
        device: choice.options.device.clone().unwrap_or_default(),
        hint: hint.into(),
    }
}

/// For providers whose options ONNX Runtime does not accept as key-value pairs.
fn refuse_options(choice: &Choice) -> Result<(), EngineError> {
    match choice.options.provider_options.first() {
        None => Ok(()),
        Some((key, _)) => Err(EngineError::ProviderOption {
            provider: choice.provider.nick(),
            key: key.clone(),
        }),
    }
}

/// OpenVINO with its threads divided among the frames in flight. They are not pinned to cores, because decoder and
/// encoder need cores as well. The precision is a hint in OpenVINO's own configuration, which the provider takes as
/// JSON.
fn openvino(choice: &Choice, cache: Option<String>) -> ep::OpenVINO {
    let streams = choice.options.streams;
    let hint = match choice.precision {
        Precision::Bf16 => "bf16",
        Precision::Fp16 => "f16",
        // For the operators that are not quantized.
        Precision::Int8 if has_bf16() => "bf16",
        Precision::Fp32 | Precision::Auto | Precision::Int8 => "f32",
    };
    let aim = if streams > 1 { "THROUGHPUT" } else { "LATENCY" };
    let device = choice.options.device.as_deref().unwrap_or("CPU");
    // The configuration of "GPU.1" has the key "GPU".
    let kind = device.split('.').next().unwrap_or(device);
    let pinning = match kind {
        "CPU" => r#","ENABLE_CPU_PINNING":"NO""#,
        _ => "",
    };
    let config = format!(
        r#"{{"{kind}":{{"INFERENCE_PRECISION_HINT":"{hint}","PERFORMANCE_HINT":"{aim}","NUM_STREAMS":"{streams}"{pinning}}}}}"#
    );
    let mut provider = ep::OpenVINO::default()
        .with_device_type(device)
        .with_num_threads(threads(choice))
        .with_arbitrary_config("num_streams", streams.to_string())
        .with_arbitrary_config("load_config", config);
    if let Some(folder) = cache {
        provider = provider.with_cache_dir(folder);
    }
    provider
}
