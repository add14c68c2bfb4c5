// SPDX-License-Identifier: MPL-2.0
//! What is decided before anything plays: container, encoder, the element's properties, and the way of the video.

use std::path::PathBuf;

use anyhow::{Result, bail};
use gst_video::VideoTransferFunction;

use super::container::{self, Container, Pictures};
use super::encode::{Encoder, cores};
use super::look::Video;
use super::{Args, Hdr};
use crate::shared::element;
use crate::shared::text::quoted;

/// What is decided before anything plays.
#[derive(Clone)]
pub struct Plan {
    pub container: &'static Container,
    pub encoder: Encoder,
    /// Files with the painted video, where it is not painted while the container is written.
    pub pieces: Option<PathBuf>,
    /// Description of the element with its properties.
    pub stylize: String,
    hdr: Hdr,
}

impl Plan {
    /// The plan for these arguments.
    ///
    /// # Errors
    /// A usage error for what cannot be done, an error if something is not installed.
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

    /// Description of the video's way from the container to the muxer, and what the user should know of it.
    ///
    /// # Errors
    /// If it is HDR, and that is to be refused.
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
                "what is transparent is filled: {} keeps no alpha here; prores in .mov does",
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
        // All lines, at the rate of frames. `deinterlace` lets formats through that it cannot work on, so they
        // are made ones that it can.
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
        // Short queues of frames, so that Ctrl-C need not wait for much.
        let line = format!(
            "queue ! decodebin ! {fields}{tone} ! {} ! queue max-size-buffers=4 max-size-bytes=0 max-size-time=0 \
             ! {stylize}{} ! queue max-size-buffers=4 max-size-bytes=0 max-size-time=0{turn} ! videoconvert ! {encode} ! queue",
            one_size(info, deep, alpha, hdr),
            crop(info, self.container.pictures.is_some(), &mut notes),
        );
        Ok((line, notes))
    }
}

/// All frames as the first is, whatever the stream does later: an encoder and a muxer take one size.
fn one_size(info: &gst_video::VideoInfo, deep: bool, alpha: bool, hdr: bool) -> String {
    // RGB, because left alone videoconvert takes a format with a fourth byte, which costs a tenth of the whole.
    let format = match (deep, alpha) {
        (true, _) => "{I420_10LE,P010_10LE,I422_10LE,Y444_10LE}",
        (_, true) => "RGBA",
        _ => "RGB",
    };
    // Frames are shown when they say, but not every encoder starts without a rate.
    let (par, fps) = (info.par(), known_rate(info.fps()));
    // What is left of HDR has another colorimetry already.
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

/// The rate, or a usual one.
fn known_rate(fps: gst::Fraction) -> gst::Fraction {
    match fps.numer() {
        0 => gst::Fraction::new(25, 1),
        _ => fps,
    }
}

/// What makes odd sides even.
fn crop(info: &gst_video::VideoInfo, whole: bool, notes: &mut Vec<String>) -> String {
    let (right, bottom) = (info.width() % 2, info.height() % 2);
    if right + bottom == 0 || whole {
        return String::new();
    }
    notes.push("an odd side loses its last row or column: 4:2:0 video has none".into());
    format!(" ! videocrop right={right} bottom={bottom}")
}

/// The element with the properties that were asked for, each checked here.
fn stylize(args: &Args) -> Result<String> {
    // Nobody waits for a single frame of a file: more of them at once are done sooner. A few more than
    // cores, so that none idles while an early frame waits to be handed on in its order.
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

/// The element's properties that were asked for, by options and behind `--`; the last of a name counts.
///
/// # Errors
/// A usage error for what is no property with a value.
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
