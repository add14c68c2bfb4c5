// SPDX-License-Identifier: MPL-2.0
//! Providers that are not safe to use from two threads at once.

use parking_lot::{Mutex, MutexGuard};

use super::kinds::Provider;

/// Lock to hold while a provider that is not thread-safe loads or runs anything; `None` for the others.
///
/// All sessions of ONNX Runtime's WebGPU provider encode their commands on one device, without a lock (seen
/// in 1.27: "Command encoding already finished").
pub(crate) fn exclusive(provider: Provider) -> Option<MutexGuard<'static, ()>> {
    static WEBGPU: Mutex<()> = Mutex::new(());
    match provider {
        Provider::WebGpu => Some(WEBGPU.lock()),
        _ => None,
    }
}
