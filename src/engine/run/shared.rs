// SPDX-License-Identifier: MPL-2.0
//! Sessions shared by elements.
//!
//! Elements with the same graph, provider and options share one session with its weights, memory and threads.
//! Their frames run one after another, so that they do not compete for cores and caches. Each element has a
//! [`Lease`] with its own cancellation, state tensors and noise.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak, mpsc};
use std::time::{Duration, Instant};

use ort::session::RunOptions;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::assignment::Assignment;
use super::executor::Executor;
use super::memory::StateMemory;
use super::session::{Blueprint, Controls, Noise, Rows, Session, Source};
use crate::engine::error::EngineError;
use crate::engine::provider::choice::Choice;
use crate::engine::provider::exclusive::exclusive;
use crate::engine::runtime::Runtime;

/// Maximum number of runs for one frame, each with its own state tensors.
const LAYERS: usize = 2;

/// Key of a shared session: SHA-256 of the compiled graph, and the configuration.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    graph: [u8; 32],
    choice: Choice,
}

/// A session and the threads that run it. The executor is declared first: its threads are joined before the
/// session is dropped.
struct Loaded {
    executor: Arc<Executor>,
    session: Arc<Session>,
}

/// A session while a lease holds it; locked while it is loaded, so that it is loaded once.
type SharedSlot = Arc<Mutex<Weak<Loaded>>>;

static SESSIONS: LazyLock<Mutex<HashMap<Key, SharedSlot>>> = LazyLock::new(Mutex::default);

/// An element's reference to a shared session; clones are the same lease. Up to
/// [`Options::streams`](super::Options::streams) frames run at once; the others wait in the order of their deadlines.
#[derive(Clone)]
pub struct Lease(Arc<Hold>);

struct Hold {
    loaded: Arc<Loaded>,
    own: Arc<Own>,
    token: CurrentToken,
}

/// State of one lease. Holds the session but not its executor, so that the executor's threads can drop it: a thread
/// that dropped its executor would join itself.
struct Own {
    /// Declared first: state tensors must be dropped before the session that allocated them.
    memories: [Mutex<StateMemory>; LAYERS],
    session: Arc<Session>,
    noise: Mutex<Noise>,
    id: u64,
}

/// The token with which new runs are started.
type CurrentToken = Arc<Mutex<Arc<Token>>>;

/// Cancels all runs that were started with it. A cancelled token is replaced, never reset: a run that it cancels
/// may still be in progress after the flush and must stay cancelled.
struct Token {
    options: RunOptions,
    cancelled: AtomicBool,
}

impl Token {
    fn new() -> Result<Arc<Self>, EngineError> {
        Ok(Arc::new(Self {
            options: RunOptions::new().map_err(EngineError::refused)?,
            cancelled: AtomicBool::new(false),
        }))
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

impl Lease {
    /// A lease on the session of a compiled graph, which is loaded unless another lease holds it.
    ///
    /// # Errors
    /// Those of [`Session::new`]; [`EngineError::Run`] if no thread can be started.
    pub fn new(
        runtime: &Runtime,
        graph: &[u8],
        choice: &Choice,
        blueprint: &Blueprint,
    ) -> Result<Self, EngineError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let key = Key {
            graph: Sha256::digest(graph).into(),
            choice: choice.clone(),
        };
        let slot = {
            let mut sessions = SESSIONS.lock();
            // A slot that another thread holds a reference to is about to be filled.
            sessions.retain(|_, slot| {
                Arc::strong_count(slot) > 1
                    || slot.try_lock().is_none_or(|held| held.strong_count() > 0)
            });
            sessions.entry(key).or_default().clone()
        };
        let mut slot = slot.lock();
        let loaded = match slot.upgrade() {
            Some(loaded) => loaded,
            None => Arc::new(Loaded {
                session: Arc::new(Session::new(runtime, graph, choice, blueprint)?),
                executor: Executor::of(choice).map_err(|err| {
                    EngineError::Run(format!("no thread could be started: {err}"))
                })?,
            }),
        };
        *slot = Arc::downgrade(&loaded);
        Ok(Self(Arc::new(Hold {
            own: Arc::new(Own {
                memories: Default::default(),
                session: loaded.session.clone(),
                noise: Mutex::default(),
                id: NEXT.fetch_add(1, Ordering::Relaxed),
            }),
            loaded,
            token: Arc::new(Mutex::new(Token::new()?)),
        })))
    }

    /// The partition of the graph among providers.
    pub fn assignment(&self) -> Assignment {
        self.0.loaded.session.assignment
    }

    /// Runs the graph once on a frame of zeros, to verify that the provider can run it.
    ///
    /// # Errors
    /// Those of [`Runner::run`].
    pub fn try_run(&self, frame: Rows, out: Rows) -> Result<(), EngineError> {
        let runner = self.runner();
        let (sender, result) = mpsc::channel();
        self.spawn(Instant::now(), move || {
            // Fails only if the receiver has been dropped.
            let _ = sender.send(runner.try_run(frame, out));
        });
        let lost = |_| EngineError::Run("its thread ended".into());
        result.recv().map_err(lost)?
    }

    /// Whether the graph takes a mask.
    pub fn masks(&self) -> bool {
        self.0.loaded.session.mask_len() > 0
    }

    /// A handle that cancels the runs of this lease.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            token: self.0.token.clone(),
            id: self.0.own.id,
            loaded: Arc::downgrade(&self.0.loaded),
        }
    }

    /// A handle that runs the graph until this lease's present runs are cancelled; for use on a session thread.
    pub fn runner(&self) -> Runner {
        Runner {
            own: self.0.own.clone(),
            token: self.0.token.lock().clone(),
        }
    }

    /// Queues `job` on the session's threads by its deadline. It is dropped instead if the lease is cancelled
    /// before it starts.
    pub fn spawn(&self, deadline: Instant, job: impl FnOnce() + Send + 'static) {
        let id = self.0.own.id;
        self.0.loaded.executor.spawn(id, deadline, job);
    }
}

