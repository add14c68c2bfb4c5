// SPDX-License-Identifier: MPL-2.0
//! The command `info`: prints the element's `stats` and styles for a generator after one frame.

use anyhow::Result;
use gst::prelude::*;

use crate::shared::element;
use crate::shared::run::{pipeline, to_end};

/// Say what is known about an ONNX generator.
#[derive(clap::Args)]
pub struct Args {
    /// ONNX file, or the name of an installed model
    model: String,
    /// Size of the frame that it is compiled for
    #[arg(long, default_value = "256x144", value_parser = crate::doctor::size)]
    size: (u32, u32),
}

/// Fields of `stats` that are printed, in this order.
const FACTS: [&str; 6] = [
    "model",
    "signature",
    "runtime",
    "provider",
    "precision",
    "nodes",
];

/// Runs the command; see the module.
///
/// # Errors
/// If the model cannot be loaded or run.
pub fn run(args: &Args) -> Result<()> {
    crate::init()?;
    let stylize = element::describe(
        "stylize name=stylize",
        [("model-file", args.model.as_str())],
    )?;
    let (width, height) = args.size;
    let pipeline = pipeline(&format!(
        "videotestsrc num-buffers=1 ! video/x-raw,format=RGB,width={width},height={height} ! {stylize} ! fakesink"
    ))?;
    let result = to_end(&pipeline);
    let stylize = pipeline.by_name("stylize");
    let conventions = stylize.map(|stylize| {
        let stats = stylize.property::<gst::Structure>("stats");
        (stats, stylize.property::<Vec<String>>("styles"))
    });
    // Nothing depends on a clean stop: the process ends next.
    let _ = pipeline.set_state(gst::State::Null);
    result?;
    let Some((stats, styles)) = conventions else {
        return Ok(());
    };
    for name in FACTS {
        if let Ok(value) = stats.value(name)
            && let Ok(text) = value.serialize()
        {
            println!("{name}: {}", text.trim_matches('"'));
        }
    }
    if !styles.is_empty() {
        println!("styles: {}", styles.join(", "));
    }
    Ok(())
}
