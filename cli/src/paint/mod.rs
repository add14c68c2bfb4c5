// SPDX-License-Identifier: MPL-2.0
//! Stylizes a file: any container in, the container of the output's extension out, sound and
//! subtitles kept.
//!
//! ```sh
//! stylize in.mp4 out.mp4 --strength 0.8
//! ```
//!
//! The input is taken apart by `parsebin`. Its video is decoded, stylized and encoded; everything
//! else is copied as it is where the container takes it, and encoded anew only where it does not.
//! Every branch is a description as `gst-launch-1.0` reads it, so the line that is printed at the end
//! is what ran. Ctrl-C ends the file early, playable; an error leaves no output behind.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

mod batch;
mod interrupt;
mod pieces;
mod plan;
mod play;
mod progress;
mod safe;
mod streams;

/// File of the plugin.
const PLUGIN: &str = "libgststylize.so";

use plan::{Plan, plan, quoted};
use play::{Played, mux};

/// Stylize a video file, keeping its sound and subtitles.
#[derive(clap::Args, Clone)]
pub struct Args {
    /// File or URI to read, or a folder of films
    input: String,
    /// File to write: .mp4 .m4v .mov .mkv .webm .ts; or a folder for a folder's films
    output: PathBuf,
    /// ONNX generator (default: the built-in gallery)
    #[arg(long)]
    model_file: Option<String>,
    /// Which built-in generator: auto, lite, full
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
    /// Video encoder element (default: the first that works)
    #[arg(long)]
    encoder: Option<String>,
    /// Video bitrate in kbit/s (default: constant quality)
    #[arg(long)]
    bitrate: Option<u32>,
    /// Paint the film in so many pieces, each kept until the film is whole: an interrupted run goes on
    /// where it was, and the same command in other processes shares the work
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=999))]
    segments: u32,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

/// What the program ends with when the command has been carried out: an interrupted film is there, but not
/// whole.
pub fn code() -> ExitCode {
    match interrupt::ended_early() {
        true => ExitCode::from(130),
        false => ExitCode::SUCCESS,
    }
}

/// Runs the command; see the module.
pub fn run(args: &Args) -> Result<()> {
    crate::init()?;
    if Path::new(&args.input).is_dir() {
        return batch::run(args);
    }
    interrupt::watch_signal(args.segments == 1)?;
    match film(args)? {
        Some(text) => println!("{text}"),
        None => println!("{} is being made elsewhere", args.output.display()),
    }
    Ok(())
}

/// Makes one film; what there is to say of it, or nothing if another process makes it.
fn film(args: &Args) -> Result<Option<String>> {
    let plan = plan(args)?;
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
    // Written under another name beside it, so that what has the name is always whole.
    let part = beside(&args.output, ".part");
    safe::spare_source(&args.input, [&args.output, &part])?;
    if args.segments > 1 {
        return pieces::film(args, &plan, &uri, &part);
    }
    let Some(_lock) = claim(&part)? else {
        return Ok(None);
    };
    let played = whole(&part, &args.output, || mux(args.quiet, &plan, &uri, &part))?;
    Ok(Some(played.summary(args, &plan, &uri)?))
}

/// The name with something behind it.
fn beside(file: &Path, more: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// A file that no other process writes, for as long as what is returned lives; nothing if one does.
fn claim(file: &Path) -> Result<Option<File>> {
    let cannot = || format!("{} cannot be written", file.display());
    let claimed = File::options().create(true).append(true).open(file);
    let claimed = claimed.with_context(cannot)?;
    match claimed.try_lock() {
        Ok(()) => Ok(Some(claimed)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(err)) => Err(err).with_context(cannot),
    }
}

/// Gives `part` its name when it is whole and on the disk; an error leaves nothing behind.
fn whole<T>(part: &Path, name: &Path, write: impl FnOnce() -> Result<T>) -> Result<T> {
    let finish = |value| {
        File::open(part)?.sync_all()?;
        let name = interrupt::place(name);
        std::fs::rename(part, &name)?;
        interrupt::tell(&name);
        Ok::<_, std::io::Error>(value)
    };
    let result = write().and_then(|value| {
        finish(value).with_context(|| format!("{} cannot be written", name.display()))
    });
    // Nothing was written if it is not there.
    result.inspect_err(|_| drop(std::fs::remove_file(part)))
}

fn uri(input: &str) -> Result<String> {
    if input.contains("://") {
        return Ok(input.into());
    }
    if !Path::new(input).is_file() {
        bail!("{input} is not a file");
    }
    Ok(gst::glib::filename_to_uri(std::path::absolute(input)?, None)?.into())
}

impl Played {
    fn summary(&self, args: &Args, plan: &Plan, uri: &str) -> Result<String> {
        let stats = self.stats.as_ref().context("nothing was stylized")?;
        let frames = stats.get::<u64>("frames").unwrap_or(0);
        let text = |name| stats.get::<String>(name).unwrap_or_default();
        let seconds = self.time.as_secs_f64();
        // In a checkout the plugin of the same build lies beside the program.
        let program = std::env::current_exe().ok();
        let plugins = program.as_deref().and_then(|exe| exe.parent());
        let plugins = plugins.filter(|dir| dir.join(PLUGIN).is_file());
        let path = plugins.map(|dir| format!("GST_PLUGIN_PATH={} ", word(&dir.to_string_lossy())));
        let line = format!(
            "gst-launch-1.0 -e urisourcebin uri={} ! parsebin name=in  {}  {} name=out ! filesink location={}",
            quoted(uri),
            self.found.branches.join("  "),
            plan.muxer,
            quoted(&args.output.to_string_lossy()),
        );
        let notes = self
            .found
            .notes
            .iter()
            .map(|note| format!("note: {note}\n"));
        Ok(format!(
            "{}{frames} frames in {seconds:.1} s, {:.1} fps, on {} in {}\n\n{}{}",
            notes.collect::<String>(),
            frames as f64 / seconds,
            text("provider"),
            text("precision"),
            path.unwrap_or_default(),
            shell(&line),
        ))
    }
}

/// A pipeline description for the shell: words with anything but plain characters get quotes.
fn shell(line: &str) -> String {
    let mut words = vec![String::new()];
    let (mut in_quotes, mut escaped) = (false, false);
    for c in line.chars() {
        in_quotes ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        match words.last_mut() {
            Some(word) if c != ' ' || in_quotes => word.push(c),
            _ => words.push(String::new()),
        }
    }
    words.iter().map(|w| word(w)).collect::<Vec<_>>().join(" ")
}

/// One word for the shell.
fn word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:=,!+".contains(c);
    if word.chars().all(plain) {
        return word.into();
    }
    // A single quote ends the shell's word: close it, write the quote, open it again.
    format!("'{}'", word.replace('\'', "'\\''"))
}
