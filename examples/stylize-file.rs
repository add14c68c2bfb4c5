// SPDX-License-Identifier: MPL-2.0
//! Stylizes a file: any container in, the container of the output's extension out, sound and
//! subtitles kept.
//!
//! ```sh
//! cargo run --release --example stylize-file -- in.mp4 out.mp4 --strength 0.8
//! ```
//!
//! The input is taken apart by `parsebin`. Its video is decoded, stylized and encoded; everything
//! else is copied as it is where the container takes it, and encoded anew only where it does not.
//! Every branch is a description as `gst-launch-1.0` reads it, so the line that is printed at the end
//! is what ran. Ctrl-C ends the file early, playable; an error leaves no output behind.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use gst::prelude::*;

#[path = "stylize-file/plan.rs"]
mod plan;
#[path = "stylize-file/progress.rs"]
mod progress;
#[path = "stylize-file/streams.rs"]
mod streams;

use plan::{Plan, plan, quoted};
use progress::Progress;
use streams::{Found, watch_streams};

/// Stylize a video file, keeping its sound and subtitles.
#[derive(Parser)]
struct Args {
    /// File or URI to read
    input: String,
    /// File to write: .mp4 .m4v .mov .mkv .webm .ts
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
    /// Overwrite the output
    #[arg(long)]
    force: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

fn main() -> std::process::ExitCode {
    match run(&Args::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    gst::init()?;
    gststylize::plugin_register_static()?;
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
    let part = part_name(&args.output);
    let result = play(args, &plan, &uri, &part);
    match &result {
        Ok(_) => std::fs::rename(&part, &args.output)
            .inspect_err(|_| drop(std::fs::remove_file(&part)))
            .with_context(|| format!("{} cannot be written", args.output.display()))?,
        // Nothing was written if it is not there.
        Err(_) => drop(std::fs::remove_file(&part)),
    }
    let played = result?;
    for note in &played.found.notes {
        println!("note: {note}");
    }
    println!("{}", played.summary(args, &plan, &uri));
    Ok(())
}

fn part_name(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".part");
    name.into()
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

/// A file that played to its end.
struct Played {
    found: Found,
    stats: gst::Structure,
    time: Duration,
}

fn play(args: &Args, plan: &Plan, uri: &str, part: &Path) -> Result<Played> {
    let pipeline = gst::Pipeline::new();
    let source = gst::ElementFactory::make("urisourcebin")
        .property("uri", uri)
        .build()?;
    let parse = gst::ElementFactory::make("parsebin").build()?;
    let muxer = gst::parse::bin_from_description(plan.muxer, false)?
        .children()
        .pop()
        .context("the muxer is missing")?;
    // Out of the bin that the description came in.
    muxer
        .parent()
        .and_downcast::<gst::Bin>()
        .map(|bin| bin.remove(&muxer))
        .transpose()?;
    let sink = gst::ElementFactory::make("filesink")
        .property("location", part)
        .build()?;
    pipeline.add_many([&source, &parse, &muxer, &sink])?;
    muxer.link(&sink)?;
    let entry = parse.clone();
    source.connect_pad_added(move |_, pad| {
        let sink = entry.static_pad("sink");
        // A second stream of the same source has nowhere to go; parsebin reports what matters.
        let _ = sink
            .filter(|sink| !sink.is_linked())
            .map(|sink| pad.link(&sink));
    });
    let found = Arc::new(Mutex::new(Found::default()));
    watch_streams(&parse, &pipeline, &muxer, plan, &found);

    let interrupts = Arc::new(AtomicU32::new(0));
    let (weak, leftover) = (pipeline.downgrade(), part.to_owned());
    ctrlc::set_handler(move || {
        match (interrupts.fetch_add(1, Ordering::SeqCst), weak.upgrade()) {
            (0, Some(pipeline)) => drop(pipeline.send_event(gst::event::Eos::new())),
            _ => {
                let _ = std::fs::remove_file(&leftover);
                std::process::exit(130);
            }
        }
    })?;

    let begin = Instant::now();
    let result = wait(&pipeline, &found, args.quiet);
    let time = begin.elapsed();
    let stats = stats(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    result?;
    let found = std::mem::take(
        &mut *found
            .lock()
            .map_err(|_| anyhow!("a stream handler failed"))?,
    );
    if !found.video {
        bail!("the input has no video");
    }
    let stats = stats.context("nothing was stylized")?;
    Ok(Played { found, stats, time })
}

/// Plays to the end, showing how far it is. The first error wins: what follows is its echo.
fn wait(pipeline: &gst::Pipeline, found: &Mutex<Found>, quiet: bool) -> Result<()> {
    use gst::MessageView;
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    // An error message says more than the failed state change.
    let started = pipeline.set_state(gst::State::Playing);
    let progress = Progress::new(quiet)?;
    loop {
        let message = bus.timed_pop(gst::ClockTime::from_mseconds(200));
        if let Some(err) = found.lock().ok().and_then(|mut found| found.error.take()) {
            return Err(err);
        }
        match message.as_ref().map(|message| message.view()) {
            Some(MessageView::Eos(_)) => break,
            Some(MessageView::Error(err)) => {
                gst::error!(gst::CAT_DEFAULT, "{err:?}");
                return Err(anyhow!("{}", err.error().message()));
            }
            Some(_) => (),
            None if started.is_err() => bail!("the pipeline does not start"),
            None => progress.show(pipeline),
        }
    }
    progress.bar.finish_and_clear();
    Ok(())
}

fn stats(pipeline: &gst::Pipeline) -> Option<gst::Structure> {
    Some(pipeline.by_name("stylize")?.property("stats"))
}

impl Played {
    fn summary(&self, args: &Args, plan: &Plan, uri: &str) -> String {
        let frames = self.stats.get::<u64>("frames").unwrap_or(0);
        let text = |name| self.stats.get::<String>(name).unwrap_or_default();
        let seconds = self.time.as_secs_f64();
        // The plugin of the same build lies one folder up from the examples.
        let plugins = std::env::current_exe().ok();
        let plugins = plugins.as_deref().and_then(|exe| exe.parent()?.parent());
        let path = plugins.map(|dir| format!("GST_PLUGIN_PATH={} ", word(&dir.to_string_lossy())));
        let line = format!(
            "gst-launch-1.0 -e urisourcebin uri={} ! parsebin name=in  {}  {} name=out ! filesink location={}",
            quoted(uri),
            self.found.branches.join("  "),
            plan.muxer,
            quoted(&args.output.to_string_lossy()),
        );
        format!(
            "{frames} frames in {seconds:.1} s, {:.1} fps, on {} in {}\n\n{}{}",
            frames as f64 / seconds,
            text("provider"),
            text("precision"),
            path.unwrap_or_default(),
            shell(&line),
        )
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
