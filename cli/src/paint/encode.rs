// SPDX-License-Identifier: MPL-2.0
//! Video encoders: the known elements by codec, the choice of one that works on this machine, and their settings.

use anyhow::{Result, anyhow, bail};
use gst::prelude::*;

use super::container::{Container, template};
use super::{Args, alpha};
use crate::shared::failure::usage;

/// Default quality on x264's scale, 0 to 51.
pub const CRF: u32 = 23;
/// Raw formats of 8 bits in 4:2:0, which every player can decode.
const EIGHT: &str = "{I420,NV12}";

/// A video codec with its encoders.
struct Codec {
    name: &'static str,
    caps: &'static str,
    /// Parser between encoder and muxer; empty if none is needed.
    parser: &'static str,
    /// Elements and their settings, hardware first. Placeholders: `{q}` is the quality on x264's scale, `{q63}` on that
    /// of VP9 and AV1, `{q31}` half of `{q}`. Without one, the quality cannot be set.
    elements: &'static [(&'static str, &'static str)],
    /// Raw formats: 8 bits; more than 8 bits; with alpha. `None`: not supported.
    formats: [Option<&'static str>; 3],
}

/// Settings that need a reason:
///
/// x264: `ultrafast`, because the encoder shares the processor with the generator. `vbv-buf-capacity=0`, because
/// otherwise the bitrate is limited to 2 Mbit/s and paintings show blocks. `trellis=false`, because trellis is not part
/// of the preset and costs a quarter of the encoder's time for the same bitrate.
///
/// VP9: `lag-in-frames=0`, because `vp9enc` 1.22 loses the frames in its lookahead at EOS.
///
/// VP8: `cpu-used` below 0, because above 0 the effort depends on the elapsed time and output is not reproducible.
const CODECS: [Codec; 11] = [
    Codec {
        name: "h264",
        caps: "video/x-h264",
        parser: "h264parse",
        elements: &[
            ("nvh264enc", "rc-mode=constqp qp-const={q}"),
            ("vah264enc", "rate-control=cqp qpi={q} qpp={q} qpb={q}"),
            ("vaapih264enc", "rate-control=cqp init-qp={q}"),
            ("v4l2h264enc", ""),
            (
                "x264enc",
                "pass=qual quantizer={q} vbv-buf-capacity=0 trellis=false speed-preset=ultrafast",
            ),
            ("openh264enc", "complexity=low"),
        ],
        // Few players decode 10-bit H.264.
        formats: [Some(EIGHT), None, None],
    },
    Codec {
        name: "hevc",
        caps: "video/x-h265",
        parser: "h265parse",
        elements: &[
            ("nvh265enc", "rc-mode=constqp qp-const={q}"),
            ("vah265enc", "rate-control=cqp qpi={q} qpp={q} qpb={q}"),
            ("vaapih265enc", "rate-control=cqp init-qp={q}"),
            (
                "x265enc",
                "speed-preset=ultrafast log-level=none option-string=crf={q}",
            ),
        ],
        formats: [Some(EIGHT), Some("{I420_10LE,P010_10LE}"), None],
    },
    Codec {
        name: "av1",
        caps: "video/x-av1",
        parser: "av1parse",
        elements: &[
            ("svtav1enc", "preset=10 crf={q63}"),
            (
                "av1enc",
                "cpu-used=8 lag-in-frames=0 row-mt=true end-usage=vbr target-bitrate=20000 min-quantizer={q63} max-quantizer={q63}",
            ),
        ],
        formats: [Some("I420"), None, None],
    },
    Codec {
        name: "vp9",
        caps: "video/x-vp9",
        parser: "vp9parse",
        elements: &[(
            "vp9enc",
            "deadline=1 cpu-used=8 lag-in-frames=0 row-mt=true end-usage=cq cq-level={q63} target-bitrate=6000000",
        )],
        formats: [Some("I420"), Some("I420_10LE"), None],
    },
    Codec {
        name: "vp8",
        caps: "video/x-vp8",
        parser: "",
        elements: &[(
            "vp8enc",
            "deadline=1 cpu-used=-8 lag-in-frames=0 end-usage=cq cq-level={q31} target-bitrate=6000000",
        )],
        formats: [Some("I420"), None, None],
    },
    Codec {
        name: "prores",
        caps: "video/x-prores",
        parser: "",
        elements: &[("avenc_prores_ks", "")],
        formats: [Some("I422_10LE"), Some("I422_10LE"), Some("A444_10LE")],
    },
    Codec {
        name: "ffv1",
        caps: "video/x-ffv",
        parser: "",
        elements: &[("avenc_ffv1", "")],
        formats: [Some("I420"), Some("I420_10LE"), Some("BGRA")],
    },
    Codec {
        name: "png",
        caps: "image/png",
        parser: "",
        elements: &[("pngenc", "")],
        formats: [Some("RGB"), None, Some("RGBA")],
    },
    Codec {
        name: "jpeg",
        caps: "image/jpeg",
        parser: "",
        elements: &[("jpegenc", "quality=92")],
        formats: [Some("{Y444,I420}"), None, None],
    },
    Codec {
        name: "webp",
        caps: "image/webp",
        parser: "",
        elements: &[("webpenc", "quality=92")],
        formats: [Some("RGB"), None, Some("RGBA")],
    },
    Codec {
        name: "gif",
        caps: "image/gif",
        parser: "",
        elements: &[("stylizegifenc", "")],
        formats: [Some("RGBA"), None, Some("RGBA")],
    },
];

/// The chosen encoder.
#[derive(Clone)]
pub struct Encoder {
    /// Launch description: element, settings and parser.
    line: String,
    /// Caps of its output.
    pub caps: gst::Caps,
    codec: &'static str,
    formats: [Option<&'static str>; 3],
    /// Whether alpha is a second stream, which [`alpha`] adds to the file.
    adds_alpha: bool,
    /// More fields of the raw caps.
    raw: &'static str,
}

impl Encoder {
    /// The encoder that `--encoder` names, or the first of the container's codecs that works here.
    ///
    /// # Errors
    /// A usage error for an encoder that is unknown, does not fit the container, or has no such quality setting; an
    /// error if none works.
    pub fn new(args: &Args, container: &Container) -> Result<Self> {
        let muxer = container.muxer()?;
        let fits = |codec: &Codec| {
            let free = container.pictures.is_none() && !codec.caps.starts_with("image/");
            let takes = |caps| template(&muxer, &caps).is_some();
            container.codecs.contains(&codec.name) || (free && caps(codec).is_ok_and(takes))
        };
        let asked = args.encoder.as_deref();
        let candidates = match asked {
            Some(asked) => vec![find(asked)?],
            None => container
                .codecs
                .iter()
                .filter_map(|name| named(name))
                .map(|codec| (codec, None))
                .collect(),
        };
        for (codec, element) in candidates {
            if !fits(codec) {
                let fitting = CODECS
                    .iter()
                    .filter(|codec| fits(codec))
                    .map(|codec| codec.name);
                return Err(usage(format!(
                    "--encoder {}: .{} does not hold {}; it holds {}",
                    asked.unwrap_or_default(),
                    container.extension,
                    codec.name,
                    fitting.collect::<Vec<_>>().join(", ")
                )));
            }
            let working = match &element {
                Some(name) => Some(name.clone()).filter(|name| works(name)),
                None => codec
                    .elements
                    .iter()
                    .map(|(name, _)| *name)
                    .filter(|name| !args.portable || is_software(name))
                    .find(|name| works(name))
                    .map(String::from),
            };
            if let Some(name) = working {
                return Self::with(args, container, codec, &name);
            }
            if let Some(asked) = asked {
                let names: Vec<_> = codec.elements.iter().map(|(name, _)| *name).collect();
                return Err(usage(format!(
                    "--encoder {asked}: it does not work here; for {} there would be {}",
                    codec.name,
                    names.join(", ")
                )));
            }
        }
        bail!("no video encoder works; install GStreamer's \"good\" and \"ugly\" plugins")
    }

