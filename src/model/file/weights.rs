// SPDX-License-Identifier: MPL-2.0
//! External weights (ONNX's external data).
//!
//! Any tensor of a model may refer to another file. ONNX Runtime would open any path, so references are resolved here:
//! only to files in the model's folder. The model that is passed on holds all weights and refers to no file.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::error::WeightsError;
use crate::model::ModelError;
use crate::onnx::tensor_proto::{DataLocation, DataType};
use crate::onnx::{Bytes, MAX_BYTES, ModelProto, OnnxError, TensorProto, walk};

/// Folders in which external weights may be.
pub(super) struct Folder {
    /// Folder of the path that the user gave.
    given: PathBuf,
    /// Folder of the file to which that path links, as in Hugging Face's cache.
    real: PathBuf,
}

impl Folder {
    /// The folders of a model file.
    ///
    /// # Errors
    /// If the path cannot be resolved.
    pub(super) fn of(model: &Path) -> std::io::Result<Self> {
        let folder = |path: &Path| match path.parent() {
            Some(parent) if parent != Path::new("") => parent.canonicalize(),
            _ => Path::new(".").canonicalize(),
        };
        Ok(Self {
            given: folder(model)?,
            real: folder(&model.canonicalize()?)?,
        })
    }

    /// The path of a tensor's external file.
    ///
    /// # Errors
    /// [`WeightsError::Outside`] for paths outside of the folders, also through links, and for missing files.
    fn file(&self, outside: &ExternalData) -> Result<PathBuf, WeightsError> {
        let forbidden = || WeightsError::Outside {
            tensor: outside.tensor.clone(),
            location: outside.location.clone(),
        };
        let path = Path::new(&outside.location);
        let plain = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
        if outside.location.is_empty() || !path.components().all(plain) {
            return Err(forbidden());
        }
        let path = self.given.join(path);
        let real = path.canonicalize().map_err(|err| match err.kind() {
            ErrorKind::NotFound => WeightsError::Missing(path.clone()),
            _ => WeightsError::Unreadable {
                path: path.clone(),
                reason: err.to_string(),
            },
        })?;
        match real.starts_with(&self.given) || real.starts_with(&self.real) {
            true => Ok(real),
            false => Err(forbidden()),
        }
    }
}

/// A tensor's reference to external data.
pub(super) struct ExternalData {
    tensor: String,
    /// Path relative to the model.
    pub location: String,
    /// Bytes.
    offset: u64,
    /// Bytes, by the tensor's shape and type.
    len: u64,
}

impl ExternalData {
    /// Removes the reference from a tensor; `None` if its data are in the model.
    ///
    /// # Errors
    /// For a reference that cannot be parsed, or whose length differs from the tensor's.
    pub(super) fn of(tensor: &mut TensorProto) -> Result<Option<Self>, WeightsError> {
        let entries = std::mem::take(&mut tensor.external_data);
        if std::mem::take(&mut tensor.data_location) != DataLocation::External as i32 {
            return Ok(None);
        }
        let name = match tensor.name.as_str() {
            "" => "of a node",
            name => name,
        };
        let entry = |key: &str| entries.iter().find(|entry| entry.key == key);
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(entry) => entry
                .value
                .parse()
                .map(Some)
                .map_err(|_| WeightsError::Entry {
                    tensor: name.into(),
                    key: key.into(),
                    value: entry.value.clone(),
                }),
        };
        let said = number("length")?;
        let needs = len(tensor);
        let said = said.or(needs);
        let (Some(len), true) = (said, said == needs) else {
            let number = |len: Option<u64>| len.map_or("unknown".into(), |len| len.to_string());
            return Err(WeightsError::Size {
                tensor: name.into(),
                said: number(said),
                needs: number(needs),
            });
        };
        Ok(Some(Self {
            tensor: name.into(),
            location: entry("location")
                .map(|entry| entry.value.clone())
                .unwrap_or_default(),
            offset: number("offset")?.unwrap_or(0),
            len,
        }))
    }
}

/// Size of a tensor's data, bytes; `None` for types without a fixed size and for sizes that overflow.
fn len(tensor: &TensorProto) -> Option<u64> {
    use DataType as T;
    let bits = match T::try_from(tensor.data_type).ok()? {
        T::Uint2 | T::Int2 => 2,
        T::Uint4 | T::Int4 | T::Float4e2m1 => 4,
        T::Uint8 | T::Int8 | T::Bool => 8,
        T::Float8e4m3fn | T::Float8e4m3fnuz | T::Float8e5m2 | T::Float8e5m2fnuz => 8,
        T::Float8e8m0 => 8,
        T::Uint16 | T::Int16 | T::Float16 | T::Bfloat16 => 16,
        T::Float | T::Int32 | T::Uint32 => 32,
        T::Double | T::Int64 | T::Uint64 | T::Complex64 => 64,
        T::Complex128 => 128,
        T::Undefined | T::String | T::Float6e2m3 | T::Float6e3m2 => return None,
    };
    let mut dims = tensor.dims.iter();
    let count = dims.try_fold(1_u64, |count, dim| {
        count.checked_mul(u64::try_from(*dim).ok()?)
    })?;
    Some(count.checked_mul(bits)?.div_ceil(8))
}

