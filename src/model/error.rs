// SPDX-License-Identifier: MPL-2.0
//! Errors of model files.

use std::path::PathBuf;

use super::conventions::MAX_SIDE;
use super::file::WeightsError;
use crate::onnx::OnnxError;

/// Reasons why a file is not a generator that the plugin can run. The text is for the user: what is wrong, with which
/// value, and what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // Each variant's message documents it.
pub enum ModelError {
    #[error("The model file \"{0}\" does not exist. Check the path in model-file.")]
    Missing(PathBuf),
    #[error(
        "\"{0}\" is a directory, not a model file. Set model-file to the .onnx file inside it."
    )]
    Directory(PathBuf),
    #[error("The model file \"{path}\" cannot be read: {reason}. Check its permissions.")]
    Unreadable { path: PathBuf, reason: String },
    #[error("The model is empty (0 bytes). Export or download it again.")]
    Empty,
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    #[error(
        "The model uses operator set {0}, which is too old. Export it with operator set 7 or newer."
    )]
    OldOpset(i64),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(
        "The model holds code that was compiled for one device (EPContext). Export the generator itself."
    )]
    Compiled,
    #[error("The model needs exactly one image input, but has {}. Beside it a generator may have one style input (float32 of a fixed length) and noise (ONNX metadata stylize.noise).", list(.inputs, .outputs))]
    Inputs {
        inputs: Vec<String>,
        outputs: Vec<String>,
    },
    #[error("The model's input {input} is not an image of shape [1, 3, H, W] or [1, H, W, 3]; the model has {}.", list(.inputs, .outputs))]
    InputShape {
        input: String,
        inputs: Vec<String>,
        outputs: Vec<String>,
    },
    #[error(
        "The model's input {input} is {width}x{height} pixels, more than the maximum of {most}x{most}. Export the model with a smaller size or with dynamic axes.",
        most = MAX_SIDE
    )]
    InputSize {
        input: String,
        width: i64,
        height: i64,
    },
    #[error("The model has no image output of shape [1, 3, H, W] or [1, H, W, 3]; it has {}. Set model-file to an image-to-image generator.", list(.inputs, .outputs))]
    NoImageOutput {
        inputs: Vec<String>,
        outputs: Vec<String>,
    },
    #[error(
        "The model's tensor {tensor} has element type {element}, which is not supported. Export it as float32, float16 or uint8."
    )]
    Element { tensor: String, element: String },
    #[error("{origin}: {key}={value} is not understood. {hint}")]
    Description {
        origin: String,
        key: String,
        value: String,
        hint: String,
    },
    #[error(
        "The model's output is {output_width}x{output_height} pixels for an input of {input_width}x{input_height}, but a generator must keep the size. If the model needs sizes that are multiples of a number, write that as size-multiple in the section [stylize] of its .modelinfo file."
    )]
    SizeChanges {
        input_width: usize,
        input_height: usize,
        output_width: usize,
        output_height: usize,
    },
}

/// "inputs: a [1, 3, 8, 8], b [26]; outputs: c [1, 3, 8, 8]", for error messages.
fn list(inputs: &[String], outputs: &[String]) -> String {
    let joined = |names: &[String]| {
        if names.is_empty() {
            "none".to_string()
        } else {
            names.join(", ")
        }
    };
    format!("inputs: {}; outputs: {}", joined(inputs), joined(outputs))
}
