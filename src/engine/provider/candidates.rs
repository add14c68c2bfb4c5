// SPDX-License-Identifier: MPL-2.0
//! Selection of an execution provider and precision that work on this machine.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use super::choice::{Choice, Options};
use super::kinds::{Precision, Provider};
use super::plugin;
use super::trial;
use crate::engine::error::EngineError;
use crate::engine::log::CAT;
use crate::engine::runtime::Runtime;

/// Providers that `execution-provider=auto` tries, in the order of expected speed. Without those that build
/// engines for minutes (TensorRT) or may run on a software renderer (WebGPU).
const AUTO_ORDER: [Provider; 6] = [
    Provider::Cuda,
    Provider::MiGraphX,
    Provider::CoreMl,
    Provider::Dml,
    Provider::OpenVino,
    Provider::Cpu,
];

/// The providers to try, in the order of expected speed.
///
/// Each must run a small graph before it is returned, because a provider that the library was built with may still
/// lack a driver or device. With `execution-provider=auto`, the caller asks for the next one if a provider cannot
/// run the real graph.
pub struct Candidates {
    runtime: Arc<Runtime>,
    precision: Precision,
    options: Arc<Options>,
    /// Providers that have not been tried.
    left: std::vec::IntoIter<Provider>,
    /// Error of the provider that was tried last.
    last: Option<EngineError>,
}

impl Candidates {
    /// The requested provider alone, or with `Auto` those of [`AUTO_ORDER`] that the library was built with.
    pub fn new(
        runtime: Arc<Runtime>,
        provider: Provider,
        precision: Precision,
        options: Options,
    ) -> Self {
        let left = match provider {
            Provider::Auto => AUTO_ORDER.into_iter().filter(|p| p.is_built_in()).collect(),
            asked => vec![asked],
        };
        Self {
            runtime,
            precision,
            options: Arc::new(options),
            left: left.into_iter(),
            last: None,
        }
    }

    /// Whether there is another provider to try.
    pub fn more(&self) -> bool {
        !self.left.as_slice().is_empty()
    }

    /// The next provider that runs a small graph.
    ///
    /// # Errors
    /// That of the last provider, if none is left.
    pub fn advance(&mut self) -> Result<Choice, EngineError> {
        while let Some(provider) = self.left.next() {
            match self.known(provider) {
                Ok(choice) => return Ok(choice),
                Err(err) => self.pass_over(provider, err),
            }
        }
        let last = self.last.take();
        Err(last.unwrap_or_else(|| Provider::Cpu.missing("no provider works")))
    }

    /// Logs and stores the error because of which the next provider is tried.
    pub fn pass_over(&mut self, provider: Provider, err: EngineError) {
        if self.more() {
            let nick = provider.nick();
            gst::warning!(CAT, "execution-provider=auto passes over {nick}: {err}");
        }
        self.last = Some(err);
    }

    /// Tries a provider, unless it has worked before in this process.
    fn known(&self, provider: Provider) -> Result<Choice, EngineError> {
        type TrialKey = (Provider, Precision, Arc<Options>);
        static WORKING: LazyLock<Mutex<HashMap<TrialKey, Choice>>> = LazyLock::new(Mutex::default);
        let place = (provider, self.precision, self.options.clone());
        if let Some(choice) = WORKING.lock().get(&place) {
            return Ok(choice.clone());
        }
        // Failures are not cached: a driver or library may be installed while the process runs.
        let choice = self.check(provider)?;
        WORKING.lock().insert(place, choice.clone());
        Ok(choice)
    }

    /// Tries a provider in the requested precision, or in its preferred one with `Auto`.
    fn check(&self, provider: Provider) -> Result<Choice, EngineError> {
        let (runtime, options) = (&self.runtime, &self.options);
        if plugin::library(runtime, provider, options).is_none() && !provider.is_built_in() {
            return Err(provider.missing(format!(
                "ONNX Runtime {} at \"{}\" was built without it",
                runtime.version(),
                runtime.path().display()
            )));
        }
        let supported = provider.precisions(options.device.as_deref());
        let unsupported = |asked: Precision| {
            let others = supported.iter().filter(|precision| **precision != asked);
            let nicks: Vec<_> = others.map(|precision| precision.nick()).collect();
            EngineError::Precision {
                provider: provider.nick(),
                precision: asked.nick(),
                supported: nicks.join(", "),
            }
        };
        let precision = match self.precision {
            Precision::Auto => supported[0],
            asked if supported.contains(&asked) => asked,
            asked => return Err(unsupported(asked)),
        };
        let options = match options.streams {
            0 => Arc::new(Options {
                streams: provider.streams(),
                ..(**options).clone()
            }),
            _ => options.clone(),
        };
        let choice = Choice {
            provider,
            precision,
            options,
        };
        match trial::run(runtime, &choice) {
            Ok(()) => Ok(choice),
            Err(EngineError::Refused(reason) | EngineError::Run(reason))
                if choice.wants_half_graph() =>
            {
                let nick = provider.nick();
                gst::warning!(CAT, "{nick} cannot run a graph in 16-bit floats: {reason}");
                Err(unsupported(choice.precision))
            }
            Err(EngineError::Refused(reason) | EngineError::Run(reason)) => {
                Err(provider.missing(reason))
            }
            Err(other) => Err(other),
        }
    }
}
