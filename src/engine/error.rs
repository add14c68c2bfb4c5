// SPDX-License-Identifier: MPL-2.0
//! Errors of the engine.

use std::path::PathBuf;

/// Errors of finding, configuring and running ONNX Runtime. The text is for the user: what is wrong, with which
/// value, and what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // Each variant's message documents it.
pub enum EngineError {
    #[error("ONNX Runtime was not found. Install it (`make setup`, or `pip install onnxruntime`) and set runtime-library or ORT_DYLIB_PATH to libonnxruntime.so. Looked at: {}.", .tried.join("; "))]
    RuntimeNotFound { tried: Vec<String> },
    #[error(
        "ONNX Runtime at \"{path}\", named by {named_by}, cannot be loaded: {reason}. Correct or unset {named_by}."
    )]
    RuntimeBroken {
        named_by: &'static str,
        path: PathBuf,
        reason: String,
    },
    #[error(
        "ONNX Runtime at \"{path}\" is version {found}, but at least 1.{needed} is needed. Install a newer one."
    )]
    RuntimeTooOld {
        path: PathBuf,
        found: String,
        needed: u32,
    },
    #[error(
        "ONNX Runtime is already loaded from \"{loaded}\" in this process; \"{wanted}\" cannot be loaded beside it. Use one library, or start a new process."
    )]
    RuntimeOther { loaded: PathBuf, wanted: PathBuf },
    #[error("The execution provider {provider} is not available: {reason}. {install}")]
    ProviderMissing {
        provider: &'static str,
        reason: String,
        install: &'static str,
    },
    #[error(
        "The provider library \"{path}\" cannot be used: {reason}. Set provider-library to a library made for this ONNX Runtime, or runtime-library to another ONNX Runtime."
    )]
    ProviderLibrary { path: PathBuf, reason: String },
    #[error("The execution provider {provider} has no device \"{device}\". {hint}")]
    Device {
        provider: &'static str,
        device: String,
        hint: String,
    },
    #[error(
        "The execution provider {provider} takes no options by name, so \"{key}\" in provider-options cannot be set. Leave provider-options empty."
    )]
    ProviderOption { provider: &'static str, key: String },
    #[error(
        "The execution provider {provider} cannot run in {precision} on this machine. Use precision=auto, or one of: {supported}."
    )]
    Precision {
        provider: &'static str,
        precision: &'static str,
        supported: String,
    },
    #[error(
        "ONNX Runtime cannot run the model: {} Export it again, or use a model made for ONNX Runtime.", sentence(.0)
    )]
    Refused(String),
    #[error(
        "The generator failed on a frame: {} Set execution-provider or precision to another value, or use another model.", sentence(.0)
    )]
    Run(String),
    #[error(
        "There is not enough memory for the generator at this size: {0}. Set inference-height to show it a smaller picture, or put `videoscale` before stylize."
    )]
    OutOfMemory(String),
    #[error("The run was cancelled.")]
    Cancelled,
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
}

impl EngineError {
    /// ONNX Runtime's message on one line.
    pub(super) fn one_line<R>(err: &ort::Error<R>) -> String {
        err.message()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The error for a graph, session or library that cannot be loaded.
    pub(super) fn refused<R>(err: ort::Error<R>) -> Self {
        Self::told(Self::one_line(&err), Self::Refused)
    }

    /// The error for a run that failed.
    pub(super) fn run(err: ort::Error) -> Self {
        Self::told(Self::one_line(&err), Self::Run)
    }

    /// [`Self::OutOfMemory`] if the message says so, else `otherwise`. The text is searched because providers have
    /// no error code for a lack of memory. The text before the words found is names of functions, and is cut off.
    pub(super) fn told(message: String, otherwise: fn(String) -> Self) -> Self {
        const WORDS: [&str; 4] = [
            "failed to allocate",
            "could not allocate",
            "out of memory",
            "bad_alloc",
        ];
        let lower = message.to_ascii_lowercase();
        let place = WORDS.iter().find_map(|words| lower.find(words));
        match place.and_then(|place| message.get(place..)) {
            Some(reason) => Self::OutOfMemory(reason.trim_end_matches('.').into()),
            None => otherwise(message),
        }
    }
}

/// A library's message with a full stop at its end.
fn sentence(message: &str) -> String {
    match message.ends_with(['.', '!', '?']) {
        true => message.into(),
        false => format!("{message}."),
    }
}
