// SPDX-License-Identifier: MPL-2.0
//! Model files: reads them with their external weights and rejects models that could make ONNX Runtime read other
//! files. No other module reads models from disk.

mod error;
#[cfg(test)]
mod tests;
mod weights;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::ModelError;
use crate::onnx::{self, Bytes, MAX_BYTES, ModelProto, OnnxError, walk};

pub use error::WeightsError;
use weights::{ExternalData, Folder, load};

/// Reads a model file with its external weights; returns it serialized, with all weights inside.
///
/// # Errors
/// [`ModelError`] for files that cannot be read or are not ONNX models.
pub fn whole(path: &Path) -> Result<Vec<u8>, ModelError> {
    Ok(onnx::write(&read(path)?)?)
}

/// Reads a model file with its external weights.
pub(super) fn read(path: &Path) -> Result<ModelProto, ModelError> {
    let bytes = bytes(path)?;
    let mut model = parse(bytes)?;
    let folder = Folder::of(path).map_err(|err| ModelError::Unreadable {
        path: path.into(),
        reason: err.to_string(),
    })?;
    load(&mut model, &folder)?;
    Ok(model)
}

/// Parses a model from memory, which cannot have external weights.
pub(super) fn from_bytes(bytes: Bytes) -> Result<ModelProto, ModelError> {
    let mut model = parse(bytes)?;
    walk::tensors(&mut model, &mut |tensor| match ExternalData::of(tensor)? {
        Some(outside) => Err(WeightsError::Nowhere(outside.location)),
        None => Ok(()),
    })?;
    Ok(model)
}

fn parse(bytes: Bytes) -> Result<ModelProto, ModelError> {
    if bytes.is_empty() {
        return Err(ModelError::Empty);
    }
    let model = onnx::read(bytes)?;
    // An EPContext node holds code compiled for a device, or names a file with such code, which runs unchecked.
    let nodes = walk::nodes(&model);
    match nodes.iter().any(|node| node.op_type == "EPContext") {
        true => Err(ModelError::Compiled),
        false => Ok(model),
    }
}

/// The bytes of a model file.
fn bytes(path: &Path) -> Result<Bytes, ModelError> {
    let unreadable = |reason: &str| ModelError::Unreadable {
        path: path.into(),
        reason: reason.into(),
    };
    let failed = |err: std::io::Error| match err.kind() {
        ErrorKind::NotFound => ModelError::Missing(path.into()),
        _ => unreadable(&err.to_string()),
    };
    let about = std::fs::metadata(path).map_err(failed)?;
    if about.is_dir() {
        return Err(ModelError::Directory(path.into()));
    }
    // Opening a FIFO would wait for a writer.
    if !about.is_file() {
        return Err(unreadable("it is a pipe, a socket or a device, not a file"));
    }
    if about.len() > MAX_BYTES as u64 {
        return Err(OnnxError::TooLong(about.len()).into());
    }
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes.into())
}
