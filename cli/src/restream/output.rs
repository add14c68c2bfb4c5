// SPDX-License-Identifier: MPL-2.0
//! The outputs of `restream`: parses their URIs, and has the launch descriptions for encoding and muxing.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::shared::text::quoted;

/// Latency of the muxers, ns: how long they wait for a frame before they write sound alone. Adds no delay while both
/// arrive.
const PATIENCE: u64 = 2_000_000_000;
/// Segments in the playlist, and files that are kept for players with an older one.
const PLAYLIST: (u32, u32) = (6, 12);
/// Port of the sound minus that of the picture; the port after each is for RTCP.
const SOUND_PORT: u16 = 2;
/// Queue before a synchronizing sink, which holds frames until their running time.
const EARLY: &str = "queue max-size-buffers=0 max-size-bytes=0 max-size-time=5000000000";

pub enum Output {
    Rtmp(String),
    Srt(String),
    /// Plain RTP to a host and port: H.264 to this port, Opus to port + [`SOUND_PORT`].
    Rtp(String, u16),
    /// File name of the playlist; its segments are in the same folder.
    Hls(String),
    /// A V4L2 output device such as `/dev/video9`.
    Camera(String),
}

impl Output {
    /// Parses the output before a model is loaded.
    ///
    /// # Errors
    /// If nothing can be sent there: an unknown scheme, a missing port, folder or device.
    pub fn new(text: &str) -> Result<Self> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let output = match scheme {
            "rtmp" | "rtmps" => Self::Rtmp(text.into()),
            "srt" => Self::Srt(text.into()),
            "rtp" => {
                let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
                let port = port
                    .parse()
                    .ok()
                    .filter(|port| *port < u16::MAX - SOUND_PORT);
                let port = port.with_context(|| {
                    format!("{text} has no port; give rtp://host:port, the sound goes to port + {SOUND_PORT}")
                })?;
                Self::Rtp(host.trim_matches(['[', ']']).into(), port)
            }
            "" if text.starts_with("/dev/") => Self::Camera(text.into()),
            "" if text.ends_with(".m3u8") => Self::Hls(text.into()),
            _ => bail!(
                "{text} is no place to send to; give rtmp://… srt://… rtp://host:port, folder/name.m3u8 or /dev/video9"
            ),
        };
        match &output {
            Self::Rtmp(_) | Self::Srt(_) => {
                gst::Element::make_from_uri(gst::URIType::Sink, text, None)
                    .with_context(|| format!("{text} cannot be sent to"))?;
            }
            Self::Hls(_) => {
                let folder = Path::new(text).parent().unwrap_or(Path::new(""));
                if folder != Path::new("") && !folder.is_dir() {
                    bail!("{} is not a folder; make it first", folder.display());
                }
            }
            Self::Camera(_) if !Path::new(text).exists() => {
                let number = text.trim_start_matches(|c: char| !c.is_ascii_digit());
                bail!(
                    "there is no {text}; make it with `modprobe v4l2loopback video_nr={number} exclusive_caps=1` (Debian: apt install v4l2loopback-dkms)"
                );
            }
            Self::Rtp(..) | Self::Camera(_) => (),
        }
        Ok(output)
    }

    /// Whether encoded AAC can be muxed without decoding.
    pub fn takes_aac(&self) -> bool {
        matches!(self, Self::Rtmp(_) | Self::Srt(_) | Self::Hls(_))
    }

    /// Whether the output has sound.
    pub fn takes_sound(&self) -> bool {
        !matches!(self, Self::Camera(_))
    }

    /// Whether the sinks synchronize with the clock. RTCP sender reports relate timestamps to the time of sending, so
    /// picture and sound of the same running time must be sent at the same time. Containers have timestamps, so they
    /// need not.
    pub fn keeps_time(&self) -> bool {
        matches!(self, Self::Rtp(..))
    }

    /// Launch description from stylized frames to the muxer or sink. `bitrate` in kbit/s; a key frame at least every
    /// `interval` frames.
    pub fn video(&self, bitrate: u32, interval: u32) -> String {
        // Every player decodes 4:2:0; browsers need the constrained baseline profile for RTP.
        let profile = match self {
            Self::Rtp(..) => "constrained-baseline",
            _ => "high",
        };
        let encode = format!(
            "video/x-raw,format={{I420,NV12}} ! queue max-size-buffers=2 \
             ! x264enc tune=zerolatency speed-preset=veryfast bitrate={bitrate} key-int-max={interval} \
             ! video/x-h264,profile={profile} ! h264parse config-interval=-1"
        );
        match self {
            Self::Rtmp(_) | Self::Hls(_) => format!("{encode} ! queue ! mux.video"),
            Self::Srt(_) => format!("{encode} ! queue ! mux."),
            Self::Rtp(host, port) => format!(
                "{encode} ! {EARLY} ! rtph264pay pt=96 aggregate-mode=zero-latency config-interval=-1 \
                 ! udpsink host={} port={port}",
                quoted(host)
            ),
            Self::Camera(device) => format!(
                "video/x-raw,format=YUY2 ! v4l2sink sync=false device={}",
                quoted(device)
            ),
        }
    }

    /// Launch description from the sound, AAC if `aac` and raw if not, to the muxer or sink; empty if the output has no
    /// sound.
    pub fn sound(&self, aac: bool) -> String {
        let encode = if aac {
            "aacparse"
        } else {
            "audioconvert ! audioresample ! avenc_aac ! aacparse"
        };
        match self {
            Self::Rtmp(_) | Self::Hls(_) => format!("{encode} ! mux.audio"),
            Self::Srt(_) => format!("{encode} ! mux."),
            Self::Rtp(host, port) => format!(
                "audioconvert ! audioresample ! opusenc ! rtpopuspay pt=97 ! udpsink host={} port={}",
                quoted(host),
                port + SOUND_PORT
            ),
            Self::Camera(_) => String::new(),
        }
    }

    /// Launch description from the muxer on; empty if the output has none. `segment`: seconds of an HLS segment.
    pub fn mux(&self, segment: u32) -> String {
        match self {
            Self::Rtmp(uri) => format!(
                "flvmux name=mux streamable=true latency={PATIENCE} ! rtmp2sink sync=false location={}",
                quoted(uri)
            ),
            Self::Srt(uri) => format!(
                "mpegtsmux name=mux alignment=7 latency={PATIENCE} \
                 ! srtsink sync=false wait-for-connection=false uri={}",
                quoted(uri)
            ),
            Self::Hls(playlist) => format!(
                "hlssink2 name=mux target-duration={segment} playlist-length={} max-files={} \
                 playlist-location={} location={}",
                PLAYLIST.0,
                PLAYLIST.1,
                quoted(playlist),
                quoted(&format!("{}-%05d.ts", playlist.trim_end_matches(".m3u8"))),
            ),
            Self::Rtp(..) | Self::Camera(_) => String::new(),
        }
    }
}
