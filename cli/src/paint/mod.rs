// SPDX-License-Identifier: MPL-2.0
//! The command `paint`: stylizes a file of any container into a container by the output's extension, with sound and
//! subtitles.
//!
//! ```sh
//! stylize in.mp4 out.mp4 --strength 0.8
//! ```
//!
//! `look` examines the input. Then every stream gets a reader and a branch of its own (`source`, `streams`): the video
//! is decoded, stylized and encoded; other streams are copied if the container supports them, else transcoded. Branches
//! are launch descriptions. `watch` ends runs that make no progress. Ctrl-C ends the file early but playable; after an
//! error no output is left.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::json;

pub mod alpha;
mod batch;
mod container;
mod edits;
mod encode;
mod film;
pub mod hdr;
mod interrupt;
mod look;
pub mod pieces;
mod pipe;
mod plan;
mod play;
mod progress;
mod seam;
mod source;
mod streams;
mod turn;
mod watch;

use look::look;
use plan::Plan;
use play::{Played, mux};
use progress::{Show, print_json};

use crate::shared::address::uri;
use crate::shared::output::{check_not_input, lock_file, with_suffix, write_then_rename};

/// Stylize a video file, keeping its sound and subtitles.
#[derive(clap::Args, Clone)]
pub struct Args {
    /// File or URI to read, `-` for standard input, or a folder of films
    input: String,
    /// File to write: .mp4 .m4v .mov .mkv .webm .ts, of a picture .png .jpg .webp, moving .gif .apng .webp, `-` for standard output; or a folder for a folder's films
    output: PathBuf,
    /// ONNX generator (default: the built-in gallery)
    #[arg(long)]
    model_file: Option<String>,
    /// Which built-in generator: auto, quick, lite, full
    #[arg(long)]
    quality: Option<String>,
    /// Name, number or mix: great-wave, 3, great-wave:0.7,scream:0.3
    #[arg(long)]
    style: Option<String>,
    /// Mix of source (0) and painting (1)
    #[arg(long)]
    strength: Option<f64>,
    /// auto, cpu, openvino, cuda, tensorrt, webgpu …
    #[arg(long)]
    execution_provider: Option<String>,
    /// auto, fp32, fp16, bf16, int8
    #[arg(long)]
    precision: Option<String>,
    /// Which of the provider's devices: a number from 0, or its name
    #[arg(long)]
    device: Option<String>,
    /// Threads of a CPU provider (0 = all)
    #[arg(long)]
    threads: Option<u32>,
    /// ONNX Runtime's shared library
    #[arg(long)]
    runtime_library: Option<String>,
    /// h264, hevc, av1, vp9, vp8, prores, ffv1, or the name of a GStreamer element (default: the container's,
    /// in hardware if that works and there are no pieces)
    #[arg(long)]
    encoder: Option<String>,
    /// Constant quality, as x264 counts it: from 0, the best, to 51 (default: 23)
    #[arg(long, conflicts_with = "bitrate", value_parser = clap::value_parser!(u32).range(0..=51))]
    crf: Option<u32>,
    /// Video bitrate in kbit/s (default: constant quality)
    #[arg(long)]
    bitrate: Option<u32>,
    /// Threads of an encoder whose output depends on their number (0 = all)
    #[arg(long, hide = true)]
    encoder_threads: Option<u32>,
    /// Only encoders with the same output on every machine, unless an element is named. Set by `--segments` and `plan`.
    #[arg(skip)]
    portable: bool,
    /// Paint the film in so many pieces, each kept until the film is whole: an interrupted run goes on
    /// where it was, and the same command in other processes shares the work
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=999))]
    segments: u32,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
    /// The container, where the output has no extension, or is `-`: standard output
    #[arg(long)]
    format: Option<String>,
    /// What becomes of HDR video (PQ and HLG)
    #[arg(long, value_enum, default_value_t = Hdr::ToneMap)]
    hdr: Hdr,
    /// No progress
    #[arg(long)]
    quiet: bool,
    /// Progress and results for programs: a JSON object a line, on standard output
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Properties of the element stylize, behind `--`: stability=0.8 mask=roi …
    #[arg(last = true, value_name = "PROPERTY=VALUE")]
    properties: Vec<String>,
}