/// Loads the model's external weights into it.
///
/// # Errors
/// [`ModelError::Weights`], and [`OnnxError::TooLong`] if model and weights together are too large.
pub(super) fn load(model: &mut ModelProto, folder: &Folder) -> Result<(), ModelError> {
    // In the order in which `walk::tensors` visits the tensors.
    let mut parts = Vec::new();
    walk::tensors(model, &mut |tensor| {
        let outside = ExternalData::of(tensor)?;
        let found = outside.map(|outside| Ok((folder.file(&outside)?, outside)));
        parts.push(found.transpose()?);
        Ok::<_, WeightsError>(())
    })?;
    let wanted = || parts.iter().flatten();
    // Several tensors may share bytes of a file, but each is serialized separately.
    let total = wanted().fold(0_u64, |sum, (_, outside)| sum.saturating_add(outside.len));
    if total > MAX_BYTES as u64 {
        return Err(OnnxError::TooLong(total).into());
    }
    let mut files: Vec<(&Path, Range)> = Vec::new();
    for (path, outside) in wanted() {
        let file = match files.iter().position(|(known, _)| known == path) {
            Some(known) => &mut files[known].1,
            None => {
                files.push((path, Range::open(path)?));
                let last = files.len() - 1;
                &mut files[last].1
            }
        };
        file.include(path, outside)?;
    }
    let whole = files
        .iter()
        .fold(0_u64, |sum, (_, range)| sum.saturating_add(range.len()));
    if whole > MAX_BYTES as u64 {
        return Err(OnnxError::TooLong(whole).into());
    }
    let mut read = Vec::new();
    for (path, range) in files {
        let start = range.start;
        read.push((path.to_path_buf(), start, range.read(path)?));
    }
    let mut parts = parts.iter();
    walk::tensors(model, &mut |tensor| {
        if let Some((path, outside)) = parts.next().and_then(Option::as_ref)
            && let Some((_, start, bytes)) = read.iter().find(|(known, ..)| known == path)
        {
            let from = (outside.offset - start) as usize;
            tensor.raw_data = bytes.slice(from..from + outside.len as usize);
        }
        Ok::<_, ModelError>(())
    })
}

/// The part of a file that is needed, in bytes.
struct Range {
    file: File,
    /// Size of the file.
    has: u64,
    start: u64,
    end: u64,
}

impl Range {
    fn open(path: &Path) -> Result<Self, WeightsError> {
        let failed = |err: std::io::Error| unreadable(path, &err.to_string());
        // Opening a FIFO would wait for a writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(unreadable(path, "it is not a file"));
        }
        let file = File::open(path).map_err(failed)?;
        let has = file.metadata().map_err(failed)?.len();
        Ok(Self {
            file,
            has,
            start: u64::MAX,
            end: 0,
        })
    }

    fn include(&mut self, path: &Path, outside: &ExternalData) -> Result<(), WeightsError> {
        let (offset, len) = (outside.offset, outside.len);
        match offset.checked_add(len).filter(|end| *end <= self.has) {
            Some(end) => {
                self.start = self.start.min(offset);
                self.end = self.end.max(end);
                Ok(())
            }
            None => Err(WeightsError::Short {
                tensor: outside.tensor.clone(),
                path: path.into(),
                offset,
                len,
                has: self.has,
            }),
        }
    }

    fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    fn read(mut self, path: &Path) -> Result<Bytes, WeightsError> {
        let failed = |err: std::io::Error| unreadable(path, &err.to_string());
        self.file
            .seek(SeekFrom::Start(self.start))
            .map_err(failed)?;
        let (len, mut bytes) = (self.len(), Vec::new());
        let mut file = self.file.take(len);
        file.read_to_end(&mut bytes).map_err(failed)?;
        match bytes.len() as u64 == len {
            true => Ok(bytes.into()),
            false => Err(unreadable(path, "it was truncated while it was read")),
        }
    }
}

fn unreadable(path: &Path, reason: &str) -> WeightsError {
    WeightsError::Unreadable {
        path: path.into(),
        reason: reason.into(),
    }
}
