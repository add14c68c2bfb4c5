// SPDX-License-Identifier: MPL-2.0
//! Entry points for the fuzz targets in `fuzz/`; compiled with `cfg(fuzzing)` only.

use gst_video::VideoInfo;

use super::report::Error;
use super::stream::frame;
use super::style::playlist::Playlist;
use crate::graph::Frame;

/// Parses a playlist and looks up its entry at some running times; false if it cannot be parsed.
pub fn playlist(text: &str, names: &[String]) -> bool {
    let Ok(playlist) = Playlist::parse(text, names) else {
        return false;
    };
    for time in [0, 1, u64::MAX / 3, u64::MAX - 1] {
        let _ = playlist.at(gst::ClockTime::from_nseconds(time));
    }
    true
}

/// The layout of frames with these caps, offsets and strides in bytes; without offsets, the default layout.
///
/// # Errors
/// The element's error message for caps or layouts that are not supported.
pub fn layout(caps: &gst::CapsRef, offsets: &[usize], strides: &[i32]) -> Result<Frame, String> {
    let text = |err: Error| err.to_string();
    if let Some(err) = super::caps::refused(caps) {
        return Err(err.to_string());
    }
    let info = VideoInfo::from_caps(caps).map_err(|err| err.to_string())?;
    let usual = frame::usual_layout(&info).map_err(text)?;
    match offsets.is_empty() {
        true => Ok(usual),
        false => frame::layout_in(&info, offsets, strides).map_err(text),
    }
}
