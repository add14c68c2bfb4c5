// SPDX-License-Identifier: MPL-2.0
//! Errors of external weights.

use std::path::PathBuf;

/// Reasons why external weights are not read. The text is for the user.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // Each variant's message documents it.
pub enum WeightsError {
    #[error(
        "The model keeps weights in a separate file, \"{0}\", and did not come from a file itself. Save it as a single .onnx file."
    )]
    Nowhere(String),
    #[error(
        "The model's tensor {tensor} refers to the file \"{location}\", which is not in the model's folder. Put the file beside the model, or save the model as a single .onnx file."
    )]
    Outside { tensor: String, location: String },
    #[error(
        "The model keeps its weights in \"{0}\", which does not exist. Put that file beside the model, or save the model as a single .onnx file."
    )]
    Missing(PathBuf),
    #[error(
        "The model's weights in \"{path}\" cannot be read: {reason}. Check that it is a file, and its permissions."
    )]
    Unreadable { path: PathBuf, reason: String },
    #[error(
        "The model's tensor {tensor} refers to {len} bytes at offset {offset} of \"{path}\", which has {has} bytes. Export or download both files again."
    )]
    Short {
        tensor: String,
        path: PathBuf,
        offset: u64,
        len: u64,
        has: u64,
    },
    #[error(
        "The model's tensor {tensor} refers to {said} bytes in a separate file, but its shape and type need {needs}. Export or download the model again."
    )]
    Size {
        tensor: String,
        said: String,
        needs: String,
    },
    #[error(
        "The model's tensor {tensor} refers to a separate file with {key}={value}, which is not a number. Export or download the model again."
    )]
    Entry {
        tensor: String,
        key: String,
        value: String,
    },
}
