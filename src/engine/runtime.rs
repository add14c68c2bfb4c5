// SPDX-License-Identifier: MPL-2.0
//! Finds and loads ONNX Runtime, once per process.
//!
//! Nothing here runs when the plugin is registered, because GStreamer's registry scanner does that
//! in a helper process: the library is loaded when the first element starts.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use ort::environment::Environment;
use ort::logging::LogLevel;
use parking_lot::Mutex;

use super::error::EngineError;
use super::exit;
use super::log::CAT;

/// Lines of ONNX Runtime itself; the category that GStreamer's own onnx plugin uses.
static LIBRARY_CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "onnxruntime",
        gst::DebugColorFlags::empty(),
        Some("ONNX Runtime library"),
    )
});

/// Where `make setup` put ONNX Runtime when this was built (see `.cargo/config.toml`); empty in packages.
const SETUP_DIR: Option<&str> = option_env!("STYLIZE_RUNTIME_DIR");

const FILE_PREFIX: &str = if cfg!(windows) {
    "onnxruntime"
} else {
    "libonnxruntime"
};
const FILE_SUFFIX: &str = if cfg!(windows) {
    ".dll"
} else if cfg!(target_os = "macos") {
    ".dylib"
} else {
    ".so"
};

static PLUGIN_DIR: OnceLock<PathBuf> = OnceLock::new();

/// Remembers the plugin's own folder, one of the places that are searched.
pub fn set_plugin_dir(dir: &Path) {
    // Set again only if the plugin is loaded twice, from the same place.
    let _ = PLUGIN_DIR.set(dir.into());
}

/// The folder that holds what is installed beside the plugin: `<plugin dir>/../stylize`.
fn data_dir() -> Option<PathBuf> {
    Some(PLUGIN_DIR.get()?.parent()?.join("stylize"))
}

/// The folder of the models that were installed with the plugin: what `make install` makes, or `share/stylize/models`
/// of the prefix in whose `lib` the plugin is.
pub fn models_dir() -> Option<PathBuf> {
    models_near(PLUGIN_DIR.get()?)
}

fn models_near(plugins: &Path) -> Option<PathBuf> {
    let beside = plugins.parent()?.join("stylize/models");
    // From `PREFIX/lib/ARCHITECTURE/gstreamer-1.0` at most.
    let prefixes = plugins.ancestors().skip(1).take(3);
    std::iter::once(beside)
        .chain(prefixes.map(|prefix| prefix.join("share/stylize/models")))
        .find(|folder| folder.is_dir())
}

/// The library of the Python package `onnxruntime`, for a plugin in `site-packages/NAME/gstreamer-1.0`.
fn python_package() -> Option<PathBuf> {
    let packages = PLUGIN_DIR.get()?.parent()?.parent()?;
    let folder = packages.join("onnxruntime/capi");
    folder.is_dir().then_some(folder)
}

/// The loaded library. ONNX Runtime allows one environment per process, so it is never unloaded.
#[derive(Clone)]
pub struct Runtime {
    pub(super) environment: Environment,
    path: PathBuf,
    version: String,
}

static LOADED: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);

