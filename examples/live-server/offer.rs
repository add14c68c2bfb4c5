// SPDX-License-Identifier: MPL-2.0
//! What a browser offers to take, in SDP.

use super::error::ApiError;

/// The part of an offer that our video fits.
#[derive(Debug, PartialEq)]
pub struct Video {
    /// Which of the offer's media it is.
    pub line: usize,
    /// The number that the browser gives to H.264.
    pub payload: i32,
}

/// The H.264 that nearly every decoder takes, constrained baseline, where it is offered; else another
/// one, since browsers decode more than they name.
pub fn video(sdp: &gst_sdp::SDPMessageRef) -> Result<Video, ApiError> {
    let mut found: Option<(u8, Video)> = None;
    for (line, media) in sdp.medias().enumerate() {
        if media.media() != Some("video") {
            continue;
        }
        let entries = |key| {
            media
                .attributes()
                .filter(move |attribute| attribute.key() == key)
                .filter_map(|attribute| attribute.value()?.split_once(' '))
        };
        for (payload, codec) in entries("rtpmap") {
            let Ok(number) = payload.parse() else {
                continue;
            };
            if !codec.eq_ignore_ascii_case("H264/90000") {
                continue;
            }
            let format = entries("fmtp").find(|(of, _)| *of == payload);
            let rank = rank(format.map_or("", |(_, format)| format));
            if rank > found.as_ref().map_or(0, |(best, _)| *best) {
                found = Some((
                    rank,
                    Video {
                        line,
                        payload: number,
                    },
                ));
            }
        }
    }
    found.map(|(_, video)| video).ok_or_else(|| {
        ApiError::value(
            "the offer has no H.264 video with packetization-mode=1; use a browser that has it, or /stream.mjpeg",
        )
    })
}

/// How well a format fits; 0: not at all, because our frames do not fit single packets.
fn rank(format: &str) -> u8 {
    let format = format.replace(' ', "").to_ascii_lowercase();
    let says = |what: &str| format.split(';').any(|part| part.starts_with(what));
    match () {
        () if !says("packetization-mode=1") => 0,
        () if says("profile-level-id=42e0") || says("profile-level-id=42c0") => 3,
        () if says("profile-level-id=42") => 2,
        () => 1,
    }
}
