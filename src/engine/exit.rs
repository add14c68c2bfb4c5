// SPDX-License-Identifier: MPL-2.0
//! Process exit while ONNX Runtime is set up, and while sessions load or run. `exit` runs the static destructors
//! of ONNX Runtime and of its providers while other threads go on, so a thread inside would use freed memory. An
//! `atexit` handler waits for those threads first.
//!
//! Handlers run in reverse order of registration, and a library registers a destructor whenever it makes a static
//! object: ONNX Runtime some 250 times, when it is loaded, all through the making of its environment, and in the
//! first session. These run before a handler that was registered earlier. But C++ has the thread-local objects of
//! the thread that calls `exit` destroyed before all static ones. So such an object registers the handler once more,
//! in front of all that is there by then.
//!
//! Not covered: a thread that never had to do with an element calls `exit` while the environment is made.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};

/// How long exit waits for threads inside ONNX Runtime. A GPU provider may compile for longer; then the process
/// ends as it would without the handler.
const PATIENCE: Duration = Duration::from_secs(5);

/// The number of ONNX Runtime itself in [`set_up`]; providers have their enum's values, which are smaller.
pub(crate) const RUNTIME: u32 = 31;

/// Read-locked by every thread inside ONNX Runtime; write-locked for good when the process ends.
static INSIDE: RwLock<()> = RwLock::new(());

/// How long a thread that ends waits for those that set up a library. With a CPU that takes some 100 ms, and on a busy
/// machine sometimes more than half a second.
const SET_UP: Duration = Duration::from_secs(2);

/// How long a set-up waits after the end of a thread, in case that was a call of `exit`, whose handler then has the time
/// to close the door. Handlers of other libraries may come first.
const GRACE: Duration = Duration::from_millis(25);

static SETTING_UP: Mutex<SettingUp> = Mutex::new(SettingUp {
    threads: 0,
    last_end: None,
});
static IS_SET_UP: Condvar = Condvar::new();

struct SettingUp {
    /// How many threads are setting up a library.
    threads: u32,
    /// When a thread that had to do with an element ended, before all was set up.
    last_end: Option<Instant>,
}

/// A bit for each number that has been set up.
static KNOWN: AtomicU32 = AtomicU32::new(0);

fn known(provider: u32) -> bool {
    KNOWN.load(Ordering::SeqCst) & (1 << provider) != 0
}

/// Whether ONNX Runtime and a provider have been set up. What a second provider registers is little.
fn settled() -> bool {
    known(RUNTIME) && KNOWN.load(Ordering::SeqCst).count_ones() > 1
}

/// Delays process exit for as long as the guard is held. Blocks for ever once the process is ending, so the
/// caller must hold no lock that a thread inside ONNX Runtime waits for.
pub(crate) fn inside() -> RwLockReadGuard<'static, ()> {
    // Recursive: a thread that is inside may enter again while the exit handler waits for the write lock.
    INSIDE.read_recursive()
}

/// Lets this thread call `exit` while a library is set up. Called on every thread that has to do with an element,
/// for most often one of these ends the process. Costs nothing the second time.
pub(crate) fn attend() {
    static FIRST: Once = Once::new();
    // So that a process that is ending does not begin to load the library.
    FIRST.call_once(register);
    // Fails where another thread-local destructor uses an element when this one is gone.
    let _ = AT_END.try_with(|_| ());
}

thread_local! {
    static AT_END: AtEnd = const { AtEnd };
    /// `AT_END` of this thread has put the handler in front. Without a destructor, so the handler may read it.
    static IN_FRONT: Cell<bool> = const { Cell::new(false) };
}

struct AtEnd;

impl Drop for AtEnd {
    fn drop(&mut self) {
        IN_FRONT.set(true);
        // Either the thread calls `exit`, or only the thread ends: then it waits and registers the handler for
        // nothing. So that is not done in all the life of a server but while it may be needed, and not for long.
        let mut setting_up = SETTING_UP.lock();
        if setting_up.threads > 0 || !settled() {
            // Else ONNX Runtime may get something in between this registration and the call of the handler.
            IS_SET_UP.wait_while_for(&mut setting_up, |now| now.threads > 0, SET_UP);
            // After the wait: a provider's set-up follows that of ONNX Runtime.
            setting_up.last_end = Some(Instant::now());
            drop(setting_up);
            register();
        }
    }
}

/// Does what may load libraries for the provider of this number, and keeps the exit handler in front of their
/// destructors. After the first time that succeeds for a provider it is the work alone.
pub(crate) fn set_up<T, E>(provider: u32, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    if known(provider) {
        return work();
    }
    struct Busy;
    impl Drop for Busy {
        fn drop(&mut self) {
            register();
            SETTING_UP.lock().threads -= 1;
            IS_SET_UP.notify_all();
        }
    }
    // A thread that ends after this waits for the set-up; for one that ended before, the set-up waits.
    let last_end = {
        let mut setting_up = SETTING_UP.lock();
        setting_up.threads += 1;
        setting_up.last_end
    };
    if let Some(rest) = last_end.and_then(|end| GRACE.checked_sub(end.elapsed())) {
        std::thread::sleep(rest);
    }
    let _inside = inside();
    let _busy = Busy;
    let done = work();
    if done.is_ok() {
        KNOWN.fetch_or(1 << provider, Ordering::SeqCst);
    }
    done
}

/// Puts the exit handler in front of all that is registered.
fn register() {
    #[cfg(unix)]
    {
        // SAFETY: the handler is a function of this library, which GStreamer never unloads, and it may run on any
        // thread. If it cannot be registered, the process ends as it would without it.
        unsafe { libc::atexit(ended) };
    }
}

#[cfg(unix)]
extern "C" fn ended() {
    static ONCE: AtomicBool = AtomicBool::new(false);
    // The environment is being made, and destructors of what it is made of have run before this: to wait would give
    // the thread inside the time to use them.
    if !IN_FRONT.get() && !known(RUNTIME) && SETTING_UP.lock().threads > 0 {
        return;
    }
    if ONCE.swap(true, Ordering::Relaxed) {
        return;
    }
    if let Some(guard) = INSIDE.try_write_for(PATIENCE) {
        std::mem::forget(guard);
    }
}
