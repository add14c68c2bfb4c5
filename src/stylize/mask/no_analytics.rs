// SPDX-License-Identifier: MPL-2.0
//! `mask=analytics` in builds for GStreamer older than 1.26: there, and refused in words.

use super::canvas::{Mask, finished};
use crate::stylize::report::Error;
use crate::stylize::settings::MaskSettings;

/// Whether frames' findings can be read.
pub(crate) fn check() -> Result<(), Error> {
    Err(Error::NoAnalytics)
}

/// A stream that was set to it while playing has had its warning, and goes on as with frames in which
/// nothing was found.
pub(crate) fn of_findings(
    settings: &MaskSettings,
    (width, height): (usize, usize),
    _frame: &gst::BufferRef,
) -> Result<Mask, Error> {
    Ok(finished(vec![0; width * height], settings.invert))
}
