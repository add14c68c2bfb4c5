// SPDX-License-Identifier: MPL-2.0
//! The output containers: muxers, codecs and the features of each.

use std::path::Path;

use anyhow::{Context, Result};
use gst::prelude::*;

use super::Args;
use crate::shared::failure::usage;

/// A container.
#[derive(Debug)]
pub struct Container {
    pub extension: &'static str,
    /// Launch description of the muxer.
    muxer: &'static str,
    /// Video codecs to try in this order if none is given.
    pub codecs: &'static [&'static str],
    /// Audio encoder for sound that cannot be copied: launch description and media type.
    pub sound: (&'static str, &'static str),
    /// Whether its muxer writes chapters.
    pub chapters: bool,
    /// Whether its muxer writes a cover picture.
    pub cover: bool,
    /// For picture files: how many frames they hold. `None`: a film.
    pub pictures: Option<Pictures>,
}

/// Number of frames in a picture file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pictures {
    /// One frame.
    One,
    /// One frame or an animation.
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

/// A picture file: the encoder's output is the whole file.
const fn picture(extension: &'static str, codecs: &'static [&'static str]) -> Container {
    Container {
        codecs,
        pictures: Some(Pictures::One),
        ..container(extension, "identity")
    }
}

/// An animation file, which the element `stylizeanimation` writes.
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

/// The container for the output, from `--format` or the extension.
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

/// The extension in lower case; empty if the name has none.
pub fn extension(file: &Path) -> String {
    let extension = file.extension().and_then(|extension| extension.to_str());
    extension.unwrap_or_default().to_ascii_lowercase()
}

/// Whether the extension names a container that can be written.
pub fn is_container(file: &Path) -> bool {
    named(&extension(file)).is_some()
}

fn named(extension: &str) -> Option<&'static Container> {
    CONTAINERS.iter().find(|known| known.extension == extension)
}

impl Container {
    /// Creates the muxer.
    ///
    /// # Errors
    /// If it is not installed.
    pub fn muxer(&self) -> Result<gst::Element> {
        let bin = gst::parse::bin_from_description(self.muxer, false)?;
        let muxer = bin.children().pop().context("the muxer is missing")?;
        // Removed from the bin that the parser put it in.
        bin.remove(&muxer)?;
        Ok(muxer)
    }
}

/// The muxer's sink pad template for these caps.
pub fn template(muxer: &gst::Element, caps: &gst::Caps) -> Option<gst::PadTemplate> {
    muxer.pad_template_list().into_iter().find(|template| {
        template.direction() == gst::PadDirection::Sink && template.caps().can_intersect(caps)
    })
}
