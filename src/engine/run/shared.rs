// SPDX-License-Identifier: MPL-2.0
//! One session for many elements.
//!
//! Elements with the same graph, provider and options share one session with its weights and memory, and
//! take turns, so that they do not compete for cores and caches. Each element has a [`Lease`] with its own
//! cancellation, state tensors and noise.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use ort::session::RunOptions;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::assignment::Assignment;
use super::memory::StateMemory;
use super::session::{Blueprint, Controls, Noise, Rows, Session, Source};
use crate::engine::error::EngineError;
use crate::engine::provider::choice::Choice;
use crate::engine::runtime::Runtime;

/// Most runs for one frame, each with a past of its own.
const LAYERS: usize = 2;

/// What makes two sessions the same: the compiled graph and where it runs.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    graph: [u8; 32],
    choice: Choice,
}

/// A session that somebody holds; locked while it is made, so that it is made once.
type SharedSlot = Arc<Mutex<Weak<Session>>>;

static SESSIONS: LazyLock<Mutex<HashMap<Key, SharedSlot>>> = LazyLock::new(Mutex::default);

/// An element's hold on a session. As many threads may run it at once as [`Options::streams`](super::Options::streams) says;
/// others wait.
#[derive(Clone)]
pub struct Lease(Arc<Held>);

struct Held {
    /// Declared first: state tensors must be dropped before the session that allocated them.
    memories: [Mutex<StateMemory>; LAYERS],
    session: Arc<Session>,
    token: Mutex<Arc<Token>>,
    noise: Mutex<Noise>,
}

/// Cancels all runs that were started with it. A cancelled token is replaced, never reset: a run that it
/// terminates may still be going on after the flush, and must not be revived.
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
    /// A hold on the session of a compiled graph, which is loaded unless somebody else has it.
    pub fn new(
        runtime: &Runtime,
        graph: &[u8],
        choice: &Choice,
        blueprint: &Blueprint,
    ) -> Result<Self, EngineError> {
        let key = Key {
            graph: Sha256::digest(graph).into(),
            choice: choice.clone(),
        };
        let place = {
            let mut sessions = SESSIONS.lock();
            // A slot that another thread holds a reference to is about to be filled.
            sessions.retain(|_, place| {
                Arc::strong_count(place) > 1
                    || place.try_lock().is_none_or(|held| held.strong_count() > 0)
            });
            sessions.entry(key).or_default().clone()
        };
        let mut place = place.lock();
        let session = match place.upgrade() {
            Some(session) => session,
            None => Arc::new(Session::new(runtime, graph, choice, blueprint)?),
        };
        *place = Arc::downgrade(&session);
        Ok(Self(Arc::new(Held {
            memories: Default::default(),
            session,
            token: Mutex::new(Token::new()?),
            noise: Mutex::default(),
        })))
    }

    /// Where the parts of the graph run.
    pub fn assignment(&self) -> Assignment {
        self.0.session.assignment
    }

    /// Runs the graph on an empty frame, to see that the provider can.
    pub fn try_run(&self, frame: Rows, out: Rows) -> Result<(), EngineError> {
        let style = vec![0.0; self.0.session.style_len()];
        let mask = vec![0; self.0.session.mask_len()];
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
        self.run(source, controls, Instant::now(), (&mut target, out))?;
        self.0.memories[0].lock().valid = false;
        Ok(())
    }

    /// Whether it is the same hold.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether the graph takes a mask.
    pub fn masks(&self) -> bool {
        self.0.session.mask_len() > 0
    }

    /// Whether the graph hands tensors from one run to the next: then frames must come one by one.
    pub fn remembers(&self) -> bool {
        self.0.session.remembers()
    }

    /// A handle that cancels the runs of this lease.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.0.clone())
    }

    /// Runs the graph once, when it is this one's turn: of those who wait, the earliest `deadline`
    /// goes first. Reads `source` and writes `out` in place: no copy is made where the provider works
    /// in host memory. Returns the time of the run, without the waiting.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] after [`Canceller::cancel`], else [`EngineError::Run`]. `out` may
    /// then hold part of a picture.
    pub fn run(
        &self,
        source: Source,
        controls: Controls,
        deadline: Instant,
        out: (&mut [u8], Rows),
    ) -> Result<Duration, EngineError> {
        let session = &self.0.session;
        let token = self.0.token.lock().clone();
        let numbers = session.numbers(&self.0.noise, controls.seed)?;
        let pass = session.gate.enter(deadline, || token.cancelled());
        let _pass = pass.ok_or(EngineError::Cancelled)?;
        // Locked only for graphs with state tensors; others may run concurrently.
        let mut held;
        let mut none = StateMemory::default();
        let memory = match session.remembers() {
            true => {
                held = self.0.memories[controls.layer.min(LAYERS - 1)].lock();
                &mut *held
            }
            false => &mut none,
        };
        let begin = Instant::now();
        let run = || session.run(&token.options, source, controls, &numbers, memory, out);
        let result = session.threads.run(run);
        // Also if the provider ignored the terminate flag: a frame may take more than one run.
        match token.cancelled() {
            true => Err(EngineError::Cancelled),
            false => result.map(|()| begin.elapsed()),
        }
    }
}

/// Stops the runs of a lease from another thread.
#[derive(Clone)]
pub struct Canceller(Arc<Held>);

impl Canceller {
    /// Ends the run in progress as soon as the provider allows, and refuses later ones.
    pub fn cancel(&self) {
        let token = self.0.token.lock().clone();
        token.cancelled.store(true, Ordering::SeqCst);
        // Fails only on a null handle.
        let _ = token.options.terminate();
        self.0.session.gate.wake();
    }

    /// How many leases there are on the session, this one included.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.0.session)
    }

    /// Allows runs again; those that were cancelled stay so.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if ONNX Runtime makes no new options.
    pub fn reset(&self) -> Result<(), EngineError> {
        let mut token = self.0.token.lock();
        if token.cancelled() {
            *token = Token::new()?;
        }
        Ok(())
    }
}
