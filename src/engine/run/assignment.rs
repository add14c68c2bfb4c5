// SPDX-License-Identifier: MPL-2.0
//! The partition of a session's graph among providers.

use std::ffi::{CStr, c_char};
use std::ptr;

use crate::onnx::{Message, ModelProto};
use ort::AsPointer;

use crate::engine::error::EngineError;
use crate::engine::provider::kinds::Provider;

/// Number of nodes per provider, counted after ONNX Runtime's graph optimizations; for WebGPU before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Assignment {
    /// Nodes on the requested provider.
    pub provider: usize,
    /// Nodes on ONNX Runtime's CPU provider.
    pub cpu: usize,
}

/// Reads the partition of a session; `graph` is its serialized graph.
///
/// # Errors
/// [`EngineError::Run`] if ONNX Runtime returns an error.
pub(crate) fn read(
    session: &ort::session::Session,
    graph: &[u8],
    provider: Provider,
) -> Result<Assignment, EngineError> {
    let api = ort::api();
    // SAFETY: `result_from_status` takes ownership of a status that the C API returned, null for success. The
    // closure is only called below, with the return value of one API call each.
    let check =
        |status| unsafe { ort::Error::result_from_status(status) }.map_err(EngineError::run);
    let (mut parts, mut count) = (ptr::null(), 0);
    // SAFETY: the pointer is that of a live session, and both results are written to local variables. On success
    // they are an array that the session owns, which is borrowed until the end of this function, and its length;
    // that is the contract of `elements`. On failure `?` returns before they are read.
    let parts = unsafe {
        check((api.Session_GetEpGraphAssignmentInfo)(
            session.ptr(),
            &raw mut parts,
            &raw mut count,
        ))?;
        elements(parts, count)
    };
    let mut assignment = Assignment::default();
    for part in parts {
        let mut name: *const c_char = ptr::null();
        let (mut nodes, mut count) = (ptr::null(), 0);
        // SAFETY: `part` is an element of the session's array, so a valid subgraph, and the results are written to
        // local variables. On success the name is a NUL-terminated string that the session owns and that is
        // copied or borrowed within this iteration only. The nodes' array is not read, only its length.
        let name = unsafe {
            check((api.EpAssignedSubgraph_GetEpName)(*part, &raw mut name))?;
            check((api.EpAssignedSubgraph_GetNodes)(
                *part,
                &raw mut nodes,
                &raw mut count,
            ))?;
            CStr::from_ptr(name).to_string_lossy()
        };
        match name == provider.onnx_name() {
            true => assignment.provider += count,
            false => assignment.cpu += count,
        }
    }
    if provider == Provider::WebGpu {
        // WebGPU asks for a layout transformation, after which ONNX Runtime 1.27 reports only the nodes that
        // it inserted, beside all nodes on the CPU.
        let graph = ModelProto::decode(graph).map_err(|err| EngineError::Run(err.to_string()))?;
        let nodes = graph.graph.map_or(0, |graph| graph.node.len());
        assignment.provider = nodes.saturating_sub(assignment.cpu);
    }
    Ok(assignment)
}

/// A slice of an array of ONNX Runtime's, whose pointer may be null if it is empty.
///
/// # Safety
/// `first` is null, or points to `count` initialized elements that are neither freed nor changed during `'a`.
unsafe fn elements<'a, T>(first: *const T, count: usize) -> &'a [T] {
    match first.is_null() {
        true => &[],
        // SAFETY: not null, so by this function's contract valid for `count` elements during `'a`.
        false => unsafe { std::slice::from_raw_parts(first, count) },
    }
}
