// SPDX-License-Identifier: MPL-2.0
//! The commands `plan`, `piece` and `join`, which a scheduler runs on many machines. Each is idempotent: run again, it
//! does what is left to do.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::files::{FileRef, write_atomically};
use super::film_plan::FilmPlan;
use super::here::{Here, Machine};
use super::make::{Length, make};
use super::store::{Record, Store};
use super::{assemble, fixed, of_device};
use crate::paint::look::look;
use crate::paint::progress::{Show, print_json};
use crate::paint::{Args, interrupt};
use crate::shared::address::uri;
use crate::shared::failure::usage;
use crate::shared::output::{check_not_input, lock_file, with_suffix};

/// Write a plan for many machines.
#[derive(clap::Args)]
#[command(mut_arg("output", |arg| arg.required(false).default_value("film.mp4")
    .help("Name of the output; only its extension counts, which says the container")))]
// `mut_arg` moves an argument to the end, so this one is moved after the output.
#[command(mut_arg("properties", |arg| arg))]
#[command(mut_arg("segments", |arg| arg.help("So many pieces").conflicts_with("seconds")))]
#[command(mut_arg("force", |arg| arg.hide(true)))]
pub struct PlanArgs {
    #[command(flatten)]
    paint: Args,
    /// Pieces of about so many seconds
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// Cut at the input's key frames only
    #[arg(long)]
    key_frames: bool,
}

/// Stylize one piece.
#[derive(clap::Args)]
pub struct PieceArgs {
    /// File that `stylize plan` wrote
    plan: PathBuf,
    /// Number of the piece, from 0
    piece: usize,
    /// Folder for the pieces
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    machine: Machine,
    /// No progress
    #[arg(long)]
    quiet: bool,
    /// Progress and results for programs: a JSON object a line, on standard output
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
}

/// Join the pieces.
#[derive(clap::Args)]
pub struct JoinArgs {
    /// File that `stylize plan` wrote
    plan: PathBuf,
    /// Folder with the pieces
    pieces: PathBuf,
    /// File to write
    output: PathBuf,
    /// Where the plan's input is on this machine: a file or a folder, any number of times
    #[arg(long = "input", value_name = "PATH")]
    places: Vec<PathBuf>,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

/// Parses seconds from 0.5 to 86400.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok();
    let seconds = seconds.filter(|seconds| (0.5..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "use seconds from 0.5 to 86400".into())
}

/// Runs `plan`: prints the plan.
///
/// # Errors
/// If the input cannot be stylized here, or not in pieces.
pub fn plan(args: &PlanArgs) -> Result<()> {
    crate::init()?;
    let (paint, plan) = fixed(&args.paint)?;
    let film = look(&uri(&paint.input)?).with_context(|| paint.input.clone())?;
    let length = match args.seconds {
        Some(seconds) => Length::Seconds(seconds),
        None => Length::Count(paint.segments),
    };
    let film_plan = make(&paint, &plan, &film, length, args.key_frames)?;
    if let Some(note) = of_device(&plan) {
        eprintln!("note: {note}");
    }
    print!("{}", film_plan.text()?);
    Ok(())
}

/// Runs `piece`: stylizes the piece, unless it exists.
///
/// # Errors
/// If this machine cannot follow the plan.
pub fn piece(args: &PieceArgs) -> Result<()> {
    crate::init()?;
    let film_plan = FilmPlan::read(&args.plan)?;
    film_plan.piece(args.piece)?;
    let store = Store::new(&args.out, &film_plan)?;
    if let Some(record) = store.complete(args.piece)? {
        args.say(&record, "is there already");
        return Ok(());
    }
    interrupt::watch_signal(false)?;
    let here = Here::new(&film_plan, &args.machine)
        .map_err(|err| anyhow!("this machine cannot keep to the plan: {err:#}"))?;
    let show = match (args.quiet, args.json) {
        (_, true) => Show::Json,
        (true, _) => Show::Nothing,
        _ => Show::Bar,
    };
    let record = store.paint(&film_plan, &here, args.piece, show)?;
    args.say(&record, "is painted");
    Ok(())
}

impl PieceArgs {
    fn say(&self, record: &Record, what: &str) {
        if self.json {
            print_json(&json!({ "event": "piece", "record": record }));
        } else if !self.quiet {
            println!(
                "piece {} {what}: {} frames, {:.1} s, on {} in {}",
                record.piece, record.frames, record.seconds, record.provider, record.precision
            );
        }
    }
}

/// Record of the last join in a folder of pieces.
#[derive(Serialize, Deserialize)]
struct Joined {
    plan: String,
    output: FileRef,
}

/// Runs `join`: joins the pieces, unless the output exists and is theirs.
///
/// # Errors
/// If pieces are missing, or the output exists and is another film.
pub fn join(args: &JoinArgs) -> Result<()> {
    crate::init()?;
    let film_plan = FilmPlan::read(&args.plan)?;
    let output = std::path::absolute(&args.output)?;
    let extension = output.extension().and_then(|extension| extension.to_str());
    if extension.map(str::to_ascii_lowercase).as_deref() != Some(&film_plan.container) {
        return Err(usage(format!(
            "{}: the plan is for .{}",
            args.output.display(),
            film_plan.container
        )));
    }
    let joined = args.pieces.join("joined.json");
    let identity = film_plan.identity()?;
    if output.exists() && !args.force {
        if is_joined(&joined, &identity, &output) {
            args.say(&format!("{} is there already", output.display()));
            return Ok(());
        }
        bail!(
            "{} exists; say --force to overwrite it",
            args.output.display()
        );
    }
    if !args.pieces.is_dir() {
        bail!("{} is not a folder", args.pieces.display());
    }
    let store = Store::new(&args.pieces, &film_plan)?;
    let part = with_suffix(&output, ".part");
    let Some(_lock) = lock_file(&part)? else {
        bail!("{} is being written by another process", part.display());
    };
    interrupt::watch_signal(false)?;
    let result = Here::for_join(&film_plan, &args.places).and_then(|here| {
        check_not_input(&here.film.uri, [&output, &part])?;
        assemble(&store, &film_plan, &here, &output, &part)
    });
    let (notes, frames) = result.inspect_err(|_| drop(std::fs::remove_file(&part)))?;
    let record = Joined {
        plan: identity,
        output: FileRef::new(&output)?,
    };
    write_atomically(&joined, serde_json::to_string(&record)?.as_bytes())?;
    for note in notes {
        args.say(&format!("note: {note}"));
    }
    args.say(&format!(
        "{}: {frames} frames of {} pieces",
        output.display(),
        film_plan.pieces.len()
    ));
    Ok(())
}

impl JoinArgs {
    fn say(&self, text: &str) {
        if !self.quiet {
            println!("{text}");
        }
    }
}

/// Whether the output was joined from these pieces.
fn is_joined(record: &Path, plan: &str, output: &Path) -> bool {
    let text = std::fs::read_to_string(record).unwrap_or_default();
    let record: Option<Joined> = serde_json::from_str(&text).ok();
    record.is_some_and(|record| {
        record.plan == plan && FileRef::new(output).is_ok_and(|found| found == record.output)
    })
}
