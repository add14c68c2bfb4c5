// SPDX-License-Identifier: MPL-2.0
//! Thread pool of a session, with a queue of jobs ordered by deadline.
//!
//! ONNX Runtime and its providers keep memory for each thread that calls Run, and a thread that has just run has
//! warm caches. So the threads belong to the session, not to the elements that share it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use std::{io, mem};

use parking_lot::{Condvar, Mutex};

use crate::engine::provider::choice::Choice;
use crate::engine::provider::kinds::Provider;

/// A job and the id of the lease that queued it.
struct Job {
    owner: u64,
    work: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct State {
    /// Sorted by deadline, then by order of arrival.
    jobs: BTreeMap<(Instant, u64), Job>,
    /// Number of jobs queued so far.
    arrived: u64,
    /// Set when the executor is dropped: threads end once the queue is empty.
    closed: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

/// One thread per concurrent run. The job with the earliest deadline runs first. Dropping the executor waits for
/// all jobs and joins the threads: ONNX Runtime's thread-local destructors must run before static destructors at
/// process exit, else it aborts with "pure virtual method called".
pub(crate) struct Executor {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Executor {
    /// The executor for a session on this provider.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn of(choice: &Choice) -> io::Result<Arc<Self>> {
        // All sessions on WebGPU run one at a time (see `exclusive`), so they share one queue by deadline.
        static WEBGPU: Mutex<Weak<Executor>> = Mutex::new(Weak::new());
        if choice.provider != Provider::WebGpu {
            return Self::new(choice.options.streams).map(Arc::new);
        }
        let mut shared = WEBGPU.lock();
        if let Some(executor) = shared.upgrade() {
            return Ok(executor);
        }
        let executor = Arc::new(Self::new(1)?);
        *shared = Arc::downgrade(&executor);
        Ok(executor)
    }

    /// An executor with this number of threads, at least 1.
    ///
    /// # Errors
    /// If the system does not start all of them.
    pub fn new(threads: usize) -> io::Result<Self> {
        // Dropped on an early return, which ends the threads started so far.
        let mut executor = Self {
            queue: Arc::default(),
            threads: Vec::new(),
        };
        for _ in 0..threads.max(1) {
            let queue = executor.queue.clone();
            let builder = thread::Builder::new().name("stylize:run".into());
            executor.threads.push(builder.spawn(move || work(&queue))?);
        }
        Ok(executor)
    }

    /// Queues a job, which runs unless [`Self::cancel`] drops it first.
    pub fn spawn(&self, owner: u64, deadline: Instant, work: impl FnOnce() + Send + 'static) {
        {
            let mut state = self.queue.state.lock();
            let ticket = state.arrived;
            state.arrived += 1;
            let work = Box::new(work);
            state.jobs.insert((deadline, ticket), Job { owner, work });
        }
        self.queue.changed.notify_one();
    }

    /// Drops the owner's jobs that have not started.
    pub fn cancel(&self, owner: u64) {
        let cancelled: Vec<Job> = {
            let mut state = self.queue.state.lock();
            let all = mem::take(&mut state.jobs);
            let (own, others) = all.into_iter().partition(|(_, job)| job.owner == owner);
            state.jobs = others;
            BTreeMap::into_values(own).collect()
        };
        // Without the lock: dropping a job releases buffers, which calls into their pools.
        drop(cancelled);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.queue.state.lock().closed = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // Panics of jobs are caught in `work`.
            let _ = thread.join();
        }
    }
}

/// Loop of a thread: runs jobs until the queue is closed and empty.
fn work(queue: &Queue) {
    loop {
        let job = {
            let mut state = queue.state.lock();
            loop {
                if let Some((_, job)) = state.jobs.pop_first() {
                    break job;
                }
                if state.closed {
                    return;
                }
                queue.changed.wait(&mut state);
            }
        };
        // A panic drops the job's promise without a result, which is an error for the frame; the panic hook has
        // printed the message.
        let _ = catch_unwind(AssertUnwindSafe(job.work));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Occupies a thread until the returned sender is dropped.
    fn occupy(executor: &Executor) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (started, start) = mpsc::channel();
        executor.spawn(0, Instant::now(), move || {
            let _ = started.send(());
            let _ = released.recv();
        });
        start.recv().expect("it has begun");
        release
    }

    #[test]
    fn the_earliest_deadline_goes_first() {
        let executor = Executor::new(1).expect("a thread");
        let busy = occupy(&executor);
        let (sender, done) = mpsc::channel();
        let start = Instant::now();
        for (name, milliseconds) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
            let sender = sender.clone();
            let deadline = start + Duration::from_millis(milliseconds);
            executor.spawn(1, deadline, move || {
                let _ = sender.send(name);
            });
        }
        drop((busy, sender));
        // Those with the same deadline in the order of arrival.
        assert_eq!(done.iter().collect::<Vec<_>>(), [2, 4, 3, 1]);
    }

