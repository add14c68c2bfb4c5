// SPDX-License-Identifier: MPL-2.0
//! Builds and plays the pipelines that write files.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use gst::prelude::*;

use super::film::Film;
use super::plan::Plan;
use super::progress::{Progress, Show, stats};
use super::watch::Watch;
use super::{alpha, interrupt, streams};

/// Result of a pipeline that reached its end.
pub struct Played {
    /// Notes for the user.
    pub notes: Vec<String>,
    /// `stats` of `stylize`, if the pipeline had it.
    pub stats: Option<gst::Structure>,
    /// Time from start to EOS.
    pub time: Duration,
}

/// Writes all streams of the input to the container.
///
/// # Errors
/// If anything on the way fails, or there is no progress.
pub fn mux(show: Show, plan: &Plan, film: &Film, part: &Path) -> Result<Played> {
    let pipeline = gst::Pipeline::new();
    let muxer = plan.container.muxer()?;
    pipeline.add(&muxer)?;
    // Alpha is added by a copy of what the muxer writes, which is a file without a name: nothing of it is left, however
    // the program ends.
    let muxed = plan.adds_alpha(&film.video).then(|| {
        let folder = part.parent().filter(|dir| !dir.as_os_str().is_empty());
        tempfile::tempfile_in(folder.unwrap_or(Path::new(".")))
    });
    let muxed = muxed
        .transpose()
        .with_context(|| format!("{} cannot be written", part.display()))?;
    match &muxed {
        Some(muxed) => sink_of(&pipeline, &muxer, descriptor(muxed)?, part)?,
        None => sink(&pipeline, &muxer, part)?,
    }
    let watch = Watch::default();
    let mut notes = streams::add_all(&pipeline, &muxer, film, plan, &watch)?;
    let begin = Instant::now();
    let result = wait(&pipeline, &watch, show, || Ok(()));
    let time = begin.elapsed();
    let stats = stats(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    result?;
    if let Some(muxed) = muxed {
        alpha::finish(&muxed, part)?;
    }
    notes.extend(watch.notes());
    Ok(Played { notes, stats, time })
}

/// Adds a `filesink`; an interruption removes its file.
pub fn sink(pipeline: &gst::Pipeline, last: &gst::Element, part: &Path) -> Result<()> {
    let sink = gst::ElementFactory::make("filesink").property("location", part);
    sink_of(pipeline, last, sink.build()?, part)
}

/// Adds a sink; an interruption removes `part`.
fn sink_of(
    pipeline: &gst::Pipeline,
    last: &gst::Element,
    sink: gst::Element,
    part: &Path,
) -> Result<()> {
    pipeline.add(&sink)?;
    last.link(&sink)?;
    interrupt::set_current(pipeline, part);
    Ok(())
}

/// A sink that writes to an open file, which must stay open as long as it plays.
#[cfg(unix)]
fn descriptor(file: &File) -> Result<gst::Element> {
    use std::os::fd::AsRawFd;
    let sink = gst::ElementFactory::make("fdsink").property("fd", file.as_raw_fd());
    Ok(sink.build()?)
}

#[cfg(not(unix))]
fn descriptor(_: &File) -> Result<gst::Element> {
    bail!("alpha in Matroska is written on Unix only")
}

/// Plays to EOS and shows the progress. `on_message` is called at each application message. Later errors are
/// consequences of the first one.
///
/// # Errors
/// The first error, that of `on_message`, or no progress.
pub fn wait(
    pipeline: &gst::Pipeline,
    watch: &Watch,
    show: Show,
    on_message: impl Fn() -> Result<()>,
) -> Result<()> {
    use gst::MessageView;
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    // If this fails, an error message on the bus has the reason.
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
            Some(MessageView::Application(_)) => on_message()?,
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
