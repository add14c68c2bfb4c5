// SPDX-License-Identifier: MPL-2.0
//! Finds ONNX Runtime and provider libraries, and lists the providers and precisions to try with each.

use std::path::{Path, PathBuf};

use gst::glib;
use gst::prelude::*;

/// An ONNX Runtime library, optionally with a plugin library that adds a provider to it.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// `None`: the library that the element finds by itself.
    pub runtime: Option<PathBuf>,
    pub provider_library: Option<PathBuf>,
    /// The only provider to try with these libraries; `None`: all.
    pub provider: Option<&'static str>,
}

/// Names of provider plugin libraries, and the provider that each adds.
const LIBRARIES: [(&str, &str); 3] = [
    ("libonnxruntime_providers_webgpu.so", "webgpu"),
    (
        "libonnxruntime_providers_nv_tensorrt_rtx.so",
        "nv-tensorrt-rtx",
    ),
    ("libonnxruntime_providers_openvino_plugin.so", "openvino"),
];

/// The libraries in the subfolders of `folder`: each runtime by itself, then each provider library with the newest
/// runtime. Without a runtime there, the one that the element finds by itself.
pub fn find(folder: &Path) -> Vec<Place> {
    let holds = |start: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let found = entries.map(|entry| entry.path()).filter(|path| {
            let files = std::fs::read_dir(path).into_iter().flatten().flatten();
            let mut names = files.map(|file| file.file_name().to_string_lossy().into_owned());
            names.any(|name| name.starts_with(start))
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        found
    };
    let runtimes = holds("libonnxruntime.so");
    let mut places: Vec<_> = runtimes
        .iter()
        .map(|runtime| Place {
            runtime: Some(runtime.clone()),
            ..Place::default()
        })
        .collect();
    if places.is_empty() {
        places.push(Place::default());
    }
    // The newest runtime most likely supports the plugin's API version.
    let newest = runtimes.iter().max_by_key(|runtime| version(runtime));
    for (file, provider) in LIBRARIES {
        places.extend(holds(file).into_iter().map(|library| Place {
            runtime: newest.cloned(),
            provider_library: Some(library),
            provider: Some(provider),
        }));
    }
    places
}

/// Version of the runtime in a folder: `[1, 24, 1]` for libonnxruntime.so.1.24.1; empty if there is none.
fn version(folder: &Path) -> Vec<u32> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbers = |name: String| -> Option<Vec<u32>> {
        let version = name.strip_prefix("libonnxruntime.so.")?;
        version.split('.').map(|part| part.parse().ok()).collect()
    };
    let versions = files.filter_map(|file| numbers(file.file_name().to_string_lossy().into()));
    versions.max().unwrap_or_default()
}

/// Providers to try with these libraries: the wanted ones, or all values of the property `execution-provider` except
/// `auto`.
pub fn providers(place: &Place, wanted: &[String]) -> Vec<String> {
    let mut providers = choices("execution-provider", wanted);
    providers.retain(|nick| place.provider.is_none_or(|only| only == nick));
    providers
}

/// Precisions to try: the wanted ones, or all values of the property `precision` except `auto`.
pub fn precisions(wanted: &[String]) -> Vec<String> {
    choices("precision", wanted)
}

/// `wanted`, or if it is empty all nicks of an enum property of the element except `auto`.
fn choices(property: &str, wanted: &[String]) -> Vec<String> {
    if !wanted.is_empty() {
        return wanted.to_vec();
    }
    let element = gst::ElementFactory::make("stylize").build();
    let kind = element
        .ok()
        .and_then(|element| element.find_property(property));
    let class = kind.and_then(|spec| glib::EnumClass::with_type(spec.value_type()));
    let values = class
        .map(|class| class.values().to_vec())
        .unwrap_or_default();
    let nicks = values.iter().map(|value| value.nick().to_string());
    nicks.filter(|nick| nick != "auto").collect()
}
