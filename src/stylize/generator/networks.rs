// SPDX-License-Identifier: MPL-2.0
//! Reads the networks that the settings name: a user's file, or the built-in gallery.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::engine::{self, Choice, Precision, Predictor, Runtime, probe};
use crate::gallery::{self, BuiltIn};
use crate::model::{self, Model, ModelError, Signature, metadata, modelinfo};
use crate::stylize::report::Error;
use crate::stylize::settings::{Quality, Settings};

/// A network that was read, with the conventions that its files and the properties state.
struct Unprobed {
    model: Arc<Model>,
    conventions: model::Conventions,
    name: String,
    /// Whether it is a user's file. Such a network is run once even if its conventions are complete, so that one
    /// that cannot run is refused when the element starts and not during the stream.
    foreign: bool,
}

/// A network with its complete signature.
pub(crate) struct Network {
    pub model: Arc<Model>,
    pub signature: Signature,
    /// Its file, or the name of the built-in one; for messages.
    pub name: String,
}

/// One network for all providers, or one for CPUs and one for GPUs, with the same styles.
pub(crate) struct Networks<N = Network> {
    /// For CPUs, or for all providers if `gpu` is `None`.
    first: N,
    /// For GPUs.
    gpu: Option<N>,
}

/// Networks whose files have been read but that have not been run.
pub(crate) struct ReadNetworks(Networks<Unprobed>);

impl ReadNetworks {
    /// Reads the networks that the settings name.
    ///
    /// # Errors
    /// [`Error::Model`] for files, [`Error::Property`] for ranges, [`Error::NotQuantized`].
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let conventions = settings
            .conventions()
            .map_err(|(name, value)| Error::Property { name, value })?;
        let networks = match file(settings) {
            Some(file) => Networks {
                first: Unprobed::open(&file, conventions)?,
                gpu: None,
            },
            None => {
                let (first, gpu) = built_in(settings.quality, settings.precision);
                Networks {
                    first: Unprobed::built_in(first, conventions)?,
                    gpu: gpu
                        .map(|gpu| Unprobed::built_in(gpu, conventions))
                        .transpose()?,
                }
            }
        };
        let quantized = networks.first.model.is_quantized();
        if settings.precision == Precision::Int8 && !quantized {
            return Err(Error::NotQuantized(networks.first.name));
        }
        Ok(Self(networks))
    }

    /// Completes the conventions by probe runs.
    ///
    /// # Errors
    /// Those of [`probe::probe`].
    pub fn understood(self, runtime: &Runtime) -> Result<Networks, Error> {
        let Networks { first, gpu } = self.0;
        Ok(Networks {
            first: first.understood(runtime)?,
            gpu: gpu.map(|gpu| gpu.understood(runtime)).transpose()?,
        })
    }
}

impl<N> Networks<N> {
    /// The network for this provider and device.
    pub fn at(&self, choice: &Choice) -> &N {
        match &self.gpu {
            Some(gpu) if choice.on_gpu() => gpu,
            _ => &self.first,
        }
    }
}

impl Unprobed {
    fn open(file: &Path, properties: model::Conventions) -> Result<Self, Error> {
        let name = file.display().to_string();
        let read = || {
            let mut model = Model::read(file)?;
            let conventions = properties
                .or(modelinfo::conventions(&mut model, file)?)
                .or(metadata::conventions(&model)?);
            Ok((model, conventions))
        };
        let (model, conventions) = read().map_err(Error::of_model(&name))?;
        Ok(Self {
            model: Arc::new(model),
            conventions,
            name,
            foreign: true,
        })
    }

    fn built_in(network: &BuiltIn, properties: model::Conventions) -> Result<Self, Error> {
        let read = || {
            let model = shared(network)?;
            let conventions = properties.or(metadata::conventions(&model)?);
            Ok((model, conventions))
        };
        let (model, conventions) = read().map_err(Error::of_model(network.name))?;
        Ok(Self {
            model,
            conventions,
            name: network.name.into(),
            foreign: false,
        })
    }

    fn understood(self, runtime: &Runtime) -> Result<Network, Error> {
        let Self {
            model,
            conventions,
            name,
            ..
        } = self;
        let conventions = if self.foreign || Signature::needs_probe(&model, &conventions) {
            let found = probe::probe(runtime, &model, &conventions);
            conventions.or(found.map_err(|err| Error::of_engine(&name, err))?)
        } else {
            conventions
        };
        Ok(Network {
            signature: Signature::resolve(&model, &conventions),
            model,
            name,
        })
    }

    /// Names of its styles; none where a style is a vector.
    fn styles(&self) -> Vec<String> {
        match self.model.style() {
            Some(style) if style.has_weights() => style.styles(),
            Some(_) => Vec::new(),
            None => vec![self.model.name(&self.name)],
        }
    }
}

