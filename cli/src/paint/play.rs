// SPDX-License-Identifier: MPL-2.0
//! Plays a film, or what is needed of it, into a file.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use gst::prelude::*;

use super::look::Film;
use super::plan::Plan;
use super::progress::{Progress, Show};
use super::watch::Watch;
use super::{interrupt, streams};

/// A file that played to its end.
pub struct Played {
    /// What the user should know of it.
    pub notes: Vec<String>,
    /// Of `stylize`, if it was there.
    pub stats: Option<gst::Structure>,
    pub time: Duration,
}

/// Every stream of the input on its way into the container.
///
/// # Errors
/// If anything on the way fails, or nothing moves any more.
pub fn mux(show: Show, plan: &Plan, film: &Film, part: &Path) -> Result<Played> {
    let pipeline = gst::Pipeline::new();
    let muxer = plan.container.muxer()?;
    pipeline.add(&muxer)?;
    sink(&pipeline, &muxer, part)?;
    let watch = Watch::default();
    let mut notes = streams::add_all(&pipeline, &muxer, film, plan, &watch)?;
    let begin = Instant::now();
    let result = wait(&pipeline, &watch, show, || Ok(()));
    let time = begin.elapsed();
    let stats = stats(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    result?;
    notes.extend(watch.notes());
    Ok(Played { notes, stats, time })
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

/// Plays to the end, showing how far it is; `known` is called with each message of the program's own. The first
/// error wins: what follows is its echo.
///
/// # Errors
/// That error, or that nothing moves any more.
pub fn wait(
    pipeline: &gst::Pipeline,
    watch: &Watch,
    show: Show,
    known: impl Fn() -> Result<()>,
) -> Result<()> {
    use gst::MessageView;
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    // An error message says more than the failed state change.
    let started = pipeline.set_state(gst::State::Playing);
    let progress = Progress::new(show)?;
    let mut missing = None;
    loop {
        let message = bus.timed_pop(gst::ClockTime::from_mseconds(200));
        match message.as_ref().map(|message| message.view()) {
            Some(MessageView::Eos(_)) => break,
            Some(MessageView::Error(err)) => {
                gst::error!(gst::CAT_DEFAULT, "{err:?}");
                return Err(match missing {
                    Some(name) => anyhow!("no {name} is installed here"),
                    None => anyhow!("{}", err.error().message()),
                });
            }
            Some(MessageView::Application(_)) => known()?,
            Some(MessageView::Element(element)) => {
                watch.message(element);
                let plugin = element
                    .structure()
                    .filter(|structure| structure.name() == "missing-plugin");
                let name = plugin.and_then(|structure| structure.get::<String>("name").ok());
                missing = missing.or(name);
            }
            Some(_) => (),
            None if started.is_err() => bail!("the pipeline does not start"),
            None => {
                watch.check()?;
                progress.show(pipeline);
            }
        }
    }
    progress.end();
    Ok(())
}

/// What the element counted, if it is there.
pub fn stats(pipeline: &gst::Pipeline) -> Option<gst::Structure> {
    Some(pipeline.by_name("stylize")?.property("stats"))
}
