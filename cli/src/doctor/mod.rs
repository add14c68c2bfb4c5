// SPDX-License-Identifier: MPL-2.0
//! The command `doctor`: tries every ONNX Runtime library and execution provider that it finds with a real generator,
//! compares the result with the CPU provider's, and measures the speed.
//!
//! ```sh
//! stylize doctor
//! stylize doctor --provider cuda --precision fp16 \
//!     --size 512x512 --size 1920x1080 --model models/great-wave.onnx
//! ```
//!
//! Every provider is tried in a child process, because a process can load only one ONNX Runtime, and because a broken
//! driver may crash it; the crash then becomes the provider's row in the table. The exit code is 1 if a provider
//! crashed or its picture differs from the CPU's.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

mod places;
mod table;
mod trial;

use places::Place;
use table::Table;
use trial::Trial;

/// Try every execution provider that can be found.
#[derive(clap::Args)]
#[command(args_override_self = true)]
pub struct Args {
    /// Folder with folders of ONNX Runtime and provider libraries, as `make setup` makes it
    #[arg(long, default_value = ".deps")]
    folder: PathBuf,
    /// Providers to try (default: all)
    #[arg(long = "provider")]
    providers: Vec<String>,
    /// Precisions to try (default: all)
    #[arg(long = "precision")]
    precisions: Vec<String>,
    /// Device of the provider
    #[arg(long)]
    device: Option<String>,
    /// Frame sizes to time
    #[arg(long = "size", default_values = ["1280x720"], value_parser = size)]
    sizes: Vec<(u32, u32)>,
    /// Generators to try (default: the built-in gallery for CPUs)
    #[arg(long = "model")]
    models: Vec<String>,
    /// Seconds to spend on timing each size
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Set in the process that tries one provider
    #[arg(long, hide = true)]
    trial: Option<String>,
}

/// Parses `WIDTHxHEIGHT`, pixels.
///
/// # Errors
/// A text for clap if it is not two numbers.
pub fn size(text: &str) -> Result<(u32, u32), String> {
    let parse = || {
        let (width, height) = text.split_once('x')?;
        Some((width.parse().ok()?, height.parse().ok()?))
    };
    parse().ok_or_else(|| "write WIDTHxHEIGHT".into())
}

/// Runs the command; see the module.
///
/// # Errors
/// If a child process cannot be started.
pub fn run(args: &Args) -> Result<ExitCode> {
    if let Some(trial) = &args.trial {
        return trial::child(trial).map(|()| ExitCode::SUCCESS);
    }
    crate::init()?;
    let mut table = Table::new(&args.sizes);
    let models: Vec<Option<String>> = match args.models.as_slice() {
        [] => vec![None],
        models => models.iter().cloned().map(Some).collect(),
    };
    for place in places::find(&args.folder) {
        for provider in places::providers(&place, &args.providers) {
            for model in &models {
                let trial = Trial {
                    place: place.clone(),
                    provider: provider.clone(),
                    precisions: places::precisions(&args.precisions),
                    device: args.device.clone(),
                    model: model.clone(),
                    sizes: args.sizes.clone(),
                    seconds: args.seconds,
                };
                table.add(&trial, trial.run()?);
            }
        }
    }
    table.print();
    Ok(match table.all_well() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
