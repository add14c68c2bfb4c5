// SPDX-License-Identifier: MPL-2.0
//! The containers that can be written, and what fits in them.

use std::path::Path;

use anyhow::{Context, Result};
use gst::prelude::*;

use super::Args;
use crate::shared::failure::usage;

/// A file format, by its extension.
#[derive(Debug)]
pub struct Container {
    pub extension: &'static str,
    /// As `gst-launch-1.0` writes it.
    muxer: &'static str,
    /// Codecs to try if none is asked for.
    pub codecs: &'static [&'static str],
    /// How sound is encoded that does not fit: description and type.
    pub sound: (&'static str, &'static str),
    /// Chapters are written.
    pub chapters: bool,
    /// A cover picture is written.
    pub cover: bool,
    /// What it holds, if that is no film.
    pub pictures: Option<Pictures>,
}

/// A file without sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pictures {
    /// One frame.
    One,
    /// One, or an animation.
    Animated,
}

const AAC: (&str, &str) = ("avenc_aac ! aacparse", "audio/mpeg");
const OPUS: (&str, &str) = ("opusenc", "audio/x-opus");
const H264: &[&str] = &["h264"];

const fn container(extension: &'static str, muxer: &'static str) -> Container {
    Container {
        extension,
        muxer,
        codecs: H264,
        sound: AAC,
        chapters: false,
        cover: false,
        pictures: None,
    }
}

const fn with_cover(container: Container) -> Container {
    Container {
        cover: true,
        ..container
    }
}

/// A file with one frame, which the encoder writes as it is to be.
const fn picture(extension: &'static str, codecs: &'static [&'static str]) -> Container {
    Container {
        codecs,
        pictures: Some(Pictures::One),
        ..container(extension, "identity")
    }
}

/// A file with one frame or many, which are joined here.
const fn animation(extension: &'static str, codecs: &'static [&'static str]) -> Container {
    Container {
        codecs,
        pictures: Some(Pictures::Animated),
        ..container(extension, "stylizeanimation")
    }
}

const CONTAINERS: [Container; 12] = [
    with_cover(container("mp4", "mp4mux faststart=true")),
    with_cover(container("m4v", "mp4mux faststart=true")),
    with_cover(container("mov", "qtmux faststart=true")),
    Container {
        chapters: true,
        ..container("mkv", "matroskamux")
    },
    Container {
        codecs: &["vp9", "vp8"],
        sound: OPUS,
        chapters: true,
        ..container("webm", "webmmux")
    },
    container("ts", "mpegtsmux"),
    animation("png", &["png"]),
    animation("apng", &["png"]),
    animation("gif", &["gif"]),
    animation("webp", &["webp"]),
    picture("jpg", &["jpeg"]),
    picture("jpeg", &["jpeg"]),
];

/// The container of an output.
///
/// # Errors
/// A usage error if the extension, or `--format`, names none.
pub fn of(args: &Args) -> Result<&'static Container> {
    let wanted = match &args.format {
        Some(format) => format.to_ascii_lowercase(),
        None => extension(&args.output),
    };
    named(&wanted).ok_or_else(|| {
        let known: Vec<_> = CONTAINERS.iter().map(|known| known.extension).collect();
        usage(format!(
            "{}: the extension says the container, or --format does; use one of {}",
            args.output.display(),
            known.join(", ")
        ))
    })
}

/// The extension in lower case; empty if there is none.
pub fn extension(file: &Path) -> String {
    let extension = file.extension().and_then(|extension| extension.to_str());
    extension.unwrap_or_default().to_ascii_lowercase()
}

pub fn is_container(file: &Path) -> bool {
    named(&extension(file)).is_some()
}

fn named(extension: &str) -> Option<&'static Container> {
    CONTAINERS.iter().find(|known| known.extension == extension)
}

impl Container {
    /// The muxer, in no pipeline.
    ///
    /// # Errors
    /// If it is not installed.
    pub fn muxer(&self) -> Result<gst::Element> {
        let bin = gst::parse::bin_from_description(self.muxer, false)?;
        let muxer = bin.children().pop().context("the muxer is missing")?;
        // Out of the bin that the description came in.
        bin.remove(&muxer)?;
        Ok(muxer)
    }
}

/// The muxer's pad template for a stream.
pub fn template(muxer: &gst::Element, caps: &gst::Caps) -> Option<gst::PadTemplate> {
    muxer.pad_template_list().into_iter().find(|template| {
        template.direction() == gst::PadDirection::Sink && template.caps().can_intersect(caps)
    })
}
