// SPDX-License-Identifier: MPL-2.0
//! How a session's graph was partitioned among providers.

use std::ffi::{CStr, c_char};
use std::ptr;

use crate::onnx::{Message, ModelProto};
use ort::AsPointer;

use crate::engine::error::EngineError;
use crate::engine::provider::kinds::Provider;

/// Number of nodes per provider, counted after ONNX Runtime's graph optimizations; for WebGPU before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Assignment {
    /// On the provider that was asked for.
    pub provider: usize,
    /// Left to ONNX Runtime's own kernels on the CPU.
    pub cpu: usize,
}

/// Reads how a session's graph, serialized, was divided.
pub(crate) fn read(
    session: &ort::session::Session,
    graph: &[u8],
    provider: Provider,
) -> Result<Assignment, EngineError> {
    let api = ort::api();
    // SAFETY: each status is the return value of one call below, handed over once.
    let check =
        |status| unsafe { ort::Error::result_from_status(status) }.map_err(EngineError::run);
    let (mut parts, mut count) = (ptr::null(), 0);
    // SAFETY: `session` is borrowed, so its pointer is valid; on success the call has written an array that
    // the session owns and its length, which `elements` needs.
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
        // SAFETY: the part is an element of the session's array; on success the call has written a
        // NUL-terminated string and an array with its length, both owned by the session.
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

/// An array of ONNX Runtime's, which may be null where it is empty.
///
/// # Safety
/// `first` points to `count` elements that outlive what is made of them.
unsafe fn elements<'a, T>(first: *const T, count: usize) -> &'a [T] {
    match first.is_null() {
        true => &[],
        // SAFETY: not null, and the caller vouches for `count` elements that live for `'a`.
        false => unsafe { std::slice::from_raw_parts(first, count) },
    }
}
