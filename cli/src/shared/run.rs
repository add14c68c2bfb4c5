// SPDX-License-Identifier: MPL-2.0
//! Plays a description to its end.

use anyhow::{Result, anyhow, bail};
use gst::prelude::*;

/// The pipeline of a description, stopped.
///
/// # Errors
/// If it is no pipeline.
pub fn pipeline(line: &str) -> Result<gst::Pipeline> {
    gst::parse::launch(line)?
        .downcast()
        .map_err(|_| anyhow!("not a pipeline: {line}"))
}

/// Plays until its end; it stays as it is then.
///
/// # Errors
/// The first error on its bus.
pub fn to_end(pipeline: &gst::Pipeline) -> Result<()> {
    let Some(bus) = pipeline.bus() else {
        bail!("a pipeline without a bus");
    };
    let started = pipeline.set_state(gst::State::Playing);
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = match started {
        Ok(_) => bus.timed_pop_filtered(None, &ends),
        Err(_) => bus.pop_filtered(&ends),
    };
    match end.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(error)) => Err(anyhow!("{}", error.error().message())),
        _ => bail!("the pipeline does not start"),
    }
}
