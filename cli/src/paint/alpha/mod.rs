// SPDX-License-Identifier: MPL-2.0
//! VP8 and VP9 with alpha in WebM and Matroska: the alpha plane is a second stream of the same codec, in which alpha is
//! luma; each of its frames is in the BlockAdditions of the block with the colours (WebM container guidelines).
//!
//! `matroskamux` 1.22 does not write BlockAdditions. So two encoders with the same settings encode the planes
//! ([`line`], `plane`), [`join`] appends each encoded alpha frame to the encoded colours, which pass through muxer and
//! pieces as one buffer, and [`finish`] copies the muxed file with the two parts in their elements (`matroska`,
//! `ebml`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use gst::prelude::*;

mod ebml;
mod matroska;
mod plane;

pub use matroska::finish;
pub use plane::register;

/// Bytes after colours and alpha: the length of the alpha, big-endian.
const TRAILER: usize = 4;
/// Encoded alpha frames that wait for their colours. The encoders have no lookahead, so there is one at a time.
const MOST_WAITING: usize = 100;

/// Launch description from raw frames to joined ones; `encoder` is that of the encoder, to which properties can be
/// appended.
///
/// The first `tee`, without queues, passes every frame to the encoder of the alpha, then to that of the colours, on one
/// thread. Without automatic key frames both encoders make one every `keyframe-max-dist` frames, so theirs coincide.
/// The second `tee` takes the encoded alpha; a sink would wait for the pipeline to play, on the thread of the colours.
pub fn line(encoder: &str) -> String {
    format!(
        "video/x-raw,format=A420 ! tee name=planes \
         planes. ! stylizealphaplane ! {encoder} keyframe-mode=disabled name=alpha ! tee allow-not-linked=true \
         planes. ! videoconvert ! video/x-raw,format=I420 ! {encoder} keyframe-mode=disabled name=colours"
    )
}

/// Appends to each frame of the encoder `colours` that of the encoder `alpha` with the same timestamp. Does nothing in
/// a branch without them. A frame without alpha is an error of the pipeline.
///
/// # Errors
/// If an encoder has no source pad.
pub fn join(bin: &gst::Bin) -> Result<()> {
    let (Some(alpha), Some(colours)) = (bin.by_name("alpha"), bin.by_name("colours")) else {
        return Ok(());
    };
    let pad = |element: &gst::Element| {
        element
            .static_pad("src")
            .context("an encoder without a pad")
    };
    let waiting = Arc::new(Mutex::new(VecDeque::<gst::Buffer>::new()));
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
    let queue = waiting.clone();
    pad(&alpha)?.add_probe(types, move |_, info| {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        match info.buffer_mut() {
            Some(buffer) => queue.push_back(buffer.clone()),
            None => queue.clear(),
        }
        if queue.len() > MOST_WAITING {
            queue.pop_front();
        }
        gst::PadProbeReturn::Ok
    });
    let encoder = colours.downgrade();
    pad(&colours)?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = std::iter::from_fn(|| waiting.pop_front())
            .find(|alpha| alpha.pts() == buffer.pts())
            .and_then(|alpha| with_alpha(buffer, alpha));
        match (joined, encoder.upgrade()) {
            (Some(joined), _) => *buffer = joined,
            (None, Some(encoder)) => {
                gst::element_error!(encoder, gst::StreamError::Encode, ("a frame has no alpha"));
                return gst::PadProbeReturn::Handled;
            }
            (None, None) => return gst::PadProbeReturn::Handled,
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// The colours' buffer with the alpha and its length behind.
fn with_alpha(colours: &gst::Buffer, alpha: gst::Buffer) -> Option<gst::Buffer> {
    let length = u32::try_from(alpha.size()).ok()?.to_be_bytes();
    let mut joined = colours.copy();
    joined.append(alpha);
    joined.append(gst::Buffer::from_slice(length));
    Some(joined)
}

/// Colours and alpha of a joined frame. `None`: it is none.
fn split(joined: &[u8]) -> Option<(&[u8], &[u8])> {
    let (both, length) = joined.split_at_checked(joined.len().checked_sub(TRAILER)?)?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    both.split_at_checked(both.len().checked_sub(usize::try_from(length).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_frames_are_split_again() {
        gst::init().expect("GStreamer");
        let buffer = |bytes: &'static [u8]| gst::Buffer::from_slice(bytes);
        let joined = with_alpha(&buffer(b"colours"), buffer(b"alpha")).expect("joined");
        let joined = joined.map_readable().expect("bytes");
        assert_eq!(split(&joined), Some((&b"colours"[..], &b"alpha"[..])));
        assert_eq!(split(&[0, 0, 0]), None);
        assert_eq!(split(&[1, 0, 0, 0, 2]), None, "longer than the frame");
    }
}
