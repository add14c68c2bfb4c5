// SPDX-License-Identifier: MPL-2.0
//! A frame's bytes as a tensor over the same memory, with the element type of the graph's input or output.

use std::ffi::CString;

use ort::AsPointer;
use ort::memory::MemoryInfo;
use ort::value::{Outlet, Shape, TensorElementType, TensorRef, TensorRefMut};

use crate::engine::error::EngineError;

/// Bytes of a u32.
const WORD: usize = size_of::<u32>();

/// An input or output of the graph that holds a frame's bytes.
pub(crate) struct BytePort {
    pub name: CString,
    /// Whether its elements are u32 in one row, each of four bytes; else u8 in the shape of the picture.
    words: bool,
}

/// A tensor over borrowed memory.
pub(crate) enum Bytes<'a> {
    /// An input.
    Read(TensorRef<'a, u8>),
    /// An output.
    Written(TensorRefMut<'a, u8>),
    /// An input or output of u32. Exposes no reference to its elements, only [`Bytes::ptr`].
    Words(TensorRefMut<'a, u32>),
}

impl BytePort {
    /// The input or output with this name among `outlets`.
    pub fn find(outlets: &[Outlet], name: &str) -> Option<Self> {
        let outlet = outlets.iter().find(|outlet| outlet.name() == name)?;
        Some(Self {
            // The compiler's names contain no NUL.
            name: CString::new(name).unwrap_or_default(),
            words: outlet.dtype().tensor_type() == Some(TensorElementType::Uint32),
        })
    }

    /// An input tensor over `bytes`.
    ///
    /// # Errors
    /// [`EngineError::Run`] if the shape does not fit the number of bytes.
    pub fn read<'a, const N: usize>(
        &self,
        shape: [usize; N],
        bytes: &'a [u8],
    ) -> Result<Bytes<'a>, EngineError> {
        let tensor = match self.words {
            false => TensorRef::from_array_view((shape, bytes)).map(Bytes::Read),
            // SAFETY: pointer and length are those of the slice, which the result borrows for `'a`. The cast to
            // mutable is sound because nothing writes through it: `Bytes` exposes no mutable access, the session
            // passes this value to Run as an input, and Run does not write inputs.
            true => unsafe { words(bytes.as_ptr().cast_mut(), bytes.len()) },
        };
        tensor.map_err(EngineError::run)
    }

    /// An output tensor over `bytes`.
    ///
    /// # Errors
    /// [`EngineError::Run`] if the shape does not fit the number of bytes.
    pub fn written<'a, const N: usize>(
        &self,
        shape: [usize; N],
        bytes: &'a mut [u8],
    ) -> Result<Bytes<'a>, EngineError> {
        let tensor = match self.words {
            false => TensorRefMut::from_array_view_mut((shape, bytes)).map(Bytes::Written),
            // SAFETY: pointer and length are those of the slice, which the result borrows mutably for `'a`, so that
            // there is no other reference to its bytes.
            true => unsafe { words(bytes.as_mut_ptr(), bytes.len()) },
        };
        tensor.map_err(EngineError::run)
    }
}

/// A u32 tensor over `len / 4` words of these bytes. They need not be aligned: no `&[u32]` is made of them, and the
/// provider copies them to a device.
///
/// # Safety
/// `bytes` points to `len` initialized bytes that stay valid for reads during `'a`, and for writes if the tensor is
/// used as an output.
unsafe fn words<'a>(bytes: *mut u8, len: usize) -> ort::Result<Bytes<'a>> {
    let shape = Shape::new([(len / WORD) as i64]);
    // SAFETY: the shape covers `len / WORD * WORD <= len` bytes, which the caller keeps valid for `'a`. Every bit
    // pattern is a u32. Only ONNX Runtime accesses the memory: it stores the pointer and copies the bytes to or
    // from a device without an aligned access.
    let tensor = unsafe { TensorRefMut::from_raw(MemoryInfo::default(), bytes.cast(), shape) };
    tensor.map(Bytes::Words)
}

impl Bytes<'_> {
    /// The pointer that ONNX Runtime's C API takes.
    pub fn ptr(&self) -> *const ort::sys::OrtValue {
        match self {
            Self::Read(tensor) => tensor.ptr(),
            Self::Written(tensor) => tensor.ptr(),
            Self::Words(tensor) => tensor.ptr(),
        }
    }
}