    #[test]
    fn as_many_jobs_run_at_once_as_there_are_threads() {
        let executor = Executor::new(2).expect("threads");
        let busy = [0, 1].map(|_| occupy(&executor));
        let (sender, done) = mpsc::channel();
        executor.spawn(1, Instant::now(), move || {
            let _ = sender.send(());
        });
        assert_eq!(done.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(busy);
        assert_eq!(done.recv(), Ok(()));
    }

    #[test]
    fn cancelling_drops_only_the_owners_waiting_jobs() {
        let executor = Executor::new(1).expect("a thread");
        let busy = occupy(&executor);
        let (sender, done) = mpsc::channel();
        let mut held = Vec::new();
        for owner in [1, 2, 1] {
            let sender = sender.clone();
            let buffer = Arc::new(());
            held.push(Arc::downgrade(&buffer));
            executor.spawn(owner, Instant::now(), move || {
                let _buffer = buffer;
                let _ = sender.send(owner);
            });
        }
        executor.cancel(1);
        let alive: Vec<_> = held.iter().map(|held| held.strong_count()).collect();
        assert_eq!(alive, [0, 1, 0], "buffers are back at once");
        drop((busy, sender));
        assert_eq!(done.iter().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn dropping_it_waits_for_jobs_that_were_not_cancelled() {
        let executor = Executor::new(1).expect("a thread");
        let busy = occupy(&executor);
        let (sender, done) = mpsc::channel();
        executor.spawn(1, Instant::now(), move || {
            let _ = sender.send(());
        });
        thread::scope(|scope| {
            scope.spawn(|| drop(executor));
            drop(busy);
        });
        assert_eq!(done.try_recv(), Ok(()));
    }

    #[test]
    fn a_panic_ends_one_job_and_no_thread() {
        let executor = Executor::new(1).expect("a thread");
        executor.spawn(1, Instant::now(), || panic!("on purpose"));
        let (sender, done) = mpsc::channel();
        executor.spawn(1, Instant::now(), move || {
            let _ = sender.send(thread::current().name().map(String::from));
        });
        assert_eq!(done.recv(), Ok(Some("stylize:run".into())));
    }

    #[test]
    fn threads_end_with_the_executor() {
        struct AtEnd(mpsc::Sender<()>);
        impl Drop for AtEnd {
            fn drop(&mut self) {
                thread::sleep(Duration::from_millis(20));
                let _ = self.0.send(());
            }
        }
        thread_local! {
            static KEPT: std::cell::RefCell<Option<AtEnd>> = const { std::cell::RefCell::new(None) };
        }
        let executor = Executor::new(1).expect("a thread");
        let (sender, ended) = mpsc::channel();
        let (kept, keeps) = mpsc::channel();
        executor.spawn(1, Instant::now(), move || {
            KEPT.set(Some(AtEnd(sender)));
            let _ = kept.send(());
        });
        keeps.recv().expect("it has run");
        drop(executor);
        assert_eq!(ended.try_recv(), Ok(()), "what a thread keeps has gone");
    }
}
