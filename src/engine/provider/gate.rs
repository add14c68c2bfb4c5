// SPDX-License-Identifier: MPL-2.0
//! Limits concurrent runs and orders those who wait: earliest deadline first.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::choice::Choice;
use super::kinds::Provider;

/// Lets a number of runs in at once.
pub(crate) struct Gate {
    state: Mutex<State>,
}

struct State {
    free: usize,
    /// Waiters by deadline, then ticket (order of arrival). Each has a condition variable of its own: a
    /// broadcast per frame would take the processor from the thread that runs (thundering herd).
    waiting: BTreeMap<(Instant, u64), Arc<Condvar>>,
    tickets: u64,
}

impl State {
    /// Wakes whose turn it is, if there is room.
    fn next(&self) {
        if self.free > 0
            && let Some((_, turn)) = self.waiting.first_key_value()
        {
            turn.notify_one();
        }
    }
}

/// A place inside, until it is dropped.
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    /// The gate in front of a session on this provider.
    pub fn of(choice: &Choice) -> Arc<Self> {
        // All sessions of ONNX Runtime's WebGPU provider encode their commands on one device, without
        // a lock (seen in 1.27: "Command encoding already finished").
        static WEBGPU: LazyLock<Arc<Gate>> = LazyLock::new(|| Arc::new(Gate::new(1)));
        match choice.provider {
            Provider::WebGpu => WEBGPU.clone(),
            _ => Arc::new(Self::new(choice.options.streams)),
        }
    }

    /// A place for what may neither be put off nor cancelled.
    pub fn pass(&self) -> Option<Pass<'_>> {
        self.enter(Instant::now(), || false)
    }

    /// With room for so many, at least 1.
    pub fn new(places: usize) -> Self {
        Self {
            state: Mutex::new(State {
                free: places.max(1),
                waiting: BTreeMap::new(),
                tickets: 0,
            }),
        }
    }

    /// Waits until there is room and nobody else who waits has an earlier deadline. `None` as soon
    /// as `cancelled` says so; who makes it say so calls [`Gate::wake`].
    pub fn enter(&self, deadline: Instant, cancelled: impl Fn() -> bool) -> Option<Pass<'_>> {
        let mut state = self.state.lock();
        let me = (deadline, state.tickets);
        state.tickets += 1;
        let turn = Arc::new(Condvar::new());
        state.waiting.insert(me, turn.clone());
        let is_first = |state: &State| state.waiting.keys().next() == Some(&me);
        let pass = loop {
            if cancelled() {
                break None;
            }
            if state.free > 0 && is_first(&state) {
                state.free -= 1;
                break Some(Pass(self));
            }
            turn.wait(&mut state);
        };
        state.waiting.remove(&me);
        // Another one is first now.
        state.next();
        pass
    }

    /// Lets those who wait look again whether they are cancelled.
    pub fn wake(&self) {
        // Under the lock, or a waiter between its check and its wait would miss the wake-up.
        let state = self.state.lock();
        for turn in state.waiting.values() {
            turn.notify_one();
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.free += 1;
        state.next();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    /// Until so many wait.
    fn waiting(gate: &Gate, count: usize) {
        while gate.state.lock().waiting.len() < count {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_earliest_deadline_goes_first() {
        let gate = Gate::new(1);
        let inside = gate.enter(Instant::now(), || false);
        let order = Mutex::new(Vec::new());
        let start = Instant::now();
        std::thread::scope(|scope| {
            for (count, milliseconds) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
                let (gate, order) = (&gate, &order);
                scope.spawn(move || {
                    let deadline = start + Duration::from_millis(milliseconds);
                    let pass = gate.enter(deadline, || false);
                    order.lock().push(count);
                    drop(pass);
                });
                waiting(gate, count);
            }
            drop(inside);
        });
        // Those with the same deadline in the order of arrival.
        assert_eq!(*order.lock(), [2, 4, 3, 1]);
    }

    #[test]
    fn as_many_are_inside_as_there_is_room_for() {
        let gate = Gate::new(2);
        let passes = [0, 1].map(|_| gate.enter(Instant::now(), || false));
        assert!(passes.iter().all(Option::is_some));
        let entered = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _pass = gate.enter(Instant::now(), || false);
                entered.store(true, Ordering::SeqCst);
            });
            waiting(&gate, 1);
            assert!(!entered.load(Ordering::SeqCst));
            drop(passes);
        });
        assert!(entered.into_inner());
    }

    #[test]
    fn who_is_cancelled_leaves_and_lets_the_next_go() {
        let gate = Gate::new(1);
        let inside = gate.enter(Instant::now(), || false);
        let cancelled = AtomicBool::new(false);
        let later = Instant::now() + Duration::from_secs(1);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                let cancelled = || cancelled.load(Ordering::SeqCst);
                gate.enter(Instant::now(), cancelled).is_some()
            });
            waiting(&gate, 1);
            let second = scope.spawn(|| gate.enter(later, || false).is_some());
            waiting(&gate, 2);
            cancelled.store(true, Ordering::SeqCst);
            gate.wake();
            assert!(!first.join().expect("no panic"));
            drop(inside);
            assert!(second.join().expect("no panic"));
        });
        assert!(gate.state.lock().waiting.is_empty());
    }
}
