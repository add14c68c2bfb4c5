// SPDX-License-Identifier: MPL-2.0
//! What is decided before anything plays: container, encoder, and the element's properties.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use gst::prelude::*;

use super::Args;

/// Containers by extension, with the muxer as `gst-launch-1.0` writes it.
const CONTAINERS: [(&str, &str); 6] = [
    ("mp4", "mp4mux faststart=true"),
    ("m4v", "mp4mux faststart=true"),
    ("mov", "qtmux faststart=true"),
    ("mkv", "matroskamux"),
    ("webm", "webmmux"),
    ("ts", "mpegtsmux"),
];

/// H.264 encoders, hardware first. Quality settings where an encoder's own default is a fixed
/// bitrate; `ultrafast`, because the encoder shares the processor with the generator. Without a
/// buffer capacity of 0, x264 caps the bitrate at 2 Mbit/s, and a painting becomes a mosaic; trellis
/// is not of the preset, and would cost a quarter of the encoder's time for the same bits.
const H264: [(&str, &str); 6] = [
    ("nvh264enc", ""),
    ("vah264enc", ""),
    ("vaapih264enc", ""),
    ("v4l2h264enc", ""),
    (
        "x264enc",
        "pass=qual quantizer=23 vbv-buf-capacity=0 trellis=false speed-preset=ultrafast",
    ),
    ("openh264enc", "complexity=low"),
];
/// Without looking ahead: what `vp9enc` 1.22 still holds at the end is lost.
const WEBM: [(&str, &str); 2] = [
    (
        "vp9enc",
        "deadline=1 cpu-used=8 lag-in-frames=0 row-mt=true end-usage=cq cq-level=24 target-bitrate=6000000",
    ),
    (
        "vp8enc",
        "deadline=1 cpu-used=8 lag-in-frames=0 end-usage=cq cq-level=12 target-bitrate=6000000",
    ),
];

/// Compressed sound may run far ahead of the painting.
pub const LONG_QUEUE: &str = "queue max-size-buffers=0 max-size-time=0 max-size-bytes=67108864";

/// What is decided before anything plays.
#[derive(Clone)]
pub struct Plan {
    pub muxer: &'static str,
    pub webm: bool,
    /// Files with the painted video, where it is not painted while the container is written.
    pub pieces: Option<PathBuf>,
    stylize: String,
    encoder: String,
}

impl Plan {
    /// What makes the picture look as it does, in lines. Not where it is computed: that may differ from
    /// piece to piece.
    pub fn look(&self, args: &Args) -> String {
        let (model, quality) = (args.model_file.as_deref(), args.quality.as_deref());
        let (style, precision) = (args.style.as_deref(), args.precision.as_deref());
        format!(
            "model: {}\nquality: {}\nstyle: {}\nstrength: {}\nprecision: {}\nencoder: {}\n",
            model.unwrap_or("built in"),
            quality.unwrap_or("auto"),
            style.unwrap_or("the first"),
            args.strength.unwrap_or(1.0),
            precision.unwrap_or("auto"),
            self.encoder,
        )
    }

    /// Description of the video's way from the parsed stream to the muxer.
    pub fn video(&self, odd: (bool, bool)) -> String {
        let crop = match odd {
            (false, false) => String::new(),
            (width, height) => format!(
                " ! videocrop right={} bottom={}",
                u8::from(width),
                u8::from(height)
            ),
        };
        let (stylize, encoder) = (&self.stylize, &self.encoder);
        // A short queue, so that Ctrl-C need not wait for much. RGB, because left alone videoconvert
        // takes a format with a fourth byte, which costs a tenth of the whole. Progressive frames pass
        // `deinterlace` as they are, of others one field is kept, at the same rate. Turned upright,
        // because the muxers do not write the tag that says how to turn it.
        format!(
            "queue max-size-buffers=8 ! decodebin ! deinterlace name=frames fields=top ! videoconvert \
             ! video/x-raw,format=RGB \
             ! queue max-size-buffers=4 ! {stylize}{crop} ! queue max-size-buffers=4 ! videoconvert \
             ! videoflip video-direction=auto ! {encoder} ! queue"
        )
    }
}

/// The extension, if it names a container, and its muxer.
fn container(file: &Path) -> Option<(&'static str, &'static str)> {
    let extension = file.extension()?.to_str()?.to_ascii_lowercase();
    CONTAINERS
        .iter()
        .copied()
        .find(|(known, _)| *known == extension)
}

pub fn is_container(file: &Path) -> bool {
    container(file).is_some()
}

