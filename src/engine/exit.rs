// SPDX-License-Identifier: MPL-2.0
//! Process exit while sessions load or run. `exit` runs the static destructors of ONNX Runtime and of its
//! providers while other threads go on, so a thread inside a session would use freed memory. An `atexit` handler
//! waits for those threads first. Not covered: exit during the milliseconds in which ONNX Runtime initializes
//! itself, because it registers its own destructors after this handler, and they run before it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard};

/// How long exit waits for threads inside ONNX Runtime. A GPU provider may compile for longer; then the process
/// ends as it would without the handler.
const PATIENCE: Duration = Duration::from_secs(5);

/// The number of ONNX Runtime itself in [`watch`]; providers have their enum's values, which are smaller.
pub(crate) const RUNTIME: u32 = 31;

/// Read-locked by every thread inside ONNX Runtime; write-locked for good when the process ends.
static INSIDE: RwLock<()> = RwLock::new(());

/// Delays process exit for as long as the guard is held. Blocks for ever once the process is ending, so the
/// caller must hold no lock that a thread inside ONNX Runtime waits for.
pub(crate) fn inside() -> RwLockReadGuard<'static, ()> {
    // Recursive: a thread that is inside may enter again while the exit handler waits for the write lock.
    INSIDE.read_recursive()
}

/// Registers the exit handler again after a provider with this number has been loaded: handlers run in reverse
/// order, so this one runs before the destructors of the provider's libraries. Does nothing the second time.
pub(crate) fn watch(provider: u32) {
    static KNOWN: AtomicU32 = AtomicU32::new(0);
    let bit = 1_u32.checked_shl(provider).unwrap_or_default();
    if KNOWN.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return;
    }
    #[cfg(unix)]
    {
        // SAFETY: `atexit` needs a function that exists until the process ends and does not unwind. `ended` is part
        // of this library, which is never unloaded: GStreamer makes plugins resident. It does not panic, and a panic
        // in an `extern "C"` function would abort. If the handler cannot be registered, the process ends as it
        // would without it.
        unsafe { libc::atexit(ended) };
    }
}

/// The exit handler: waits for all threads inside ONNX Runtime and keeps others out.
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
