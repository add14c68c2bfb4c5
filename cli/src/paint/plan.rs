// SPDX-License-Identifier: MPL-2.0
//! Settings that are decided before a pipeline starts: container, encoder, properties of the element, and the video
//! branch.

use std::path::PathBuf;

use anyhow::{Result, bail};
use gst_video::VideoTransferFunction;

use super::container::{self, Container, Pictures};
use super::encode::{Encoder, cores};
use super::film::Video;
use super::{Args, Hdr};
use crate::shared::element;
use crate::shared::text::quoted;

/// The settings of a film.
#[derive(Clone)]
pub struct Plan {
    pub container: &'static Container,
    pub encoder: Encoder,
    /// Pattern of files with the encoded video, if it was stylized in pieces before.
    pub pieces: Option<PathBuf>,
    /// Launch description of the element with its properties.
    pub stylize: String,
    hdr: Hdr,
}

impl Plan {
    /// The settings for these arguments.
    ///
    /// # Errors
    /// A usage error for wrong arguments; an error if an element is missing.
    pub fn new(args: &Args) -> Result<Self> {
        let container = container::of(args)?;
        Ok(Self {
            container,
            encoder: Encoder::new(args, container)?,
            pieces: None,
            stylize: stylize(args)?,
            hdr: args.hdr,
        })
    }

    /// Whether the video's alpha is added to the file when it is complete.
    pub fn adds_alpha(&self, video: &Video) -> bool {
        video.info.format_info().has_alpha() && self.encoder.adds_alpha()
    }

    /// Launch description of the video branch from demuxer to muxer, and notes for the user.
    ///
    /// # Errors
    /// If it is HDR with `--hdr refuse`, or does not fit the container.
    pub fn video(&self, video: &Video) -> Result<(String, Vec<String>)> {
        let (info, encoder) = (&video.info, &self.encoder);
        let mut notes = Vec::new();
        let interlaced = info.interlace_mode() != gst_video::VideoInterlaceMode::Progressive;
        let hdr = matches!(
            info.colorimetry().transfer(),
            VideoTransferFunction::Smpte2084 | VideoTransferFunction::AribStdB67
        );
        if self.container.pictures == Some(Pictures::One) && !video.still {
            bail!(
                ".{} holds one frame, and this is video; give .mp4, .mkv or .webm, or .gif, .png or .webp",
                self.container.extension
            );
        }
        let has_alpha = info.format_info().has_alpha();
        let alpha = has_alpha && encoder.keeps_alpha();
        if has_alpha && !alpha {
            notes.push(format!(
                "what is transparent is filled: {} keeps no alpha here; vp9 in .webm and prores in .mov do",
                encoder.codec()
            ));
        }
        let source_deep = info.format_info().depth()[0] > 8;
        let deep = source_deep && !interlaced && !hdr && !alpha && encoder.keeps_depth();
        if source_deep && !deep && !hdr {
            let kept = if interlaced {
                "interlaced video of more than 8 bits is painted with 8".into()
            } else if alpha {
                "video with alpha is painted with 8 bits".into()
            } else {
                format!(
                    "{} gets 8 of the {} bits; --encoder hevc, prores or ffv1 keeps 10",
                    encoder.codec(),
                    info.format_info().depth()[0]
                )
            };
            notes.push(kept);
        }
        // Frames of all lines at the frame rate. `deinterlace` passes formats through that it cannot process, so they
        // are converted first.
        let fields = if interlaced {
            notes.push("interlaced video is deinterlaced".into());
            "videoconvert ! video/x-raw,format={I420,Y42B} ! deinterlace name=frames method=greedyh fields=top"
        } else {
            "deinterlace name=frames method=greedyh fields=top"
        };
        let tone = if !hdr {
            ""
        } else if self.hdr == Hdr::Refuse {
            bail!("it is HDR; --hdr tone-map makes it SDR")
        } else {
            notes.push("HDR is mapped to SDR".into());
            " ! videoconvert ! video/x-raw,format=RGB10A2_LE ! stylizetonemap"
        };
        let (stylize, encode) = (&self.stylize, encoder.line(deep, alpha));
        let turn = video.turned.map_or(String::new(), |turn| {
            format!(" ! videoconvert ! videoflip video-direction={turn}")
        });
        // Short queues, so that Ctrl-C ends the film soon.
        let line = format!(
            "queue ! decodebin ! {fields}{tone} ! {} ! queue max-size-buffers=4 max-size-bytes=0 max-size-time=0 \
             ! {stylize}{} ! queue max-size-buffers=4 max-size-bytes=0 max-size-time=0{turn} ! videoconvert ! {encode} ! queue",
            one_size(info, deep, alpha, hdr),
            crop(info, self.container.pictures.is_some(), &mut notes),
        );
        Ok((line, notes))
    }
}