/// A built-in network, parsed once and shared by all elements, because each copy would take megabytes.
fn shared(network: &BuiltIn) -> Result<Arc<Model>, ModelError> {
    static PARSED: LazyLock<Mutex<HashMap<&'static str, Weak<Model>>>> =
        LazyLock::new(Mutex::default);
    let mut parsed = PARSED.lock();
    let known = parsed.entry(network.name).or_default();
    if let Some(model) = known.upgrade() {
        return Ok(model);
    }
    let model = Arc::new(Model::parse(network.onnx)?);
    *known = Arc::downgrade(&model);
    Ok(model)
}

/// The built-in networks of this quality: the one for all providers or CPUs, and the one for GPUs.
fn built_in(
    quality: Quality,
    precision: Precision,
) -> (&'static BuiltIn, Option<&'static BuiltIn>) {
    match (quality, precision) {
        // The quantized gallery exists for CPUs only.
        (Quality::Auto | Quality::Lite, Precision::Int8) => (&gallery::LITE_INT8, None),
        (Quality::Auto, _) => (&gallery::LITE, Some(&gallery::FULL)),
        (Quality::Lite, _) => (&gallery::LITE, None),
        (Quality::Full, _) => (&gallery::FULL, None),
        (Quality::Quick, _) => (&gallery::QUICK, None),
    }
}

/// The path of the model file; `None`: the built-in gallery.
fn file(settings: &Settings) -> Option<PathBuf> {
    let models = engine::runtime::models_dir();
    let file = settings.model_file.as_deref()?;
    Some(gallery::resolve(file, models.as_deref()))
}

/// Size in bytes and modification time of a file; `None` if there is none.
pub(crate) type FileVersion = Option<(u64, SystemTime)>;

/// Versions of the files from which the names of the generator's styles are read: the model and both possible
/// sidecars. Empty for the built-in gallery.
pub(crate) fn file_versions(settings: &Settings) -> Vec<FileVersion> {
    let version = |file: &Path| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    };
    let Some(model) = file(settings) else {
        return Vec::new();
    };
    let sidecars = modelinfo::candidates(&model);
    let files = std::iter::once(&model).chain(&sidecars);
    files.map(|file| version(file)).collect()
}

/// Names of the generator's styles; empty if it cannot be read.
pub(crate) fn styles(settings: &Settings) -> Vec<String> {
    match ReadNetworks::new(settings) {
        Ok(ReadNetworks(networks)) => networks.first.styles(),
        Err(_) => Vec::new(),
    }
}

/// Loads the style predictor that the property or the model's sidecar names, if any.
///
/// # Errors
/// [`Error::Model`] for files, [`Error::Refused`] for a network that does not load.
pub(crate) fn predictor(
    runtime: &Runtime,
    settings: &Settings,
) -> Result<Option<Predictor>, Error> {
    let file = match (&settings.style.predictor, file(settings)) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(model)) => {
            let name = model.display().to_string();
            modelinfo::predictor(&model).map_err(Error::of_model(&name))?
        }
        (None, None) => None,
    };
    let Some(file) = file else {
        return Ok(None);
    };
    let name = file.display().to_string();
    let bytes = model::file::whole(&file).map_err(Error::of_model(&name))?;
    let predictor = Predictor::load(runtime, &bytes);
    Ok(Some(predictor.map_err(|err| Error::of_engine(&name, err))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Options, Provider};
    use std::sync::Arc;

    fn at(quality: Quality, provider: Provider, device: Option<&str>) -> &'static str {
        let (first, gpu) = built_in(quality, Precision::Auto);
        let networks = Networks { first, gpu };
        let choice = Choice {
            provider,
            options: Arc::new(Options {
                device: device.map(Into::into),
                ..Options::default()
            }),
            ..Choice::cpu()
        };
        networks.at(&choice).name
    }

    #[test]
    fn quality_auto_depends_on_provider_and_device() {
        let auto = |provider, device| at(Quality::Auto, provider, device);
        assert_eq!(auto(Provider::Cpu, None), "gallery-lite");
        assert_eq!(auto(Provider::OpenVino, None), "gallery-lite");
        assert_eq!(auto(Provider::OpenVino, Some("CPU")), "gallery-lite");
        assert_eq!(auto(Provider::OpenVino, Some("GPU.1")), "gallery-full");
        assert_eq!(auto(Provider::Cuda, None), "gallery-full");
        assert_eq!(auto(Provider::WebGpu, Some("0")), "gallery-full");
        assert_eq!(at(Quality::Full, Provider::Cpu, None), "gallery-full");
        assert_eq!(at(Quality::Lite, Provider::Cuda, None), "gallery-lite");
        assert_eq!(at(Quality::Quick, Provider::Cuda, None), "gallery-quick");
        assert_eq!(at(Quality::Quick, Provider::Cpu, None), "gallery-quick");
    }
}
