// SPDX-License-Identifier: MPL-2.0
//! Errors of decoding and encoding models.

use super::limits;
use super::schema::Version;

/// Errors of decoding and encoding models. The text is for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // Each variant's message documents it.
pub enum OnnxError {
    #[error(
        "The model is not an ONNX model, or it is damaged or cut short ({0}). Export or download it again."
    )]
    Damaged(String),
    #[error(
        "The model nests messages deeper than {} levels. Export it again.",
        limits::DEPTH
    )]
    Deep,
    #[error(
        "The model would take more than {} MiB of memory beside its weights, because it has very many small parts. Export it with its weights as raw data.",
        limits::MEMORY >> 20
    )]
    Large,
    #[error(
        "The model has ir_version={version} and uses {field}, which is not supported. Export it with ir_version={} or less.",
        NEWEST
    )]
    Newer { version: i64, field: String },
    #[error(
        "The model has {} MiB with its weights, more than the 2048 MiB that an ONNX file can hold. Convert its weights to float16, or use a smaller generator.",
        .0 >> 20
    )]
    TooLong(u64),
}

/// IR version of the schema.
pub(super) const NEWEST: i64 = Version::IrVersion as i64;
