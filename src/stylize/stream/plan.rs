// SPDX-License-Identifier: MPL-2.0
//! The plan of a frame and its outcome: inference, or a substitute if there is no session or inference failed.

use std::time::Instant;

use super::frame::{Task, Timing, copy};
use crate::engine::EngineError;
use crate::stylize::report::Error;

/// The plan of a frame.
pub(crate) struct Plan {
    pub info: gst_video::VideoInfo,
    /// The inference; `None` if there is no session.
    pub task: Option<Task>,
    /// The frame that is pushed if there is no inference or it failed; without one, that is an error.
    pub substitute: Option<Substitute>,
}

/// The frame that is pushed in place of a painting.
pub(crate) enum Substitute {
    /// The source frame.
    Source,
    /// The last painting.
    Last(gst::Buffer),
}

/// The outcome of a frame.
pub(crate) struct Outcome {
    pub shown: Shown,
    /// The error because of which a substitute is shown.
    pub error: Option<Error>,
}

/// The content of an output frame.
pub(crate) enum Shown {
    /// The painting.
    Painted(Timing),
    /// The source frame.
    Passed,
    /// The last painting.
    Held,
}

impl Plan {
    /// Replaces inference by the last painting.
    pub fn repeat(&mut self, last: gst::Buffer) {
        self.task = None;
        self.substitute = Some(Substitute::Last(last));
    }

    /// Fills `target` for `source`; `begin`: when the job was queued.
    ///
    /// # Errors
    /// Those of inference, if there is no substitute; [`EngineError::Cancelled`] after a flush.
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
            // Flushed: the frame is dropped, so it needs no substitute.
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
