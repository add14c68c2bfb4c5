// SPDX-License-Identifier: MPL-2.0
//! Generators that are loaded while frames flow.

use std::time::Instant;

use super::active::ActiveGenerator;
use crate::graph::Frame;
use crate::stylize::background::{Background, BackgroundThreads};
use crate::stylize::report::Error;
use crate::stylize::settings::Settings;

/// A player that is being loaded.
pub(crate) struct Loading {
    pub player: Background<ActiveGenerator>,
    /// Of the settings it is loaded with.
    pub revision: (u64, u64),
    pub begin: Instant,
}

impl Loading {
    /// Begins; compiles for `frame`, too, if it is known, and no higher than `below` for the generator.
    pub fn start(
        settings: &Settings,
        frame: Option<Frame>,
        below: Option<usize>,
        threads: &BackgroundThreads,
    ) -> Result<Self, Error> {
        let revision = settings.revision();
        let settings = settings.clone();
        let of_generator = threads.clone();
        let load = move || ActiveGenerator::load(&settings, frame.as_ref(), below, of_generator);
        Ok(Self {
            player: threads.start("stylize-loader", load)?,
            revision,
            begin: Instant::now(),
        })
    }
}
