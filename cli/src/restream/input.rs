// SPDX-License-Identifier: MPL-2.0
//! Where the stream comes from: everything is a URI in the end.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// A picture that moves, and a tick each second. Of the size it has: `testbin` 1.22 releases caps that it
/// is given twice.
const TEST: &str = "testbin://video,pattern=ball,is-live=true+audio,wave=ticks,is-live=true";

pub struct Input {
    pub uri: String,
    /// It plays by its own clock, and may come back when it is gone.
    pub live: bool,
}

impl Input {
    /// Refuses what cannot be played, before anything is loaded.
    pub fn new(text: &str) -> Result<Self> {
        let uri = if text == "test" {
            TEST.into()
        } else if text.starts_with("/dev/") {
            if !Path::new(text).exists() {
                bail!("there is no {text}; `v4l2-ctl --list-devices` lists the cameras");
            }
            format!("v4l2://{text}")
        } else if text.contains("://") {
            text.into()
        } else if Path::new(text).is_file() {
            gst::glib::filename_to_uri(std::path::absolute(text)?, None)?.into()
        } else {
            bail!(
                "{text} is not a file; give test, a file, /dev/video0 or a URI such as rtmp://host/app/stream"
            );
        };
        gst::Element::make_from_uri(gst::URIType::Src, &uri, None)
            .with_context(|| format!("{text} cannot be played"))?;
        let live = !uri.starts_with("file:");
        Ok(Self { uri, live })
    }
}
