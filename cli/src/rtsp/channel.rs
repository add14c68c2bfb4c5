// SPDX-License-Identifier: MPL-2.0
//! Builds the elements of a media: source, generator, encoder, payloaders. The style comes from a client's URL, so
//! elements are created and their properties set: no text from a client becomes part of a launch description.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use gst::glib;
use gst::prelude::*;
use gststylize::model::styles;

use super::Args;
use crate::shared::address::Input;
use crate::shared::live;

/// Weights of a mix are rounded to 1/100; mixes that are equal then share a pipeline.
const WEIGHT_STEPS: f32 = 100.0;
/// Longest URL of a request, bytes.
const LONGEST_REQUEST: usize = 1024;

/// Source, generator and encoder of every pipeline.
#[derive(Clone)]
pub struct Channel {
    source: Source,
    height: u32,
    quality: String,
    /// Bitrate in kbit/s.
    bitrate: u32,
    styles: Vec<String>,
}

#[derive(Clone)]
enum Source {
    Test,
    Uri {
        uri: String,
        sound: bool,
        /// Whether it delivers frames in real time.
        live: bool,
    },
}

impl Channel {
    /// Reads which streams the source has.
    ///
    /// # Errors
    /// If it cannot be played or has no video.
    pub fn new(args: &Args, styles: Vec<String>) -> Result<Self> {
        let source = &args.source;
        let input = Input::new(source).context("--source")?;
        let source = match input.uri() {
            None => Source::Test,
            Some(uri) => {
                let discoverer = gst_pbutils::Discoverer::new(gst::ClockTime::from_seconds(20))?;
                let info = discoverer
                    .discover_uri(&uri)
                    .with_context(|| format!("{source} cannot be played"))?;
                if info.video_streams().is_empty() {
                    bail!("{source} has no video");
                }
                Source::Uri {
                    sound: !info.audio_streams().is_empty(),
                    live: input.is_live(),
                    uri,
                }
            }
        };
        Ok(Self {
            source,
            height: args.height,
            quality: args.quality.clone(),
            bitrate: args.bitrate,
            styles,
        })
    }

    /// Whether the source is live, so that frames are sent without waiting for the clock.
    pub fn is_live(&self) -> bool {
        matches!(self.source, Source::Uri { live: true, .. })
    }

    /// The style in a client's URL in canonical form, so that URLs of the same mix share a pipeline. `None` if there is
    /// no such style.
    pub fn style(&self, address: &str) -> Option<String> {
        if address.len() > LONGEST_REQUEST {
            return None;
        }
        let address = url::Url::parse(address).ok()?;
        let asked = address.query_pairs().find(|(name, _)| name == "style");
        let style = match asked {
            Some((_, style)) => style.to_string(),
            None => address.path_segments()?.next_back()?.to_string(),
        };
        let style = match style.as_str() {
            "" | "live" => self.styles.first()?.clone(),
            _ => style,
        };
        let weights = styles::weights(&self.styles, &style).ok()?;
        let parts = self.styles.iter().zip(weights);
        let parts = parts.filter_map(|(name, weight)| {
            let steps = (weight * WEIGHT_STEPS).round();
            (steps > 0.0).then(|| format!("{name}:{steps}"))
        });
        let parts = parts.collect::<Vec<_>>();
        // All weights are rounded to 0 if there are very many styles.
        (!parts.is_empty()).then(|| parts.join(","))
    }

    /// The elements of a media for a style from [`Self::style`]: payloaders `pay0` and, with sound, `pay1`.
    ///
    /// # Errors
    /// If an element is missing.
    pub fn bin(&self, style: &str) -> Result<gst::Bin> {
        let bin = gst::Bin::new();
        let (video, sound) = self.source(&bin)?;
        let stylize = gst::ElementFactory::make("stylize")
            .property_from_str("adapt", "resolution")
            .property("style", style)
            .build()?;
        // The value was checked by clap.
        stylize.set_property_from_str("quality", &self.quality);
        let painted = [
            make("videoconvert")?,
            stylize,
            make("videoconvert")?,
            caps_filter("video/x-raw", &[("format", "I420".to_send_value())])?,
            gst::ElementFactory::make("queue")
                .property("max-size-buffers", 2_u32)
                .build()?,
            gst::ElementFactory::make("x264enc")
                .property_from_str("tune", "zerolatency")
                .property_from_str("speed-preset", "veryfast")
                .property("bitrate", self.bitrate)
                .property("key-int-max", 50_u32)
                .build()?,
            make("h264parse")?,
            gst::ElementFactory::make("rtph264pay")
                .name("pay0")
                .property("pt", 96_u32)
                .property("config-interval", -1_i32)
                .build()?,
        ];
        chain(&bin, &video, &painted)?;
        if let Some(sound) = sound {
            let heard = [
                make("audioconvert")?,
                make("audioresample")?,
                make("avenc_aac")?,
                make("aacparse")?,
                gst::ElementFactory::make("rtpmp4apay")
                    .name("pay1")
                    .property("pt", 97_u32)
                    .build()?,
            ];
            chain(&bin, &sound, &heard)?;
        }
        Ok(bin)
    }

