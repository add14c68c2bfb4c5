// SPDX-License-Identifier: MPL-2.0
//! A frame's bytes as a tensor of the type that the graph has for them, in place.

use std::ffi::CString;

use ort::AsPointer;
use ort::memory::MemoryInfo;
use ort::value::{Outlet, Shape, TensorElementType, TensorRef, TensorRefMut};

use crate::engine::error::EngineError;

/// Bytes of a word.
const WORD: usize = size_of::<u32>();

/// An input or output of bytes.
pub(crate) struct BytePort {
    pub name: CString,
    /// Of u32, four bytes in each, in one row; else of u8 in the shape of the picture.
    words: bool,
}

/// A tensor over memory that is borrowed.
pub(crate) enum Bytes<'a> {
    Read(TensorRef<'a, u8>),
    Written(TensorRefMut<'a, u8>),
    Words(TensorRefMut<'a, u32>),
}

impl BytePort {
    /// The input or output of this name, if there is one among these.
    pub fn find(outlets: &[Outlet], name: &str) -> Option<Self> {
        let outlet = outlets.iter().find(|outlet| outlet.name() == name)?;
        Some(Self {
            // Names of our own hold no NUL.
            name: CString::new(name).unwrap_or_default(),
            words: outlet.dtype().tensor_type() == Some(TensorElementType::Uint32),
        })
    }

    /// A tensor to be read.
    pub fn read<'a, const N: usize>(
        &self,
        shape: [usize; N],
        bytes: &'a [u8],
    ) -> Result<Bytes<'a>, EngineError> {
        let tensor = match self.words {
            false => TensorRef::from_array_view((shape, bytes)).map(Bytes::Read),
            // SAFETY: pointer and length are those of the slice, which the result borrows for `'a`; ONNX
            // Runtime does not write inputs, so the cast to mutable is never used as such.
            true => unsafe { words(bytes.as_ptr().cast_mut(), bytes.len()) },
        };
        tensor.map_err(EngineError::run)
    }

    /// A tensor to be written.
    pub fn written<'a, const N: usize>(
        &self,
        shape: [usize; N],
        bytes: &'a mut [u8],
    ) -> Result<Bytes<'a>, EngineError> {
        let tensor = match self.words {
            false => TensorRefMut::from_array_view_mut((shape, bytes)).map(Bytes::Written),
            // SAFETY: pointer and length are those of the slice, which the result borrows mutably for `'a`.
            true => unsafe { words(bytes.as_mut_ptr(), bytes.len()) },
        };
        tensor.map_err(EngineError::run)
    }
}

/// A u32 tensor over these bytes, which need not be aligned: the provider copies them to a device.
///
/// # Safety
/// `bytes` points to `len` bytes that live, and may be used as the tensor is, for `'a`.
unsafe fn words<'a>(bytes: *mut u8, len: usize) -> ort::Result<Bytes<'a>> {
    let shape = Shape::new([(len / WORD) as i64]);
    // SAFETY: the caller vouches for `len` bytes, of which the shape covers no more; alignment does not
    // matter, because ONNX Runtime copies them to a device byte by byte.
    let tensor = unsafe { TensorRefMut::from_raw(MemoryInfo::default(), bytes.cast(), shape) };
    tensor.map(Bytes::Words)
}

impl Bytes<'_> {
    /// For ONNX Runtime.
    pub fn ptr(&self) -> *const ort::sys::OrtValue {
        match self {
            Self::Read(tensor) => tensor.ptr(),
            Self::Written(tensor) => tensor.ptr(),
            Self::Words(tensor) => tensor.ptr(),
        }
    }
}
