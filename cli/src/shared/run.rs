// SPDX-License-Identifier: MPL-2.0
//! Parses launch descriptions and plays them to their end.

use anyhow::{Result, anyhow, bail};
use gst::prelude::*;

/// Parses a launch description into a pipeline in the state NULL.
///
/// # Errors
/// If it cannot be parsed, or describes a single element.
pub fn pipeline(line: &str) -> Result<gst::Pipeline> {
    gst::parse::launch(line)?
        .downcast()
        .map_err(|_| anyhow!("not a pipeline: {line}"))
}

/// Plays until EOS. The pipeline stays in the state PLAYING, so that properties can be read.
///
/// The first error message on its bus.
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

/// Casts an element to its class.
pub fn cast<T: IsA<gst::Element>>(element: gst::Element) -> Result<T> {
    let name = element.name();
    element
        .downcast()
        .map_err(|_| anyhow!("{name} is another element"))
}
