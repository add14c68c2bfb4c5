// SPDX-License-Identifier: MPL-2.0
//! The command `restream`: receives a stream, stylizes it, and sends it on by RTMP, SRT, RTP (for instance to Janus),
//! HLS, or to a virtual camera.
//!
//! ```sh
//! stylize restream rtmp://localhost/live/in rtmp://localhost/live/out style=scream
//! ```
//!
//! The source determines the rate. At most one frame waits before the generator; further ones are dropped, so that the
//! delay stays constant and sound never waits for long. Timestamps of the source are kept, and with them the
//! synchronization of picture and sound. A stream that fails or delivers no frame is reconnected with exponential
//! backoff. docs/live.md has the rest.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use gst::prelude::*;

mod branches;
mod input;

mod output;
mod pace;

use branches::Streams;
use input::Input;
use output::Output;

use crate::shared::restart::{self, Restarts, SILENCE};

/// Longest wait for EOS after an interruption.
const GOODBYE: Duration = Duration::from_secs(5);

/// Paint a stream and send it on.
#[derive(clap::Args)]
pub struct Args {
    /// test, a file, /dev/video0, or a URI: rtmp:// srt:// rtsp:// http:// …
    input: String,
    /// rtmp://… srt://… rtp://host:port (sound at port + 2), folder/name.m3u8, or /dev/video9
    output: String,
    /// Properties of the element stylize: style=great-wave strength=0.8 inference-height=360 …
    properties: Vec<String>,
    /// Height of the picture, pixels (default: the source's)
    #[arg(long, value_parser = clap::value_parser!(u32).range(16..=8192))]
    height: Option<u32>,
    /// Bitrate of the picture, kbit/s; a painting has more detail than a film
    #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    bitrate: u32,
    /// Seconds from one key frame to the next; for HLS, of a segment
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    key_interval: u32,
    /// End with the stream, or with its first failure
    #[arg(long)]
    once: bool,
}

/// Runs the command; see the module.
///
/// # Errors
/// If an argument is wrong; with a file or `--once` also if the stream fails.
pub fn run(args: &Args) -> Result<()> {
    crate::init()?;
    let input = Input::new(&args.input)?;
    let output = Arc::new(Output::new(&args.output)?);
    let stylize = branches::stylize(&args.properties)?;
    let current = Arc::new(Mutex::new(None::<gst::Pipeline>));
    let interrupts = Arc::new(AtomicU32::new(0));
    let (shared, count) = (current.clone(), interrupts.clone());
    ctrlc::set_handler(move || {
        let pipeline = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match (count.fetch_add(1, Ordering::SeqCst), pipeline.as_ref()) {
            // Ends with EOS: the playlist gets its last line, and a server is told.
            (0, Some(pipeline)) => drop(pipeline.send_event(gst::event::Eos::new())),
            _ => std::process::exit(130),
        }
    })?;
    let mut restarts = Restarts::default();
    loop {
        restarts.begin();
        let pipeline = gst::Pipeline::new();
        *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(pipeline.clone());
        let streams = Streams::new(args, &input, &output, &stylize, &pipeline);
        let result = play(&input, &streams, &pipeline, &interrupts);
        // A failed stop must not delay the next connection.
        let _ = pipeline.set_state(gst::State::Null);
        let ends = args.once || !input.live;
        match result {
            _ if interrupts.load(Ordering::SeqCst) > 0 => return Ok(()),
            Ok(()) if ends => return Ok(()),
            Err(err) if ends => return Err(err),
            Ok(()) => again(&mut restarts, "the stream has ended", &interrupts),
            Err(err) => again(&mut restarts, &format!("{err:#}"), &interrupts),
        }
        if interrupts.load(Ordering::SeqCst) > 0 {
            return Ok(());
        }
    }
}

/// Prints the reason, and waits for the pause before the next try.
fn again(restarts: &mut Restarts, why: &str, interrupts: &AtomicU32) {
    let pause = restarts.failed();
    eprintln!("{why}; trying again in {pause:?}");
    restart::wait(pause, || interrupts.load(Ordering::SeqCst) > 0);
}

/// Plays one connection until EOS, an error, or [`GOODBYE`] after an interruption.
fn play(
    input: &Input,
    streams: &Arc<Streams>,
    pipeline: &gst::Pipeline,
    interrupts: &AtomicU32,
) -> Result<()> {
    use gst::MessageView;
    streams.connect(&input.uri)?;
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    // If this fails, an error message on the bus has the reason.
    let started = pipeline.set_state(gst::State::Playing);
    let (begun, mut told) = (Instant::now(), false);
    let mut interrupted = None;
    loop {
        let message = bus.timed_pop(gst::ClockTime::from_mseconds(200));
        if interrupts.load(Ordering::SeqCst) > 0
            && interrupted.get_or_insert_with(Instant::now).elapsed() > GOODBYE
        {
            return Ok(());
        }
        if let Some(err) = streams.error() {
            return Err(err);
        }
        match message.as_ref().map(|message| message.view()) {
            Some(MessageView::Eos(_)) => return Ok(()),
            Some(MessageView::Error(error)) => {
                gst::error!(gst::CAT_DEFAULT, "{error:?}");
                let element = error.src().map_or("".into(), |element| element.name());
                return Err(anyhow!("{element}: {}", error.error().message()));
            }
            // A failure is not fatal: the latency stays as it was.
            Some(MessageView::Latency(_)) => drop(pipeline.recalculate_latency()),
            Some(_) => (),
            None if started.is_err() => bail!("the pipeline does not start"),
            // A server without a publisher may send nothing for hours, without an error.
            None if !told && !streams.has_begun() && begun.elapsed() > SILENCE => {
                eprintln!("the source has sent no frame yet; waiting for it");
                told = true;
            }
            None if input.live && streams.silent_for() > SILENCE => {
                bail!("no picture has come for {SILENCE:?}")
            }
            None => (),
        }
    }
}
