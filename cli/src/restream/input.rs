// SPDX-License-Identifier: MPL-2.0
//! The input of `restream`, always as a URI.

use anyhow::Result;

use crate::shared::address;

/// A moving test picture with a tick each second. Without a size in the caps, because `testbin` 1.22 frees caps too
/// early when it is given two.
const TEST: &str = "testbin://video,pattern=ball,is-live=true+audio,wave=ticks,is-live=true";

pub struct Input {
    pub uri: String,
    /// Whether it is reconnected after a failure: everything except a file.
    pub live: bool,
}

impl Input {
    /// Parses the input before a model is loaded.
    ///
    /// # Errors
    /// If it cannot be played.
    pub fn new(text: &str) -> Result<Self> {
        let input = address::Input::new(text)?;
        Ok(Self {
            uri: input.uri().unwrap_or_else(|| TEST.into()),
            live: !matches!(input, address::Input::File(_)),
        })
    }
}
