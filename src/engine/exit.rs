// SPDX-License-Identifier: MPL-2.0
//! The end of the process. `exit` runs the destructors of ONNX Runtime and of its providers while other threads
//! go on; one that is loading or running a session then would be inside of what is gone. What this does not reach
//! is a process that ends in the milliseconds in which ONNX Runtime itself is set up: it registers its own
//! destructors then, which run first.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard};

/// What is inside of ONNX Runtime has so long to come out. What a GPU's provider compiles may take longer, and
/// then the process ends as it would without this.
const PATIENCE: Duration = Duration::from_secs(5);

/// The number of ONNX Runtime itself in [`watch`]; providers have those of their enum.
pub(crate) const RUNTIME: u32 = 31;

/// Held for reading by all who are inside; taken for good when the process ends.
static INSIDE: RwLock<()> = RwLock::new(());

/// Keeps the process from ending for as long as it is held. When the process is ending this does not return, so
/// the caller must hold no lock that others need to come out.
pub(crate) fn inside() -> RwLockReadGuard<'static, ()> {
    // One who is inside may go in once more while the end is waited for.
    INSIDE.read_recursive()
}

/// To be called when a provider has been loaded, by its number: what is registered last runs first, so before
/// the destructors of its libraries. Does nothing for one that is known.
pub(crate) fn watch(provider: u32) {
    static KNOWN: AtomicU32 = AtomicU32::new(0);
    let bit = 1_u32.checked_shl(provider).unwrap_or_default();
    if KNOWN.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return;
    }
    #[cfg(unix)]
    {
        // SAFETY: the handler is a function of this library, which GStreamer never unloads. If it cannot be
        // registered, the process ends as it would without it.
        unsafe { libc::atexit(ended) };
    }
}

#[cfg(unix)]
extern "C" fn ended() {
    static ONCE: AtomicBool = AtomicBool::new(false);
    if ONCE.swap(true, Ordering::Relaxed) {
        return;
    }
    if let Some(guard) = INSIDE.try_write_for(PATIENCE) {
        std::mem::forget(guard);
    }
}
