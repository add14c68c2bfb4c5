// SPDX-License-Identifier: MPL-2.0
//! What a browser offers to take, in SDP.

use super::error::ApiError;

/// A part of an offer that our video or sound fits.
#[derive(Debug, PartialEq)]
pub struct Place {
    /// Which of the offer's media it is.
    pub line: usize,
    /// The number that the browser gives to H.264 or Opus.
    pub payload: i32,
}

/// The H.264 that nearly every decoder takes, constrained baseline, where it is offered; else another
/// one, since browsers decode more than they name.
pub fn video(sdp: &gst_sdp::SDPMessageRef) -> Result<Place, ApiError> {
    let fitting = places(sdp, "video", "H264/90000").map(|(place, format)| (rank(&format), place));
    // The first one of the best.
    let best = fitting
        .filter(|(rank, _)| *rank > 0)
        .reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, place)| place).ok_or_else(|| {
        ApiError::value(
            "the offer has no H.264 video with packetization-mode=1; use a browser that has it, or /stream.mjpeg",
        )
    })
}

/// Opus, for who wants sound.
pub fn sound(sdp: &gst_sdp::SDPMessageRef) -> Option<Place> {
    places(sdp, "audio", "opus/48000/2")
        .map(|(place, _)| place)
        .next()
}

/// Where a codec is offered, with its format parameters.
fn places<'a>(
    sdp: &'a gst_sdp::SDPMessageRef,
    kind: &'a str,
    codec: &'a str,
) -> impl Iterator<Item = (Place, String)> + 'a {
    let media = sdp.medias().enumerate();
    media
        .filter(move |(_, media)| media.media() == Some(kind))
        .flat_map(move |(line, media)| {
            let entries = |key| {
                media
                    .attributes()
                    .filter(move |attribute| attribute.key() == key)
                    .filter_map(|attribute| attribute.value()?.split_once(' '))
            };
            let offered = entries("rtpmap").filter(|(_, name)| name.eq_ignore_ascii_case(codec));
            let places = offered.filter_map(|(number, _)| {
                let format = entries("fmtp").find(|(of, _)| *of == number);
                let payload = number.parse().ok()?;
                Some((
                    Place { line, payload },
                    format.map_or(String::new(), |(_, format)| format.into()),
                ))
            });
            places.collect::<Vec<_>>()
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