impl Runtime {
    /// The loaded runtime, loading it first if need be.
    ///
    /// Searched in this order: `wanted` (the property `runtime-library`), `ORT_DYLIB_PATH`, beside
    /// the plugin, the Python package `onnxruntime` if the plugin is part of one, the setup folder the
    /// plugin was built with, the system's loader. A path that the user named must work; the search does
    /// not go on behind it.
    pub fn get(wanted: Option<&Path>) -> Result<Arc<Self>, EngineError> {
        let mut loaded = LOADED.lock();
        if let Some(runtime) = loaded.as_ref() {
            return match wanted.and_then(|path| resolve(path).ok()) {
                Some(wanted) if !same_file(&wanted, &runtime.path) => {
                    Err(EngineError::RuntimeOther {
                        loaded: runtime.path.clone(),
                        wanted,
                    })
                }
                _ => Ok(runtime.clone()),
            };
        }
        let runtime = Arc::new(exit::set_up(exit::RUNTIME, || Self::load(wanted))?);
        gst::info!(
            CAT,
            "ONNX Runtime {} from {}",
            runtime.version,
            runtime.path.display()
        );
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    fn load(wanted: Option<&Path>) -> Result<Self, EngineError> {
        if let Some(path) = wanted {
            return load_named(path, "runtime-library");
        }
        if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
            return load_named(Path::new(&path), "ORT_DYLIB_PATH");
        }
        let beside = PLUGIN_DIR.get().cloned();
        let installed = data_dir().map(|dir| dir.join("onnxruntime"));
        let setup = SETUP_DIR.filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let folders = beside
            .into_iter()
            .chain(installed)
            .chain(python_package())
            .chain(setup);
        // The loader's own search: names only, no folder.
        let names = [
            format!("{FILE_PREFIX}{FILE_SUFFIX}"),
            format!("{FILE_PREFIX}{FILE_SUFFIX}.1"),
        ];
        Self::search(folders, names)
    }

    /// The first that loads of the libraries in `folders` and of the system's `names`.
    fn search(
        folders: impl IntoIterator<Item = PathBuf>,
        names: impl IntoIterator<Item = String>,
    ) -> Result<Self, EngineError> {
        let mut tried = Vec::new();
        for folder in folders {
            match newest_in(&folder) {
                Some(file) => match load_file(&file) {
                    Ok(runtime) => return Ok(runtime),
                    Err(err) => tried.push(format!("{} ({err})", file.display())),
                },
                None => tried.push(folder.display().to_string()),
            }
        }
        for name in names {
            match load_file(Path::new(&name)) {
                Ok(runtime) => return Ok(runtime),
                Err(err @ EngineError::RuntimeTooOld { .. }) => return Err(err),
                Err(_) => tried.push(format!("the system's {name}")),
            }
        }
        Err(EngineError::RuntimeNotFound { tried })
    }

    /// Version such as "1.24.1".
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The library's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn load_named(path: &Path, named_by: &'static str) -> Result<Runtime, EngineError> {
    let broken = |reason: String| EngineError::RuntimeBroken {
        named_by,
        path: path.into(),
        reason,
    };
    let file = resolve(path).map_err(&broken)?;
    load_file(&file).map_err(|err| match err {
        EngineError::Refused(reason) => broken(reason),
        other => other,
    })
}

/// The library's file from what the user wrote: a file, or a folder that holds it.
fn resolve(path: &Path) -> Result<PathBuf, String> {
    if path.is_dir() {
        return newest_in(path).ok_or_else(|| format!("the folder holds no {FILE_PREFIX}*"));
    }
    // Absolute, because ort looks for relative paths beside the executable first.
    std::path::absolute(path)
        .ok()
        .filter(|path| path.exists())
        .ok_or_else(|| "there is no such file".to_string())
}

/// The library in a folder, the highest version if there are several: `libonnxruntime.so.1.24.1`.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    let version = |name: &str| -> Option<Vec<u32>> {
        let rest = name.strip_prefix(FILE_PREFIX)?;
        let numbers = rest.replacen(FILE_SUFFIX, "", 1);
        if numbers.len() == rest.len() {
            return None;
        }
        let parts = numbers.split('.').filter(|part| !part.is_empty());
        parts.map(|part| part.parse().ok()).collect()
    };
    std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry.path())))
        .max()
        .map(|(_, path)| path)
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// Loads one file and makes the process's environment in it. Reasons for which the file is no
/// usable library come back as [`EngineError::Refused`].
fn load_file(path: &Path) -> Result<Runtime, EngineError> {
    use ort::LoadDynamicError;
    let builder = ort::init_from(path).map_err(|err| match err {
        LoadDynamicError::BadVersion { version_str, path } => EngineError::RuntimeTooOld {
            path,
            found: version_str,
            needed: ort::MINOR_VERSION,
        },
        other => EngineError::Refused(other.to_string()),
    })?;
    let environment = builder
        .with_name("stylize")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(EngineError::refused)?;
    environment.set_log_level(wanted_level());
    Ok(Runtime {
        environment,
        path: path.into(),
        version: library_version(path).unwrap_or_else(|| "unknown".into()),
    })
}