/// The plan for these arguments.
pub fn plan(args: &Args) -> Result<Plan> {
    let Some((extension, muxer)) = container(&args.output) else {
        let known: Vec<_> = CONTAINERS.iter().map(|(name, _)| *name).collect();
        bail!(
            "{}: the extension says the container; use one of {}",
            args.output.display(),
            known.join(", ")
        );
    };
    let webm = extension == "webm";
    Ok(Plan {
        muxer,
        webm,
        pieces: None,
        stylize: stylize(args)?,
        encoder: encoder(args, webm)?,
    })
}

/// The element with the properties that were asked for, each checked here.
fn stylize(args: &Args) -> Result<String> {
    let element = gst::ElementFactory::make("stylize").build()?;
    // Nobody waits for a single frame of a file: more of them at once are done sooner. A few more than
    // cores, so that none idles while an early frame waits to be handed on in its order.
    let frames = cores().min(4) + 3;
    let mut text = format!("stylize name=stylize qos=false frames-in-flight={frames}");
    let options = [
        ("model-file", args.model_file.clone()),
        ("quality", args.quality.clone()),
        ("style", args.style.clone()),
        ("strength", args.strength.map(|v| v.to_string())),
        ("execution-provider", args.execution_provider.clone()),
        ("precision", args.precision.clone()),
        ("device", args.device.clone()),
        ("threads", args.threads.map(|v| v.to_string())),
        ("runtime-library", args.runtime_library.clone()),
    ];
    for (name, value) in options {
        let Some(value) = value else { continue };
        let pspec = element
            .find_property(name)
            .ok_or_else(|| anyhow!("stylize has no property {name}"))?;
        let known = gst::glib::EnumClass::with_type(pspec.value_type()).map(|class| {
            let nicks = class.values().iter().map(|value| value.nick().to_string());
            nicks.collect::<Vec<_>>()
        });
        if let Some(known) = known
            && !known.contains(&value)
        {
            bail!("--{name} {value}: use one of {}", known.join(", "));
        }
        if name == "threads" && args.threads.is_some_and(|v| v > 1024) {
            bail!("--threads {value}: use a number from 0 to 1024");
        }
        if name == "strength" && !args.strength.is_some_and(|v| (0.0..=1.0).contains(&v)) {
            bail!("--strength {value}: use a number from 0 to 1");
        }
        text += &format!(" {name}={}", quoted(&value));
    }
    Ok(text)
}

/// The encoder with its format and parser: the one asked for, or the first that starts.
fn encoder(args: &Args, webm: bool) -> Result<String> {
    let list: &[(&str, &str)] = if webm { &WEBM } else { &H264 };
    let settings = |name: &str| {
        list.iter()
            .find(|(known, _)| *known == name)
            .map_or("", |e| e.1)
    };
    let works = |name: &str| {
        let Ok(element) = gst::ElementFactory::make(name).build() else {
            return false;
        };
        let ready = element.set_state(gst::State::Ready).is_ok();
        // An element that did not start has nothing to stop.
        let _ = element.set_state(gst::State::Null);
        ready
    };
    let name = match &args.encoder {
        Some(name) if works(name) => name.as_str(),
        Some(name) => bail!("--encoder {name}: there is no such element, or it does not start"),
        None => list
            .iter()
            .map(|(name, _)| *name)
            .find(|name| works(name))
            .ok_or_else(|| {
                anyhow!("no video encoder works; install GStreamer's \"good\" and \"ugly\" plugins")
            })?,
    };
    let settings = match args.bitrate {
        Some(kbit) if kbit > 1_000_000 => bail!("--bitrate {kbit}: use kilobits, at most 1000000"),
        // VP8, VP9 and OpenH264 count bits, all others kilobits.
        Some(kbit) if webm => format!(
            "deadline=1 cpu-used=8 lag-in-frames=0 target-bitrate={}",
            kbit * 1000
        ),
        Some(kbit) if name == "openh264enc" => format!("complexity=low bitrate={}", kbit * 1000),
        Some(kbit) if name == "x264enc" => format!("bitrate={kbit} speed-preset=ultrafast"),
        Some(kbit) => format!("bitrate={kbit}"),
        None => settings(name).to_string(),
    };
    let parser = if name.contains("h264") || name.contains("264enc") {
        " ! h264parse"
    } else {
        ""
    };
    // On few cores more threads only get in the generator's way.
    let threads = if cores() <= 4 && name == "x264enc" {
        " threads=1"
    } else {
        ""
    };
    // 4:2:0 is what every player can show.
    Ok(format!(
        "video/x-raw,format={{I420,NV12}} ! {name} {settings}{threads}{parser}"
    ))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A value as one word for GStreamer's parser.
pub fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:=".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.into();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
