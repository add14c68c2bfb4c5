// SPDX-License-Identifier: MPL-2.0
//! Data that `look` finds about an input before it is played: its streams, and the format of its video.

use super::turn::Turn;

/// A stream of the input.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Stream id, equal in all pipelines that read the input.
    pub id: String,
    pub caps: gst::Caps,
}

/// The video that is painted.
#[derive(Clone, Debug)]
pub struct Video {
    pub stream: Stream,
    /// Format of the first frame.
    pub info: gst_video::VideoInfo,
    /// The rotation or flip that makes it upright, if it is not.
    pub turned: Option<Turn>,
    /// Whether it has one frame only.
    pub still: bool,
}

/// An input that can be painted.
#[derive(Clone, Debug)]
pub struct Film {
    pub uri: String,
    pub video: Video,
    /// All streams except the video, in the input's order.
    pub others: Vec<Stream>,
    pub chapters: bool,
    /// Whether it has a cover picture, as a tag.
    pub cover: bool,
    /// Timestamp of the film's beginning, if the demuxer corrects it. `matroskademux` takes the first packet's
    /// timestamp until an earlier one arrives, so the first frame would be too early by the difference.
    pub origin: Option<gst::ClockTime>,
}
