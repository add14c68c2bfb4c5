// SPDX-License-Identifier: MPL-2.0
//! What is to be done for one frame, and what was done: inference, or a substitute frame where there is no
//! session or inference failed.

use std::time::Instant;

use super::frame::{Task, Timing, copy};
use crate::engine::EngineError;
use crate::stylize::report::Error;

/// What is to be done for one frame.
pub(crate) struct Plan {
    pub info: gst_video::VideoInfo,
    /// `None` while there is nothing to paint with.
    pub task: Option<Task>,
    /// What takes the place of a painting. Without it, what cannot be painted is an error.
    pub substitute: Option<Substitute>,
}

/// A frame to be shown in place of a painting.
pub(crate) enum Substitute {
    /// The source frame.
    Source,
    /// The last painting.
    Last(gst::Buffer),
}

/// What was done.
pub(crate) struct Outcome {
    pub shown: Shown,
    /// Why it is no painting, if something failed.
    pub error: Option<Error>,
}

/// What a frame shows.
pub(crate) enum Shown {
    Painted(Timing),
    Passed,
    Held,
}

impl Plan {
    /// Shows the last painting instead.
    pub fn repeat(&mut self, last: gst::Buffer) {
        self.task = None;
        self.substitute = Some(Substitute::Last(last));
    }

    /// Fills `target` for `source`, a frame that was handed over at `begin`.
    pub fn run(
        &self,
        source: &gst::BufferRef,
        target: &mut gst::BufferRef,
        begin: Instant,
    ) -> Result<Outcome, Error> {
        let painted = self
            .task
            .as_ref()
            .map(|task| task.run(source, target, begin))
            .transpose();
        let error = match painted {
            Ok(Some(timing)) => {
                return Ok(Outcome {
                    shown: Shown::Painted(timing),
                    error: None,
                });
            }
            Ok(None) => None,
            // Flushed: no substitute is wanted.
            Err(err @ Error::Engine(EngineError::Cancelled)) => return Err(err),
            Err(err) => Some(err),
        };
        let (shown, frame) = match &self.substitute {
            Some(Substitute::Source) => (Shown::Passed, source),
            Some(Substitute::Last(last)) => (Shown::Held, last.as_ref()),
            None => return Err(error.unwrap_or(Error::NotNegotiated)),
        };
        copy(&self.info, frame, target)?;
        Ok(Outcome { shown, error })
    }
}
