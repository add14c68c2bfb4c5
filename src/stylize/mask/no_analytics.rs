// SPDX-License-Identifier: MPL-2.0
//! `mask=analytics` in builds without the feature `analytics`: the value exists and is refused with an error.

use super::canvas::{Mask, finished};
use crate::stylize::report::Error;
use crate::stylize::settings::MaskSettings;

/// Whether this build can read analytics metadata.
///
/// # Errors
/// [`Error::NoAnalytics`].
pub(crate) fn check() -> Result<(), Error> {
    Err(Error::NoAnalytics)
}

/// An empty mask, as for frames without analytics metadata: the element has posted [`Error::NoAnalytics`] as a
/// warning when `mask` was set while playing.
pub(crate) fn of_findings(
    settings: &MaskSettings,
    (width, height): (usize, usize),
    _frame: &gst::BufferRef,
) -> Result<Mask, Error> {
    Ok(finished(vec![0; width * height], settings.invert))
}
