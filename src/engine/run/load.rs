// SPDX-License-Identifier: MPL-2.0
//! Loading of graphs into sessions, which can take minutes, and its cancellation.

use std::cell::RefCell;
use std::sync::Arc;

use ort::session::Session;
use ort::session::builder::{LoadCanceler, SessionBuilder};
use parking_lot::Mutex;

use crate::engine::error::EngineError;
use crate::engine::exit;

#[derive(Default)]
struct State {
    cancelled: bool,
    /// Canceller of the session that is being loaded.
    current: Option<LoadCanceler>,
}

/// Cancels the loads of another thread. ONNX Runtime checks for it between two steps of loading a session; a
/// provider's compilation in one step is not interrupted.
#[derive(Clone, Default)]
pub struct LoadCanceller(Arc<Mutex<State>>);

thread_local! {
    /// Canceller of the loads on this thread, during [`LoadCanceller::run`].
    static CANCELLER: RefCell<Option<LoadCanceller>> = const { RefCell::new(None) };
}

impl LoadCanceller {
    /// Cancels the load in progress and all later ones within [`Self::run`]; they return
    /// [`EngineError::Cancelled`].
    pub fn cancel(&self) {
        let mut state = self.0.lock();
        state.cancelled = true;
        if let Some(current) = &state.current {
            // Fails only if the session has been loaded in the meantime.
            let _ = current.cancel();
        }
    }

    /// Runs `work` on this thread, with loads that this canceller can cancel.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<LoadCanceller>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CANCELLER.set(self.0.take());
            }
        }
        let _inside = exit::inside();
        let _restore = Restore(CANCELLER.replace(Some(self.clone())));
        work()
    }
}

/// Loads a serialized graph with the builder's options; cancellable within [`LoadCanceller::run`].
///
/// # Errors
/// [`EngineError::Cancelled`], [`EngineError::Refused`], [`EngineError::OutOfMemory`].
pub(crate) fn commit(mut builder: SessionBuilder, graph: &[u8]) -> Result<Session, EngineError> {
    let _inside = exit::inside();
    let Some(canceller) = CANCELLER.with_borrow(Clone::clone) else {
        return builder
            .commit_from_memory(graph)
            .map_err(EngineError::refused);
    };
    {
        let mut state = canceller.0.lock();
        if state.cancelled {
            return Err(EngineError::Cancelled);
        }
        state.current = Some(builder.canceler());
    }
    let session = builder.commit_from_memory(graph);
    let mut state = canceller.0.lock();
    state.current = None;
    match session {
        Err(_) if state.cancelled => Err(EngineError::Cancelled),
        session => session.map_err(EngineError::refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cancelled_before_is_not_loaded() {
        let canceller = LoadCanceller::default();
        assert_eq!(canceller.run(|| 7), 7);
        canceller.cancel();
        canceller.run(|| {
            let cancelled = CANCELLER.with_borrow(|c| c.as_ref().map(|c| c.0.lock().cancelled));
            assert_eq!(cancelled, Some(true));
        });
        assert!(CANCELLER.with_borrow(Option::is_none), "as it was before");
    }
}
