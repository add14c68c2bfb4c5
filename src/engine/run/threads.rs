// SPDX-License-Identifier: MPL-2.0
//! The threads that run a session.
//!
//! ONNX Runtime keeps thread-local memory for each thread that calls Run, with CUDA tens of MB, so runs are
//! bound to threads that belong to the session; and a thread that has just run is still warm.

use std::io;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use rayon_core::{ThreadPool, ThreadPoolBuilder};

/// As many threads as runs may be at once.
pub(crate) struct Threads {
    /// There until it is dropped.
    pool: Option<ThreadPool>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// So many, at least 1.
    ///
    /// # Errors
    /// The system's, if it gives none.
    pub fn new(count: usize) -> io::Result<Self> {
        let handles = Mutex::default();
        let pool = ThreadPoolBuilder::new()
            .num_threads(count.max(1))
            .spawn_handler(|thread| {
                let builder = thread::Builder::new().name("stylize:run".into());
                let handle = builder.spawn(|| thread.run())?;
                Vec::push(&mut handles.lock(), handle);
                Ok(())
            })
            .build()
            .map_err(io::Error::other)?;
        Ok(Self {
            pool: Some(pool),
            handles: handles.into_inner(),
        })
    }

    /// Does a job on one of them, and waits for it.
    pub fn run<R: Send>(&self, job: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(job),
            None => job(),
        }
    }
}

impl Drop for Threads {
    /// Joins them. ONNX Runtime's thread-local destructors must run before static destructors at process
    /// exit, else it aborts with "pure virtual method called".
    fn drop(&mut self) {
        self.pool = None;
        for handle in self.handles.drain(..) {
            // A panic has come out of `run` already.
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_borrow_and_threads_end_with_the_pool() {
        let threads = Threads::new(1).expect("a thread");
        let mut number = 1;
        let name = threads.run(|| {
            number += 1;
            thread::current().name().map(String::from)
        });
        assert_eq!((number, name.as_deref()), (2, Some("stylize:run")));
        let (sender, ended) = std::sync::mpsc::channel();
        threads.run(|| {
            struct AtEnd(std::sync::mpsc::Sender<()>);
            impl Drop for AtEnd {
                fn drop(&mut self) {
                    thread::sleep(std::time::Duration::from_millis(20));
                    let _ = self.0.send(());
                }
            }
            thread_local! {
                static KEPT: std::cell::RefCell<Option<AtEnd>> = const { std::cell::RefCell::new(None) };
            }
            KEPT.with(|kept| *kept.borrow_mut() = Some(AtEnd(sender)));
        });
        drop(threads);
        assert_eq!(ended.try_recv(), Ok(()), "what a thread keeps has gone");
    }
}