/// What becomes of HDR video.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Hdr {
    /// It is made SDR, which is what generators have learned from
    ToneMap,
    /// It is an error
    Refuse,
}

impl Args {
    fn show(&self) -> Show {
        match (self.quiet, self.json) {
            (_, true) => Show::Json,
            (true, _) => Show::Nothing,
            _ => Show::Bar,
        }
    }
}

/// Exit code after the command has succeeded: 130 if the film was interrupted, and so is incomplete.
pub fn code() -> ExitCode {
    match interrupt::ended_early() {
        true => ExitCode::from(130),
        false => ExitCode::SUCCESS,
    }
}

/// Runs the command; see the module.
///
/// # Errors
/// Those of a film, of a folder or of standard input and output.
pub fn run(args: &Args) -> Result<()> {
    crate::init()?;
    if args.input == "-" || args.output == Path::new("-") {
        return pipe::run(args);
    }
    if Path::new(&args.input).is_dir() {
        return batch::run(args);
    }
    interrupt::watch_signal(args.segments == 1)?;
    let result = film(args);
    if args.json {
        match &result {
            Ok(None) => print_json(&json!({ "event": "elsewhere" })),
            Ok(Some(_)) => (),
            Err(err) => print_json(&json!({ "event": "error", "message": format!("{err:#}") })),
        }
        return result.map(drop);
    }
    match result? {
        Some(text) => println!("{text}"),
        None => println!("{} is being made elsewhere", args.output.display()),
    }
    Ok(())
}

/// Stylizes one film. Returns a summary for the user, or `None` if another process writes the same output.
///
/// # Errors
/// If the output exists without `--force`, is the input, or anything on the way fails.
fn film(args: &Args) -> Result<Option<String>> {
    let plan = Plan::new(args)?;
    let uri = uri(&args.input)?;
    if args.output.exists() && !args.force {
        bail!(
            "{} exists; say --force to overwrite it",
            args.output.display()
        );
    }
    let folder = args
        .output
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|dir| !dir.is_dir()) {
        bail!("{} is not a folder", folder.display());
    }
    let film = look(&uri).with_context(|| args.input.clone())?;
    // Written under another name beside the output, so that a file with the final name is always complete.
    let part = with_suffix(&args.output, ".part");
    check_not_input(&args.input, [&args.output, &part])?;
    if args.segments > 1 {
        return pieces::film(args, &film, &part);
    }
    let Some(_lock) = lock_file(&part)? else {
        return Ok(None);
    };
    let played = complete(&part, &args.output, || {
        mux(args.show(), &plan, &film, &part).with_context(|| args.input.clone())
    })?;
    Ok(Some(played.summary(args)?))
}

/// Writes a film under the name `part`, and renames it ([`write_then_rename`]). One that was ended early does not replace a
/// complete one.
fn complete<T>(part: &Path, name: &Path, write: impl FnOnce() -> Result<T>) -> Result<T> {
    let (value, name) = write_then_rename(part, || interrupt::final_name(name), write)?;
    interrupt::report(&name);
    Ok(value)
}

impl Played {
    fn summary(&self, args: &Args) -> Result<String> {
        let stats = self.stats.as_ref().context("nothing was stylized")?;
        let frames = stats.get::<u64>("frames").unwrap_or(0);
        let text = |name| stats.get::<String>(name).unwrap_or_default();
        let (provider, precision) = (text("provider"), text("precision"));
        let seconds = self.time.as_secs_f64();
        let fps = frames as f64 / seconds;
        if args.json {
            print_json(&json!({
                "event": "done", "output": args.output.to_string_lossy(), "frames": frames, "seconds": seconds,
                "fps": fps, "provider": provider, "precision": precision, "notes": self.notes,
            }));
        }
        let notes = self.notes.iter().map(|note| format!("note: {note}\n"));
        Ok(format!(
            "{}{frames} frames in {seconds:.1} s, {fps:.1} fps, on {provider} in {precision}",
            notes.collect::<String>(),
        ))
    }
}