    fn with(args: &Args, container: &Container, codec: &'static Codec, name: &str) -> Result<Self> {
        let known = codec.elements.iter().find(|(known, _)| *known == name);
        let settings = known.map_or("", |(_, settings)| *settings);
        if args.crf.is_some() && !settings.contains("{q") {
            return Err(usage(format!("--crf: {name} has no such setting")));
        }
        let crf = args.crf.unwrap_or(CRF);
        let settings = match args.bitrate {
            Some(kbit) => bitrate(codec, name, settings, kbit)?,
            None => settings
                .replace("{q}", &crf.to_string())
                .replace("{q63}", &(crf + 1).min(63).to_string())
                .replace("{q31}", &(crf / 2 + 1).max(4).to_string()),
        };
        let settings = with_threads(name, settings, args.encoder_threads);
        // `matroskamux` accepts VP9 without caps of the parser; `mp4mux` needs the profile, which only the parser adds.
        let bare = codec.name == "vp9" && ["mkv", "webm"].contains(&container.extension);
        let parser = match codec.parser {
            _ if bare => String::new(),
            "" => String::new(),
            parser => format!(" ! {parser}"),
        };
        // Of these two it is known that colours and alpha have the same key frames.
        let adds_alpha =
            ["mkv", "webm"].contains(&container.extension) && ["vp9enc", "vp8enc"].contains(&name);
        let adds_alpha = adds_alpha && cfg!(unix);
        Ok(Self {
            line: format!("{name} {settings}{parser}"),
            caps: caps(codec)?,
            codec: codec.name,
            formats: codec.formats,
            adds_alpha,
            // `mp4mux` 1.22 reads a null pointer where VP9 has no chroma siting, as after a conversion from RGB.
            raw: if codec.name == "vp9" && !bare {
                ",chroma-site=mpeg2"
            } else {
                ""
            },
        })
    }