/// "1.24.1" from the library itself, which is loaded already. ort reads it but does not tell, and
/// the text of `ort::info()` has it in some builds only.
fn library_version(path: &Path) -> Option<String> {
    type Base = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: ONNX Runtime has this function, and both hand out memory that is never freed.
    unsafe {
        let library = libloading::Library::new(path).ok()?;
        let base = library.get::<Base>(b"OrtGetApiBase").ok()?;
        let version = ((*base()).GetVersionString)();
        Some(CStr::from_ptr(version).to_string_lossy().into_owned())
    }
}

/// ONNX Runtime formats every line that its level lets through, so ask only for what is shown.
fn wanted_level() -> LogLevel {
    match LIBRARY_CAT.threshold() {
        level if level >= gst::DebugLevel::Log => LogLevel::Verbose,
        level if level >= gst::DebugLevel::Info => LogLevel::Info,
        gst::DebugLevel::Warning | gst::DebugLevel::Fixme => LogLevel::Warning,
        _ => LogLevel::Error,
    }
}

fn log(level: LogLevel, category: &str, id: &str, location: &str, message: &str) {
    let level = match level {
        LogLevel::Fatal | LogLevel::Error => gst::DebugLevel::Error,
        LogLevel::Warning => gst::DebugLevel::Warning,
        LogLevel::Info => gst::DebugLevel::Info,
        LogLevel::Verbose => gst::DebugLevel::Log,
    };
    gst::log_with_level!(
        LIBRARY_CAT,
        level,
        "{category} {id}: {message} ({location})"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_in_vain_says_where_it_looked() {
        let empty = tempfile::tempdir().expect("a folder");
        let broken = tempfile::tempdir().expect("a folder");
        let file = broken
            .path()
            .join(format!("{FILE_PREFIX}{FILE_SUFFIX}.1.99.0"));
        std::fs::write(&file, "no library").expect("a file");
        let folders = [empty.path().into(), broken.path().into()];
        let Err(err) = Runtime::search(folders, ["libno-such-onnxruntime.so".to_string()]) else {
            panic!("there is nothing to find");
        };
        let text = err.to_string();
        assert!(matches!(err, EngineError::RuntimeNotFound { .. }), "{text}");
        for place in [empty.path(), file.as_path()] {
            assert!(text.contains(&place.display().to_string()), "{text}");
        }
        assert!(text.contains("libno-such-onnxruntime.so"), "{text}");
        assert!(text.contains("make setup"), "{text}");
    }

    #[test]
    fn models_are_found_from_wherever_packages_put_the_plugin() {
        let dir = tempfile::tempdir().expect("a folder");
        let share = dir.path().join("usr/share/stylize/models");
        std::fs::create_dir_all(&share).expect("a folder");
        let plugins = dir.path().join("usr/lib/x86_64-linux-gnu/gstreamer-1.0");
        assert_eq!(models_near(&plugins), Some(share.clone()));
        assert_eq!(
            models_near(&dir.path().join("usr/gstreamer-1.0")),
            Some(share)
        );
        assert_eq!(models_near(&dir.path().join("home/plugins")), None);
        let beside = dir.path().join("usr/lib/x86_64-linux-gnu/stylize/models");
        std::fs::create_dir_all(&beside).expect("a folder");
        assert_eq!(models_near(&plugins), Some(beside));
    }

    #[test]
    fn the_highest_version_in_a_folder_is_taken() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["1.9.0", "1.24.1", "1.24"] {
            let name = format!("{FILE_PREFIX}{FILE_SUFFIX}.{name}");
            std::fs::write(dir.path().join(name), "").expect("a file");
        }
        let provider = format!("{FILE_PREFIX}_providers_shared{FILE_SUFFIX}");
        std::fs::write(dir.path().join(provider), "").expect("a file");
        let newest = newest_in(dir.path()).expect("a library");
        assert!(newest.to_string_lossy().ends_with("1.24.1"), "{newest:?}");
    }
}
