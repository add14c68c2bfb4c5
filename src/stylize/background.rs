// SPDX-License-Identifier: MPL-2.0
//! Work on a thread of its own, so that the stream goes on meanwhile.

use std::sync::mpsc;

use super::report::Error;

/// Something that is being made. Dropping it lets the thread finish unheard.
pub(crate) struct Background<T>(mpsc::Receiver<Result<T, Error>>);

impl<T: Send + 'static> Background<T> {
    /// Begins.
    pub fn start(
        name: &str,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().name(name.into());
        // Sending fails when nobody waits for it any more.
        let spawned = thread.spawn(move || drop(sender.send(work())));
        spawned.map_err(|err| Error::Threads(err.to_string()))?;
        Ok(Self(receiver))
    }

    /// What was made, once; `None` before.
    pub fn poll(&self) -> Option<Result<T, Error>> {
        match self.0.try_recv() {
            Ok(result) => Some(result),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => {
                Some(Err(Error::Threads("it ended early".into())))
            }
        }
    }
}
