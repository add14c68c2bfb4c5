// SPDX-License-Identifier: MPL-2.0
//! Finds a place in the container for every stream of the input.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Error, Result, anyhow};
use gst::prelude::*;

use super::pieces::seamless;
use super::plan::{LONG_QUEUE, Plan, quoted};

/// Name of what reads the painted pieces.
pub const PIECES: &str = "pieces";

/// What is found out while the streams appear.
#[derive(Default)]
pub struct Found {
    /// Branches as `gst-launch-1.0` writes them.
    pub branches: Vec<String>,
    /// A video stream is among them.
    pub video: bool,
    /// What the user should know of the other streams.
    pub notes: Vec<String>,
    /// Why the input cannot be played.
    pub error: Option<Error>,
}

/// Links each stream when it appears. `parsebin` shows all of them before data flows.
pub fn watch_streams(
    parse: &gst::Element,
    pipeline: &gst::Pipeline,
    muxer: &gst::Element,
    plan: &Plan,
    found: &Arc<Mutex<Found>>,
) {
    let (weak, muxer, shared) = (pipeline.downgrade(), muxer.clone(), found.clone());
    let plan = plan.clone();
    parse.connect_pad_added(move |_, pad| {
        let (Some(pipeline), Ok(mut found)) = (weak.upgrade(), shared.lock()) else {
            return;
        };
        if let Err(err) = add_stream(&pipeline, &muxer, pad, &plan, &mut found) {
            found.error.get_or_insert(err);
        }
    });
    let (weak, shared) = (pipeline.downgrade(), found.clone());
    parse.connect_no_more_pads(move |_| {
        if let (Some(pipeline), Ok(mut found)) = (weak.upgrade(), shared.lock()) {
            if !found.video {
                found
                    .error
                    .get_or_insert_with(|| anyhow!("the input has no video"));
            }
            // Wakes the main thread, which looks at `found`.
            let structure = gst::Structure::new_empty("streams-known");
            drop(pipeline.post_message(gst::message::Application::new(structure)));
        }
    });
}

/// Sends a message when data flows out of a pad: all streams are there then. `parsebin` 1.22 does not
/// say so itself.
pub fn tell_when_known(pipeline: &gst::Pipeline, pad: &gst::Pad) {
    let weak = pipeline.downgrade();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        if let Some(pipeline) = weak.upgrade() {
            let structure = gst::Structure::new_empty("streams-known");
            drop(pipeline.post_message(gst::message::Application::new(structure)));
        }
        gst::PadProbeReturn::Remove
    });
}

fn add_stream(
    pipeline: &gst::Pipeline,
    muxer: &gst::Element,
    pad: &gst::Pad,
    plan: &Plan,
    found: &mut Found,
) -> Result<()> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let name = caps
        .structure(0)
        .context("a stream without a type")?
        .name()
        .to_string();
    // The branch, and what comes out of it.
    let (branch, wanted) = if name.starts_with("video/") && !found.video {
        found.video = true;
        let odd = odd_sides(&caps);
        if odd != (false, false) {
            let note = "an odd side loses its last row or column: 4:2:0 video has none";
            found.notes.push(note.into());
        }
        if let Some(pieces) = &plan.pieces {
            add_pieces(pipeline, muxer, pieces, &video_caps(plan.webm))?;
            tell_when_known(pipeline, pad);
            return leave_out(pipeline, pad);
        }
        (plan.video(odd), video_caps(plan.webm))
    } else if found.video_like(&name) || !is_known(&name) {
        found.no_place(&name);
        return leave_out(pipeline, pad);
    } else if caps.can_intersect(&aac()) && template(muxer, &aac()).is_some() {
        (format!("{LONG_QUEUE} ! aacparse"), aac())
    } else if template(muxer, &caps).is_some() {
        (LONG_QUEUE.to_string(), caps)
    } else if name == "text/x-raw" && template(muxer, &plain_text()).is_some() {
        // Demuxers call it marked-up text, muxers want to hear it is plain; players know the marks.
        let branch = format!("{LONG_QUEUE} ! capssetter caps=text/x-raw,format=utf8 replace=true");
        (branch, plain_text())
    } else if name.starts_with("audio/") {
        let (encoder, encoded) = if plan.webm {
            ("opusenc", "audio/x-opus")
        } else {
            ("avenc_aac ! aacparse", "audio/mpeg")
        };
        let note = format!("sound of type {name} is encoded anew for this container");
        found.notes.push(note);
        let branch =
            format!("queue ! decodebin ! audioconvert ! audioresample ! {encoder} ! {LONG_QUEUE}");
        (branch, gst::Caps::new_empty_simple(encoded))
    } else {
        found.no_place(&name);
        return leave_out(pipeline, pad);
    };
    let (bin, into, out) = build(&branch)?;
    pipeline.add(&bin)?;
    let place = template(muxer, &wanted)
        .and_then(|template| muxer.request_pad(&template, None, None))
        .with_context(|| format!("the container has no place for {name}"))?;
    let place_name = place.name();
    out.link(&place)?;
    // An element that does not start says on the bus why; that is the better error.
    let _ = bin.sync_state_with_parent();
    pad.link(&into)?;
    found
        .branches
        .push(format!("in. ! {name} ! {branch} ! out.{place_name}"));
    Ok(())
}

