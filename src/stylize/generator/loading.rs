// SPDX-License-Identifier: MPL-2.0
//! Loading of a generator in the background.

use std::time::Instant;

use super::active::ActiveGenerator;
use crate::graph::Frame;
use crate::stylize::background::{Background, BackgroundThreads};
use crate::stylize::report::Error;
use crate::stylize::settings::Settings;

/// A generator that is being loaded.
pub(crate) struct Loading {
    pub generator: Background<ActiveGenerator>,
    /// [`Settings::revision`] with which it is loaded.
    pub revision: (u64, u64),
    /// When loading began.
    pub begin: Instant,
}

impl Loading {
    /// Starts loading in the background; arguments as of [`ActiveGenerator::load`].
    ///
    /// # Errors
    /// [`Error::Threads`].
    pub fn start(
        settings: &Settings,
        frame: Option<Frame>,
        below: Option<usize>,
        threads: &BackgroundThreads,
    ) -> Result<Self, Error> {
        let revision = settings.revision();
        let settings = settings.clone();
        let own_threads = threads.clone();
        let load = move || ActiveGenerator::load(&settings, frame.as_ref(), below, own_threads);
        Ok(Self {
            generator: threads.start("stylize-loader", load)?,
            revision,
            begin: Instant::now(),
        })
    }
}