/// Runs the graph for one frame.
#[derive(Clone)]
pub struct Runner {
    own: Arc<Own>,
    token: Arc<Token>,
}

impl Runner {
    /// Id of the lease, unique in the process.
    pub fn id(&self) -> u64 {
        self.own.id
    }

    /// Whether the graph has state tensors, so that frames must run one after another.
    pub fn remembers(&self) -> bool {
        self.own.session.remembers()
    }

    /// Runs the graph once. Reads `source` and writes `out` in place, without a copy if the provider works in host
    /// memory. Returns the time of the run.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] after [`Canceller::cancel`], else those of [`Session::run`]. `out` may then hold
    /// part of a picture.
    pub fn run(
        &self,
        source: Source,
        controls: Controls,
        out: (&mut [u8], Rows),
    ) -> Result<Duration, EngineError> {
        let session = &self.own.session;
        let numbers = session.numbers(&self.own.noise, controls.seed)?;
        let _alone = exclusive(session.provider());
        if self.token.cancelled() {
            return Err(EngineError::Cancelled);
        }
        // Locked only for graphs with state tensors, because the others may run concurrently.
        let mut held;
        let mut none = StateMemory::default();
        let memory = match session.remembers() {
            true => {
                held = self.own.memories[controls.layer.min(LAYERS - 1)].lock();
                &mut *held
            }
            false => &mut none,
        };
        let begin = Instant::now();
        let options = &self.token.options;
        let result = session.run(options, source, controls, &numbers, memory, out);
        // Checked again because a provider may ignore the terminate flag, and a frame may take a second run.
        match self.token.cancelled() {
            true => Err(EngineError::Cancelled),
            false => result.map(|()| begin.elapsed()),
        }
    }

    fn try_run(&self, frame: Rows, out: Rows) -> Result<(), EngineError> {
        let style = vec![0.0; self.own.session.style_len()];
        let mask = vec![0; self.own.session.mask_len()];
        let controls = Controls {
            strength: 1.0,
            split: 0,
            seed: 0,
            style: &style,
            mask: &mask,
            stability: 0.0,
            layer: 0,
        };
        let source = vec![0; frame.rows * frame.stride];
        let mut target = vec![0; out.rows * out.stride];
        let source = Source {
            frame: &source,
            under: &source,
            rows: frame,
        };
        self.run(source, controls, (&mut target, out))?;
        self.own.memories[0].lock().valid = false;
        Ok(())
    }
}

/// Cancels the runs of a lease from another thread. Does not keep the session alive.
#[derive(Clone)]
pub struct Canceller {
    token: CurrentToken,
    id: u64,
    loaded: Weak<Loaded>,
}

impl Canceller {
    /// Ends the runs in progress as soon as the provider allows, drops queued jobs, and refuses later runs until
    /// [`Self::reset`].
    pub fn cancel(&self) {
        let token = self.token.lock().clone();
        token.cancelled.store(true, Ordering::SeqCst);
        // Fails only on a null handle.
        let _ = token.options.terminate();
        if let Some(loaded) = self.loaded.upgrade() {
            loaded.executor.cancel(self.id);
        }
    }

    /// Number of leases on the session, including this one; 0 when it has been dropped.
    pub fn holders(&self) -> usize {
        self.loaded.strong_count()
    }

    /// Allows new runs; those that were cancelled stay cancelled.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if ONNX Runtime cannot create run options.
    pub fn reset(&self) -> Result<(), EngineError> {
        let mut token = self.token.lock();
        if token.cancelled() {
            *token = Token::new()?;
        }
        Ok(())
    }
}