/// The video is painted already, and comes from these files, in the order of their names.
fn add_pieces(
    pipeline: &gst::Pipeline,
    muxer: &gst::Element,
    pieces: &Path,
    wanted: &gst::Caps,
) -> Result<()> {
    let line = format!(
        "splitfilesrc location={} ! gdpdepay name=depay ! queue",
        quoted(&pieces.to_string_lossy())
    );
    let bin = gst::parse::bin_from_description(&line, true)?;
    seamless(&bin.by_name("depay").context("no depayloader")?)?;
    // Started when the muxer has all its pads: it would begin without the others.
    bin.set_property("name", PIECES);
    bin.set_locked_state(true);
    pipeline.add(&bin)?;
    let template = template(muxer, wanted).context("the container takes no video")?;
    let place = muxer
        .request_pad(&template, None, None)
        .context("no place")?;
    bin.static_pad("src").context("no pad")?.link(&place)?;
    Ok(())
}

/// A branch with its input and output. Every branch begins with a queue; its end is the only pad
/// that has nothing behind it.
pub fn build(branch: &str) -> Result<(gst::Bin, gst::Pad, gst::Pad)> {
    let named = branch.replacen("queue", "queue name=head", 1);
    let bin = gst::parse::bin_from_description(&named, false)?;
    let head = bin.by_name("head").and_then(|head| head.static_pad("sink"));
    let tail = bin.find_unlinked_pad(gst::PadDirection::Src);
    let into = gst::GhostPad::with_target(&head.context("the branch has no input")?)?;
    let out = gst::GhostPad::with_target(&tail.context("the branch has no output")?)?;
    bin.add_pad(&into)?;
    bin.add_pad(&out)?;
    Ok((bin, into.upcast(), out.upcast()))
}

impl Found {
    /// What the user should know of a stream that is left out.
    fn no_place(&mut self, name: &str) {
        let note =
            format!("a stream of type {name} is left out: the container has no place for it");
        self.notes.push(note);
    }

    /// A second picture stream, such as a cover.
    fn video_like(&self, name: &str) -> bool {
        self.video && (name.starts_with("video/") || name.starts_with("image/"))
    }
}

/// Streams that a player can show or play; private data and the like are left out.
fn is_known(name: &str) -> bool {
    [
        "audio/",
        "text/",
        "subtitle/",
        "application/x-ssa",
        "application/x-ass",
        "subpicture/",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

/// Whether width and height are odd.
pub fn odd_sides(caps: &gst::Caps) -> (bool, bool) {
    let side = |name: &str| caps.structure(0).and_then(|s| s.get::<i32>(name).ok());
    let odd = |name: &str| side(name).is_some_and(|side| side % 2 == 1);
    (odd("width"), odd("height"))
}

/// Lets a stream run to nowhere.
pub fn leave_out(pipeline: &gst::Pipeline, pad: &gst::Pad) -> Result<()> {
    let sink = gst::ElementFactory::make("fakesink")
        .property("async", false)
        .build()?;
    pipeline.add(&sink)?;
    sink.sync_state_with_parent()?;
    pad.link(&sink.static_pad("sink").context("no pad")?)?;
    Ok(())
}

fn aac() -> gst::Caps {
    gst::Caps::builder("audio/mpeg")
        .field("mpegversion", gst::List::new([2, 4]))
        .build()
}

fn plain_text() -> gst::Caps {
    gst::Caps::builder("text/x-raw")
        .field("format", "utf8")
        .build()
}

/// What the container will want of the video.
pub fn painted_caps(plan: &Plan) -> Result<gst::Caps> {
    let name = plan.muxer.split(' ').next().unwrap_or_default();
    let muxer = gst::ElementFactory::make(name).build()?;
    let wanted = video_caps(plan.webm);
    let template = template(&muxer, &wanted).context("the container takes no video")?;
    Ok(template.caps().intersect(&wanted))
}

fn video_caps(webm: bool) -> gst::Caps {
    let names: &[&str] = if webm {
        &["video/x-vp9", "video/x-vp8"]
    } else {
        &["video/x-h264"]
    };
    names
        .iter()
        .map(|name| gst::Structure::new_empty(*name))
        .collect()
}

/// The muxer's pad template for a stream.
fn template(muxer: &gst::Element, caps: &gst::Caps) -> Option<gst::PadTemplate> {
    muxer.pad_template_list().into_iter().find(|template| {
        template.direction() == gst::PadDirection::Sink && template.caps().can_intersect(caps)
    })
}
