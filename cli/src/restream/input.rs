// SPDX-License-Identifier: MPL-2.0
//! Where the stream comes from: everything is a URI in the end.

use anyhow::Result;

use crate::shared::address;

/// A picture that moves, and a tick each second. Of the size it has: `testbin` 1.22 releases caps that it
/// is given twice.
const TEST: &str = "testbin://video,pattern=ball,is-live=true+audio,wave=ticks,is-live=true";

pub struct Input {
    pub uri: String,
    /// It may come back when it is gone.
    pub live: bool,
}

impl Input {
    /// Refuses what cannot be played, before anything is loaded.
    pub fn new(text: &str) -> Result<Self> {
        let input = address::Input::new(text)?;
        Ok(Self {
            uri: input.uri().unwrap_or_else(|| TEST.into()),
            live: !matches!(input, address::Input::File(_)),
        })
    }
}
