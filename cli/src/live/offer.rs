// SPDX-License-Identifier: MPL-2.0
//! Finds in a browser's SDP offer the media sections and payload types for H.264 and Opus.

use super::error::ApiError;

/// A media section of an offer that fits the video or sound of this server.
#[derive(Debug, PartialEq)]
pub struct Place {
    /// Index of the media section.
    pub line: usize,
    /// RTP payload type of H.264 or Opus.
    pub payload: i32,
}

/// Longest line of an offer, bytes; those of browsers have a few hundred. GStreamer cuts tokens after 8191 bytes,
/// possibly within a UTF-8 sequence, and its Rust bindings panic at the rest.
const LONGEST_LINE: usize = 4096;

/// Parses an offer.
///
/// # Errors
/// 422 if it is not SDP, or a line is too long.
pub fn parse(text: &str) -> Result<gst_sdp::SDPMessage, ApiError> {
    if text
        .split(['\r', '\n'])
        .any(|line| line.len() > LONGEST_LINE)
    {
        return Err(ApiError::value(format!(
            "the body has a line of more than {LONGEST_LINE} bytes; send a browser's offer"
        )));
    }
    gst_sdp::SDPMessage::parse_buffer(text.as_bytes())
        .map_err(|_| ApiError::value("the body is not SDP; send a browser's offer"))
}

/// The section for video: constrained baseline, which nearly every decoder supports, if it is offered; else another
/// H.264 profile, because browsers decode more than they list.
///
/// # Errors
/// 422 if there is none.
pub fn video(sdp: &gst_sdp::SDPMessageRef) -> Result<Place, ApiError> {
    let fitting = places(sdp, "video", "H264/90000").map(|(place, format)| (rank(&format), place));
    // The first one with the highest rank.
    let best = fitting
        .filter(|(rank, _)| *rank > 0)
        .reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, place)| place).ok_or_else(|| {
        ApiError::value(
            "the offer has no H.264 video with packetization-mode=1; use a browser that has it, or /stream.mjpeg",
        )
    })
}

/// The section for sound, if Opus is offered.
pub fn sound(sdp: &gst_sdp::SDPMessageRef) -> Option<Place> {
    places(sdp, "audio", "opus/48000/2")
        .map(|(place, _)| place)
        .next()
}

/// All sections that offer a codec, with its `fmtp` parameters.
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

/// Rank of `fmtp` parameters, higher is better; 0 for those without fragmentation (packetization mode 1), because
/// frames are larger than a packet.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::fuzz;

    const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\n\
        a=rtpmap:96 VP8/90000\r\na=rtpmap:97 H264/90000\r\n\
        a=fmtp:97 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n";

    #[test]
    fn offers_of_any_kind_are_an_answer_or_an_error() {
        gst::init().expect("GStreamer");
        let mut found = 0;
        // GStreamer cuts long tokens, possibly within a UTF-8 sequence.
        let key = OFFER.replace("a=mid:0", &format!("a={}:0", "é".repeat(9_000)));
        let value = OFFER.replace("a=mid:0", &format!("a=x:a{}", "é".repeat(9_000)));
        fuzz::each(&[OFFER, OFFER, OFFER, &key, &value], |bytes| {
            // The handler accepts UTF-8 only.
            if let Ok(text) = std::str::from_utf8(bytes)
                && let Ok(sdp) = parse(text)
            {
                found += usize::from(video(&sdp).is_ok());
                let _ = sound(&sdp);
            }
        });
        assert!(found > 1_000, "{found} offers are still some");
    }
}