    /// Launch description from raw frames on. `deep`: more than 8 bits.
    pub fn line(&self, deep: bool, alpha: bool) -> String {
        if alpha && self.adds_alpha {
            return alpha::line(&self.line);
        }
        format!(
            "video/x-raw,format={}{} ! {}",
            self.format(deep, alpha),
            self.raw,
            self.line
        )
    }

    /// Whether it encodes alpha.
    pub fn keeps_alpha(&self) -> bool {
        self.formats[2].is_some() || self.adds_alpha
    }

    /// Whether [`alpha`] adds the alpha to the file when it is complete.
    pub fn adds_alpha(&self) -> bool {
        self.adds_alpha
    }

    /// Whether it encodes more than 8 bits.
    pub fn keeps_depth(&self) -> bool {
        self.formats[1].is_some()
    }

    fn format(&self, deep: bool, alpha: bool) -> &'static str {
        let wanted = if alpha {
            self.formats[2]
        } else if deep {
            self.formats[1]
        } else {
            None
        };
        wanted.or(self.formats[0]).unwrap_or(EIGHT)
    }

    /// Whether the output is the same on every machine: true for software with a fixed number of threads; that of
    /// hardware depends on device and driver.
    pub fn is_reproducible(&self) -> bool {
        is_software(self.element())
    }

