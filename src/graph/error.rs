// SPDX-License-Identifier: MPL-2.0
//! Errors of the graph compiler.

use crate::model::ModelError;

/// Errors of the graph compiler. The text is for the user.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // Each variant's message documents it.
pub enum GraphError {
    #[error(
        "The model cannot be converted to 16-bit floats, because of its operator {0}. Set precision=fp32."
    )]
    Half(String),
    #[error(transparent)]
    Model(#[from] ModelError),
}