/// Converts all frames to the size and format of the first one: encoders and muxers do not accept changes.
fn one_size(info: &gst_video::VideoInfo, deep: bool, alpha: bool, hdr: bool) -> String {
    // RGB, because videoconvert by itself chooses a format with a fourth byte, which costs a tenth of the total time.
    let format = match (deep, alpha) {
        (true, _) => "{I420_10LE,P010_10LE,I422_10LE,Y444_10LE}",
        (_, true) => "RGBA",
        _ => "RGB",
    };
    // Timestamps determine when frames are shown, but some encoders need a frame rate.
    let (par, fps) = (info.par(), known_rate(info.fps()));
    // Tone mapping has changed the colorimetry already.
    let colours = info.colorimetry();
    let known = deep && !hdr && colours.matrix() != gst_video::VideoColorMatrix::Unknown;
    let colours = if known {
        format!(",colorimetry={}", quoted(&colours.to_string()))
    } else {
        String::new()
    };
    format!(
        "capssetter caps=video/x-raw,framerate={}/{} ! videoconvert ! videoscale add-borders=true \
         ! video/x-raw,format={format},width={},height={},pixel-aspect-ratio={}/{}{colours}",
        fps.numer(),
        fps.denom(),
        info.width(),
        info.height(),
        par.numer(),
        par.denom(),
    )
}

/// The frame rate, or 25/1 if it is unknown.
fn known_rate(fps: gst::Fraction) -> gst::Fraction {
    match fps.numer() {
        0 => gst::Fraction::new(25, 1),
        _ => fps,
    }
}

/// Crops odd sides by a pixel, because 4:2:0 needs even ones. `whole`: odd sides are allowed.
fn crop(info: &gst_video::VideoInfo, whole: bool, notes: &mut Vec<String>) -> String {
    let (right, bottom) = (info.width() % 2, info.height() % 2);
    if right + bottom == 0 || whole {
        return String::new();
    }
    notes.push("an odd side loses its last row or column: 4:2:0 video has none".into());
    format!(" ! videocrop right={right} bottom={bottom}")
}

/// Launch description of the element with the user's properties.
///
/// # Errors
/// A usage error for a wrong property.
fn stylize(args: &Args) -> Result<String> {
    // The latency of a frame does not matter for a file, so several are processed at a time. Slightly more than cores,
    // so that none is idle while a finished frame waits for an earlier one.
    let frames = cores().min(4) + 3;
    let base = format!("stylize name=stylize qos=false frames-in-flight={frames}");
    let properties = properties(args)?;
    element::describe(
        &base,
        properties
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    )
}

/// Properties from options and after `--`. A name may occur twice; the last one counts.
///
/// # Errors
/// A usage error for a property without a value.
pub fn properties(args: &Args) -> Result<Vec<(&str, String)>> {
    let options = [
        ("model-file", args.model_file.clone()),
        ("quality", args.quality.clone()),
        ("style", args.style.clone()),
        ("execution-provider", args.execution_provider.clone()),
        ("precision", args.precision.clone()),
        ("device", args.device.clone()),
        ("runtime-library", args.runtime_library.clone()),
        ("strength", args.strength.map(|v| v.to_string())),
        ("threads", args.threads.map(|v| v.to_string())),
    ];
    let options = options
        .into_iter()
        .filter_map(|(name, value)| Some(Ok((name, value?))));
    let more = args.properties.iter().map(|property| {
        let (name, value) = element::split(property)?;
        Ok((name, value.to_string()))
    });
    options.chain(more).collect()
}