    /// Name of the encoder's element.
    pub fn element(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// Name of its codec, for messages.
    pub fn codec(&self) -> &'static str {
        self.codec
    }
}

/// Adds the number of threads to the settings of encoders whose output depends on it; by default they use the number of
/// cores.
fn with_threads(name: &str, settings: String, asked: Option<u32>) -> String {
    // Other encoders are faster with more threads even on few cores.
    let usual = if name == "x264enc" { threads() } else { 0 };
    match (name, asked.unwrap_or(usual)) {
        (_, 0) => settings,
        ("x264enc" | "vp9enc" | "vp8enc" | "av1enc", threads) => {
            format!("{settings} threads={threads}")
        }
        ("openh264enc", threads) => format!("{settings} multi-thread={threads}"),
        ("x265enc", threads) => {
            let fixed = format!("frame-threads={threads}:pools={threads}");
            match settings.contains("option-string=") {
                true => settings.replace("option-string=", &format!("option-string={fixed}:")),
                false => format!("{settings} option-string={fixed}"),
            }
        }
        _ => settings,
    }
}

/// Settings for a constant bitrate in kbit/s.
///
/// # Errors
/// A usage error outside 1 to 1 000 000, or if the codec has no bitrate.
fn bitrate(codec: &Codec, name: &str, settings: &str, kbit: u32) -> Result<String> {
    if kbit == 0 || kbit > 1_000_000 {
        return Err(usage(format!(
            "--bitrate {kbit}: use kilobits a second, from 1 to 1000000"
        )));
    }
    let bits = u64::from(kbit) * 1000;
    Ok(match name {
        "vp9enc" => format!("deadline=1 cpu-used=8 lag-in-frames=0 target-bitrate={bits}"),
        "vp8enc" => format!("deadline=1 cpu-used=-8 lag-in-frames=0 target-bitrate={bits}"),
        "openh264enc" => format!("complexity=low bitrate={bits}"),
        "x264enc" => format!("bitrate={kbit} speed-preset=ultrafast"),
        "x265enc" => format!("bitrate={kbit} speed-preset=ultrafast log-level=none"),
        "av1enc" => format!("cpu-used=8 lag-in-frames=0 row-mt=true target-bitrate={kbit}"),
        "svtav1enc" => format!("preset=10 target-bitrate={kbit}"),
        _ if settings.is_empty() && ["prores", "ffv1"].contains(&codec.name) => {
            return Err(usage(format!("--bitrate: {} has none", codec.name)));
        }
        _ => format!("bitrate={kbit}"),
    })
}

fn is_software(element: &str) -> bool {
    let factory = gst::ElementFactory::find(element);
    factory.is_some_and(|factory| !factory.has_type(gst::ElementFactoryType::HARDWARE))
}

fn named(name: &str) -> Option<&'static Codec> {
    CODECS.iter().find(|codec| codec.name == name)
}

/// Finds a codec by its name, or by that of an encoder element, which is returned, too.
fn find(asked: &str) -> Result<(&'static Codec, Option<String>)> {
    let alias = match asked {
        "h265" => "hevc",
        name => name,
    };
    if let Some(codec) = named(alias) {
        return Ok((codec, None));
    }
    let names = || {
        CODECS
            .iter()
            .map(|codec| codec.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let factory = gst::ElementFactory::find(asked)
        .filter(|factory| factory.has_type(gst::ElementFactoryType::VIDEO_ENCODER))
        .ok_or_else(|| {
            usage(format!(
                "--encoder {asked}: there is no such encoder; use one of {}, or the name of a GStreamer element",
                names()
            ))
        })?;
    let codec = CODECS
        .iter()
        .find(|codec| caps(codec).is_ok_and(|caps| factory.can_src_any_caps(&caps)));
    let codec = codec.ok_or_else(|| {
        usage(format!(
            "--encoder {asked}: what it makes is not known here; use one of {}",
            names()
        ))
    })?;
    Ok((codec, Some(asked.into())))
}

fn caps(codec: &Codec) -> Result<gst::Caps> {
    codec.caps.parse().map_err(|_| anyhow!("{}", codec.caps))
}

/// Whether an element exists and reaches the state READY, in which hardware is opened.
fn works(name: &str) -> bool {
    let Ok(element) = gst::ElementFactory::make(name).build() else {
        return false;
    };
    let ready = element.set_state(gst::State::Ready).is_ok();
    // Cannot fail in a way that matters: the element is dropped.
    let _ = element.set_state(gst::State::Null);
    ready
}

/// Threads for an encoder that runs beside the generator; 0: the encoder's default. One on up to four cores, where more
/// would compete with the generator.
pub fn threads() -> u32 {
    u32::from(cores() <= 4)
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
