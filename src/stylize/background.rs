// SPDX-License-Identifier: MPL-2.0
//! Background threads of an element: loading, compiling and decoding without blocking the streaming thread.
//! The element joins all of them when it stops.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::report::Error;
use crate::engine::{EngineError, LoadCanceller};

#[derive(Default)]
struct State {
    /// Threads of dropped [`Background`]s that may still run; joined by [`BackgroundThreads::join`].
    left: Vec<JoinHandle<()>>,
    /// Set while flushing: [`Background::wait`] returns at once.
    interrupted: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The background threads of one element; clones share them.
#[derive(Clone, Default)]
pub(crate) struct BackgroundThreads(Arc<Shared>);

impl BackgroundThreads {
    /// Runs `work` on a new thread with this name.
    ///
    /// # Errors
    /// [`Error::Threads`] if the system starts no thread.
    pub fn start<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<Background<T>, Error> {
        let slot = Arc::new(Mutex::new(None));
        let canceller = LoadCanceller::default();
        let guard = ResultGuard {
            slot: slot.clone(),
            threads: self.clone(),
            result: None,
        };
        let run = {
            let canceller = canceller.clone();
            move || {
                let mut guard = guard;
                guard.result = Some(canceller.run(work));
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        Ok(Background {
            slot,
            canceller,
            thread: Some(thread.map_err(|err| Error::Threads(err.to_string()))?),
            threads: self.clone(),
        })
    }

    /// Drops a value whose destructor is slow, such as a session, on a background thread.
    pub fn dispose<T: Send + 'static>(&self, value: T) {
        let dropped = self.start("stylize-dispose", move || {
            drop(value);
            Ok(())
        });
        // If no thread could be started, `start` has dropped the value on this one.
        drop(dropped);
    }

    /// Makes every [`Background::wait`] return [`EngineError::Cancelled`], until [`Self::resume`].
    pub fn interrupt(&self) {
        self.0.state.lock().interrupted = true;
        self.0.changed.notify_all();
    }

    /// Ends [`Self::interrupt`].
    pub fn resume(&self) {
        self.0.state.lock().interrupted = false;
    }

    /// Joins the threads of all [`Background`]s that have been dropped.
    pub fn join(&self) {
        // Joined outside the lock, which the threads take when they end.
        let next = || self.0.state.lock().left.pop();
        while let Some(thread) = next() {
            // A panic was already reported through the result (`ResultGuard`).
            let _ = thread.join();
        }
    }
}

/// Stores the result of the work when dropped; an error if the work panicked before it returned one.
struct ResultGuard<T> {
    slot: Arc<Mutex<Option<Result<T, Error>>>>,
    threads: BackgroundThreads,
    result: Option<Result<T, Error>>,
}

impl<T> Drop for ResultGuard<T> {
    fn drop(&mut self) {
        let result = self.result.take();
        let ended = || Err(Error::Panicked);
        {
            // Stored under the lock: a waiter between its check and its wait would miss the notification.
            let _state = self.threads.0.state.lock();
            *self.slot.lock() = Some(result.unwrap_or_else(ended));
        }
        self.threads.0.changed.notify_all();
    }
}

/// Handle on work in the background. Dropping it cancels the work without waiting for its thread.
pub(crate) struct Background<T> {
    slot: Arc<Mutex<Option<Result<T, Error>>>>,
    canceller: LoadCanceller,
    thread: Option<JoinHandle<()>>,
    threads: BackgroundThreads,
}

impl<T> Background<T> {
    /// Takes the result; `None` while the work is in progress, and after the result was taken.
    pub fn poll(&self) -> Option<Result<T, Error>> {
        self.slot.lock().take()
    }

    /// Waits for the result and takes it.
    ///
    /// # Errors
    /// That of the work; [`EngineError::Cancelled`] when interrupted, in which case the work continues.
    pub fn wait(&self) -> Result<T, Error> {
        let mut state = self.threads.0.state.lock();
        loop {
            if let Some(result) = self.slot.lock().take() {
                return result;
            }
            if state.interrupted {
                return Err(Error::Engine(EngineError::Cancelled));
            }
            self.threads.0.changed.wait(&mut state);
        }
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        self.canceller.cancel();
        if let Some(thread) = self.thread.take() {
            let mut state = self.threads.0.state.lock();
            state.left.retain(|thread| !thread.is_finished());
            state.left.push(thread);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn an_interrupted_wait_leaves_the_work_to_go_on() {
        let threads = BackgroundThreads::default();
        let (go, told) = mpsc::channel();
        let work = threads.start("test", move || Ok(told.recv().unwrap_or(0)));
        let work = work.expect("a thread");
        threads.interrupt();
        let interrupted = work.wait();
        assert!(
            matches!(interrupted, Err(Error::Engine(EngineError::Cancelled))),
            "{interrupted:?}"
        );
        threads.resume();
        assert!(work.poll().is_none());
        go.send(7).expect("it goes on");
        assert_eq!(work.wait().expect("the result"), 7);
    }

    #[test]
    fn dropped_work_is_cancelled_and_joined() {
        struct AtEnd(mpsc::Sender<()>);
        impl Drop for AtEnd {
            fn drop(&mut self) {
                std::thread::sleep(std::time::Duration::from_millis(20));
                let _ = self.0.send(());
            }
        }
        let threads = BackgroundThreads::default();
        let (sender, ended) = mpsc::channel();
        let (go, told) = mpsc::channel::<()>();
        let work = threads.start("test", move || {
            let _kept = AtEnd(sender);
            // Until the other end is gone.
            let _ = told.recv();
            Ok(())
        });
        drop(work);
        assert!(ended.try_recv().is_err(), "dropping waits for nothing");
        drop(go);
        threads.join();
        assert_eq!(ended.try_recv(), Ok(()), "joined");
    }

    #[test]
    fn a_panic_is_an_error() {
        let threads = BackgroundThreads::default();
        let work = threads.start::<()>("test", || panic!("on purpose"));
        assert!(work.expect("a thread").wait().is_err());
        threads.join();
    }
}
