// SPDX-License-Identifier: MPL-2.0
//! The command `bench`: measures the element's frames per second by size and prints a Markdown table. `stylize doctor`
//! compares providers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gst::prelude::*;

use crate::shared::element;
use crate::shared::run::pipeline;

/// Measure frames per second on this machine.
#[derive(clap::Args)]
pub struct Args {
    /// Frame sizes
    #[arg(long = "size", default_values = ["640x360", "1280x720", "1920x1080"], value_parser = crate::doctor::size)]
    sizes: Vec<(u32, u32)>,
    /// Seconds for each size
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Format of the frames
    #[arg(long, default_value = "RGB")]
    format: String,
    /// Properties of the element stylize, behind `--`: quality=full execution-provider=cpu …
    #[arg(last = true, value_name = "PROPERTY=VALUE")]
    properties: Vec<String>,
}

/// Runs the command; see the module.
///
/// # Errors
/// If a property is wrong or the element cannot run on this machine.
pub fn run(args: &Args) -> Result<()> {
    crate::init()?;
    let properties: Vec<_> = args
        .properties
        .iter()
        .map(|property| element::split(property))
        .collect::<Result<_>>()?;
    let stylize = element::describe("stylize name=stylize qos=false", properties)?;
    println!("| size | frames per second | provider | precision |");
    println!("|---|---:|---|---|");
    for (width, height) in &args.sizes {
        let pipeline = pipeline(&format!(
            "videotestsrc pattern=snow ! video/x-raw,format={},width={width},height={height} \
             ! {stylize} ! fakesink name=sink sync=false",
            args.format
        ))?;
        let result = measure(&pipeline, args.seconds);
        let stylize = pipeline.by_name("stylize");
        let stats = stylize.map(|stylize| stylize.property::<gst::Structure>("stats"));
        // A failed stop does not matter: the next size has a pipeline of its own.
        let _ = pipeline.set_state(gst::State::Null);
        let fps = result.with_context(|| format!("{width}x{height}"))?;
        let text = |name: &str| {
            let stats = stats.as_ref();
            stats
                .and_then(|stats| stats.get::<String>(name).ok())
                .unwrap_or_default()
        };
        println!(
            "| {width}x{height} | {fps:.1} | {} | {} |",
            text("provider"),
            text("precision")
        );
    }
    Ok(())
}

/// Frames per second over at least `seconds`, without the first frame, which waits for the generator to load.
fn measure(pipeline: &gst::Pipeline, seconds: f64) -> Result<f64> {
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    let stylize = pipeline.by_name("stylize").context("no element")?;
    let frames = || {
        let stats = stylize.property::<gst::Structure>("stats");
        stats.get::<u64>("frames").unwrap_or(0)
    };
    // If this fails, an error message on the bus has the reason.
    let _ = pipeline.set_state(gst::State::Playing);
    let mut first = None;
    loop {
        let types = [gst::MessageType::Error];
        let message = bus.timed_pop_filtered(gst::ClockTime::from_mseconds(20), &types);
        if let Some(gst::MessageView::Error(error)) = message.as_ref().map(|m| m.view()) {
            anyhow::bail!("{}", error.error().message());
        }
        let now = frames();
        match first {
            None if now > 0 => first = Some((now, Instant::now())),
            Some((before, since))
                if now > before && since.elapsed() >= Duration::from_secs_f64(seconds) =>
            {
                return Ok((now - before) as f64 / since.elapsed().as_secs_f64());
            }
            _ => (),
        }
    }
}
