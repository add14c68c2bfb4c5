// SPDX-License-Identifier: MPL-2.0
//! Plays a film, or what is needed of it, into a file.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use gst::prelude::*;

use super::interrupt;
use super::plan::Plan;
use super::progress::Progress;
use super::streams::{Found, PIECES, watch_streams};

/// A file that played to its end.
pub struct Played {
    pub found: Found,
    /// Of `stylize`, if it was there.
    pub stats: Option<gst::Structure>,
    pub time: Duration,
}

/// Every stream of the input on its way into the container.
pub fn mux(quiet: bool, plan: &Plan, uri: &str, part: &Path) -> Result<Played> {
    let pipeline = gst::Pipeline::new();
    let parse = source(&pipeline, uri)?;
    let muxer = gst::parse::bin_from_description(plan.muxer, false)?
        .children()
        .pop()
        .context("the muxer is missing")?;
    // Out of the bin that the description came in.
    muxer
        .parent()
        .and_downcast::<gst::Bin>()
        .map(|bin| bin.remove(&muxer))
        .transpose()?;
    pipeline.add(&muxer)?;
    sink(&pipeline, &muxer, part)?;
    let found = Arc::new(Mutex::new(Found::default()));
    watch_streams(&parse, &pipeline, &muxer, plan, &found);

    let begin = Instant::now();
    let result = wait(&pipeline, &found, quiet, || {
        if let Some(pieces) = pipeline.by_name(PIECES) {
            pieces.set_locked_state(false);
            pieces.sync_state_with_parent()?;
        }
        Ok(())
    });
    let time = begin.elapsed();
    let stats = stats(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    result?;
    let found = std::mem::take(
        &mut *found
            .lock()
            .map_err(|_| anyhow!("a stream handler failed"))?,
    );
    if !found.video {
        bail!("the input has no video");
    }
    Ok(Played { found, stats, time })
}

/// Adds what reads and takes apart the input; its streams come out of the returned element.
pub fn source(pipeline: &gst::Pipeline, uri: &str) -> Result<gst::Element> {
    let source = gst::ElementFactory::make("urisourcebin")
        .property("uri", uri)
        .build()?;
    let parse = gst::ElementFactory::make("parsebin").build()?;
    pipeline.add_many([&source, &parse])?;
    let entry = parse.clone();
    source.connect_pad_added(move |_, pad| {
        let sink = entry.static_pad("sink");
        // A second stream of the same source has nowhere to go; parsebin reports what matters.
        let _ = sink
            .filter(|sink| !sink.is_linked())
            .map(|sink| pad.link(&sink));
    });
    Ok(parse)
}

/// Adds the file that is written, which an interruption removes.
pub fn sink(pipeline: &gst::Pipeline, last: &gst::Element, part: &Path) -> Result<()> {
    let sink = gst::ElementFactory::make("filesink")
        .property("location", part)
        .build()?;
    pipeline.add(&sink)?;
    last.link(&sink)?;
    interrupt::playing(pipeline, part);
    Ok(())
}

/// Plays to the end, showing how far it is; `known` is called when all streams are. The first error
/// wins: what follows is its echo.
pub fn wait(
    pipeline: &gst::Pipeline,
    found: &Mutex<Found>,
    quiet: bool,
    known: impl Fn() -> Result<()>,
) -> Result<()> {
    use gst::MessageView;
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    // An error message says more than the failed state change.
    let started = pipeline.set_state(gst::State::Playing);
    let progress = Progress::new(quiet)?;
    loop {
        let message = bus.timed_pop(gst::ClockTime::from_mseconds(200));
        if let Some(err) = found.lock().ok().and_then(|mut found| found.error.take()) {
            return Err(err);
        }
        match message.as_ref().map(|message| message.view()) {
            Some(MessageView::Eos(_)) => break,
            Some(MessageView::Error(err)) => {
                gst::error!(gst::CAT_DEFAULT, "{err:?}");
                return Err(anyhow!("{}", err.error().message()));
            }
            Some(MessageView::Application(_)) => known()?,
            Some(_) => (),
            None if started.is_err() => bail!("the pipeline does not start"),
            None => progress.show(pipeline),
        }
    }
    progress.bar.finish_and_clear();
    Ok(())
}

pub fn stats(pipeline: &gst::Pipeline) -> Option<gst::Structure> {
    Some(pipeline.by_name("stylize")?.property("stats"))
}
