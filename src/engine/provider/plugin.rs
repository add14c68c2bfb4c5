// SPDX-License-Identifier: MPL-2.0
//! Execution providers in plugin libraries, which are registered with ONNX Runtime at run time (TensorRT for RTX,
//! WebGPU, newer releases of OpenVINO).

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ort::device::Device;
use ort::memory::DeviceType;
use parking_lot::Mutex;

use super::choice::Options;
use super::kinds::Provider;
use crate::engine::error::EngineError;
use crate::engine::runtime::Runtime;

/// Oldest minor version of ONNX Runtime 1 with which plugin libraries are registered. A library made for a newer
/// version aborts the process when it is loaded (seen with WebGPU 0.4.0 in 1.24; it works in 1.27).
const OLDEST: u32 = 27;

/// Plugin libraries registered with ONNX Runtime, which never unloads them.
static REGISTERED: LazyLock<Mutex<Vec<PathBuf>>> = LazyLock::new(Mutex::default);

/// The plugin library of this provider: the one named in the options, else the one with the usual name in ONNX
/// Runtime's folder, if any.
pub(crate) fn library(runtime: &Runtime, provider: Provider, options: &Options) -> Option<PathBuf> {
    let usual = format!(
        "{}{}",
        std::env::consts::DLL_PREFIX,
        provider.library_name()?
    );
    let usual = format!("{usual}{}", std::env::consts::DLL_SUFFIX);
    match &options.provider_library {
        Some(path) if path.is_dir() => Some(path.join(usual)),
        Some(path) => Some(path.clone()),
        None => Some(runtime.path().parent()?.join(usual)).filter(|file| file.is_file()),
    }
}

/// The devices of this provider; registers its library with ONNX Runtime first.
///
/// # Errors
/// [`EngineError::ProviderLibrary`].
pub(crate) fn devices<'r>(
    runtime: &'r Runtime,
    provider: Provider,
    library: &Path,
) -> Result<Vec<Device<'r>>, EngineError> {
    let broken = |reason: String| EngineError::ProviderLibrary {
        path: library.into(),
        reason,
    };
    let file = library.canonicalize();
    let file = file.map_err(|err| broken(err.to_string()))?;
    let minor = runtime.version().split('.').nth(1);
    if minor.and_then(|minor| minor.parse().ok()) < Some(OLDEST) {
        let version = runtime.version();
        return Err(broken(format!(
            "provider libraries need ONNX Runtime 1.{OLDEST} or newer, and this is {version}"
        )));
    }
    {
        let mut registered = REGISTERED.lock();
        if !registered.contains(&file) {
            // Any name that differs between libraries.
            let name = file.to_string_lossy().into_owned();
            let added = runtime.environment.register_ep_library(name, &file);
            added.map_err(|err| broken(EngineError::one_line(&err)))?;
            registered.push(file);
        }
    }
    let name = provider.onnx_name();
    let devices = runtime.environment.devices();
    Ok(devices
        .filter(|device| device.ep().is_ok_and(|ep| ep == name))
        .collect())
}

/// Description of a device for error messages: "GPU 0 (NVIDIA)".
pub(crate) fn describe(index: usize, device: &Device) -> String {
    let device = device.hardware_device();
    let kind = match device.ty() {
        DeviceType::GPU => "GPU",
        DeviceType::NPU => "NPU",
        _ => "CPU",
    };
    let vendor = device.vendor().unwrap_or_default();
    match vendor.is_empty() {
        true => format!("{kind} {index}"),
        false => format!("{kind} {index} ({vendor})"),
    }
}