    /// Adds the source to the bin; returns the elements whose source pads have raw video and sound.
    fn source(&self, bin: &gst::Bin) -> Result<(gst::Element, Option<gst::Element>)> {
        match &self.source {
            Source::Test => {
                let width = self.height * 16 / 9 / 2 * 2;
                let video = gst::ElementFactory::make("videotestsrc")
                    .property("is-live", true)
                    .property_from_str("pattern", "ball")
                    .build()?;
                let size = [
                    ("width", side(width).to_send_value()),
                    ("height", side(self.height).to_send_value()),
                    ("framerate", gst::Fraction::new(25, 1).to_send_value()),
                ];
                let size = caps_filter("video/x-raw", &size)?;
                let sound = gst::ElementFactory::make("audiotestsrc")
                    .property("is-live", true)
                    .property_from_str("wave", "ticks")
                    .build()?;
                bin.add_many([&video, &sound])?;
                chain(bin, &video, std::slice::from_ref(&size))?;
                Ok((size, Some(sound)))
            }
            Source::Uri { uri, sound, live } => {
                let source = gst::ElementFactory::make("uridecodebin")
                    .property("uri", uri)
                    .build()?;
                let queue = make("queue")?;
                if *live {
                    // A newer frame replaces the one that waits, because a live source cannot be slowed down.
                    queue.set_property("max-size-buffers", 1_u32);
                    queue.set_property_from_str("leaky", "downstream");
                }
                let size = [
                    ("height", side(self.height).to_send_value()),
                    (
                        "pixel-aspect-ratio",
                        gst::Fraction::new(1, 1).to_send_value(),
                    ),
                ];
                let shown = [
                    make("videoconvert")?,
                    // Passes progressive frames through.
                    gst::ElementFactory::make("deinterlace")
                        .property_from_str("fields", "top")
                        .build()?,
                    make("videoscale")?,
                    caps_filter("video/x-raw", &size)?,
                ];
                bin.add_many([&source, &queue])?;
                chain(bin, &queue, &shown)?;
                let mut heads = BTreeMap::from([("video/", queue)]);
                let [.., video] = shown;
                let sound = if *sound {
                    let queue = make("queue")?;
                    bin.add(&queue)?;
                    heads.insert("audio/", queue.clone());
                    Some(queue)
                } else {
                    None
                };
                link_by_kind(&source, heads);
                if *live {
                    live::reduce_latency(bin);
                }
                Ok((video, sound))
            }
        }
    }
}

fn make(factory: &str) -> Result<gst::Element> {
    Ok(gst::ElementFactory::make(factory).build()?)
}

/// Caps have `gint` fields; clap limits sides to 4320.
fn side(pixels: u32) -> i32 {
    i32::try_from(pixels).unwrap_or(i32::MAX)
}

/// A `capsfilter` with one structure.
fn caps_filter(name: &str, fields: &[(&str, glib::SendValue)]) -> Result<gst::Element> {
    let mut structure = gst::Structure::new_empty(name);
    for (field, value) in fields {
        structure.set_value(*field, value.clone());
    }
    let caps = gst::Caps::builder_full().structure(structure).build();
    Ok(gst::ElementFactory::make("capsfilter")
        .property("caps", caps)
        .build()?)
}

/// Adds elements to the bin and links them after `head`, which is in it.
fn chain(bin: &gst::Bin, head: &gst::Element, elements: &[gst::Element]) -> Result<()> {
    bin.add_many(elements)?;
    let heads = std::iter::once(head).chain(elements);
    for (before, after) in heads.zip(elements) {
        before.link(after)?;
    }
    Ok(())
}

/// When the source adds pads, links the first one of each media type to the element for this prefix.
fn link_by_kind(source: &gst::Element, heads: BTreeMap<&'static str, gst::Element>) {
    source.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let kind = caps.structure(0).map_or("", |s| s.name().as_str());
        let head = heads.iter().find(|(prefix, _)| kind.starts_with(**prefix));
        let entry = head.and_then(|(_, head)| head.static_pad("sink"));
        if let Some(entry) = entry.filter(|entry| !entry.is_linked()) {
            // If the caps do not fit, the source posts an error.
            let _ = pad.link(&entry);
        }
    });
}
