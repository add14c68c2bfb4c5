// SPDX-License-Identifier: MPL-2.0
//! Why bytes are not read as a model.

use super::limits;
use super::schema::Version;

/// Why bytes are not read as a model, or a model not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // Each variant's message documents it.
pub enum OnnxError {
    #[error(
        "The model is not an ONNX model, or it is damaged or cut short ({0}). Export or download it again."
    )]
    Damaged(String),
    #[error(
        "The model nests messages deeper than {} levels, which no exporter does. Get it from somewhere else.",
        limits::DEPTH
    )]
    Deep,
    #[error(
        "The model would take more than {} MiB of memory beside its weights, by very many small parts. Export it with its weights as raw data.",
        limits::MEMORY >> 20
    )]
    Large,
    #[error(
        "The model is in version {version} of ONNX's format and uses {field}, which this software does not know. Export it with ir_version={} or less.",
        NEWEST
    )]
    Newer { version: i64, field: String },
    #[error(
        "The model has {} MiB with its weights, and ONNX's format ends at 2048. Convert its weights to float16, or take a smaller generator.",
        .0 >> 20
    )]
    TooLong(u64),
}

/// Newest version of the format that the schema has.
pub(super) const NEWEST: i64 = Version::IrVersion as i64;
