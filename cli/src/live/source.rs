// SPDX-License-Identifier: MPL-2.0
//! The source pipeline: decodes the input and hands frames and sound to the output. After a failure, EOS or silence it
//! is restarted with exponential backoff, while the output continues.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use gst::prelude::*;
use serde::Serialize;
use tokio::sync::watch;

use super::Args;
use super::output::{Output, picture};
use super::sound;
use crate::shared::address::Input;
use crate::shared::live;
use crate::shared::restart::{self, Restarts, SILENCE};

/// Longest wait for the first frame; servers and cameras start slowly.
const START: Duration = Duration::from_secs(15);

/// State of the source.
#[derive(Serialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    Starting,
    Playing,
    Lost,
}

/// Status for `/api/stats` and events.
#[derive(Serialize, Clone)]
pub struct Status {
    pub state: Condition,
    /// Number of restarts.
    pub restarts: u64,
    /// The last error.
    pub error: Option<String>,
    /// Whether it has delivered sound since its start.
    pub sound: bool,
}

/// Handle of the source's thread.
pub struct Source(Arc<Shared>);

struct Shared {
    input: Input,
    picture: String,
    framerate: u32,
    output: Arc<Output>,
    status: Mutex<Status>,
    stop: AtomicBool,
    /// Time of the last frame since the start, if there has been one.
    last: Mutex<Option<Instant>>,
    /// Why its frames cannot be stylized.
    refused: Mutex<Option<String>>,
    changed: watch::Sender<()>,
}

/// Starts the source's thread.
///
/// # Errors
/// If no thread can be started.
pub fn start(
    input: Input,
    args: &Args,
    output: Arc<Output>,
    changed: watch::Sender<()>,
) -> Result<Source> {
    let shared = Arc::new(Shared {
        input,
        picture: picture(args),
        framerate: args.framerate,
        output,
        status: Mutex::new(Status {
            state: Condition::Starting,
            restarts: 0,
            error: None,
            sound: false,
        }),
        stop: AtomicBool::new(false),
        last: Mutex::new(None),
        refused: Mutex::new(None),
        changed,
    });
    let worker = shared.clone();
    std::thread::Builder::new()
        .name("source".into())
        .spawn(move || worker.run())?;
    Ok(Source(shared))
}

impl Source {
    pub fn status(&self) -> Status {
        self.0.lock().clone()
    }

    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn run(self: Arc<Self>) {
        let mut restarts = Restarts::default();
        while !self.stopped() {
            *self.last() = None;
            self.lock().sound = false;
            self.output.sound.reset();
            restarts.begin();
            let Err(err) = self.play() else {
                return;
            };
            let pause = restarts.failed();
            eprintln!("source: {err:#}; trying again in {pause:?}");
            self.set_status(Condition::Lost, Some(format!("{err:#}")));
            restart::wait(pause, || self.stopped());
            self.lock().restarts += 1;
        }
    }

    /// Updates the status and the notice over the picture, and triggers an event.
    fn set_status(&self, state: Condition, error: Option<String>) {
        {
            let mut status = self.lock();
            status.state = state;
            status.error = error.or(status.error.take());
        }
        let lost = state == Condition::Lost;
        self.output
            .notice(lost.then_some("The source is lost, trying again"));
        self.changed.send_replace(());
    }

    fn line(&self) -> String {
        let from = match &self.input {
            // Moving rings, with detail everywhere in the frame.
            Input::Test => format!(
                "audiotestsrc is-live=true wave=ticks volume=0.3 ! {} \
                 videotestsrc is-live=true pattern=zone-plate kx2=12 ky2=12 kt=2 ! video/x-raw,framerate={}/1",
                self.sound_line(),
                self.framerate
            ),
            Input::Camera(_) => "v4l2src name=from ! decodebin".into(),
            Input::File(_) | Input::Stream(_) => "uridecodebin name=from".into(),
        };
        // No `videorate`, which holds each frame until the next one arrives; [`super::feed`] drops frames above the
        // wanted rate. `deinterlace` passes progressive frames through. Frames of a live source are shown at once,
        // those of a file at their running time.
        format!(
            "{from} ! videoconvert ! deinterlace fields=top ! videoscale ! {} ! appsink name=out max-buffers=2 drop=true sync={}",
            self.picture,
            !self.input.is_live()
        )
    }

    /// Launch description for sound.
    fn sound_line(&self) -> String {
        // A file's sound is synchronized with its frames; live sound is passed on at once.
        let wait = !self.input.is_live();
        format!(
            "audioconvert ! audioresample ! {} ! appsink name=sound async={wait} sync={wait}",
            sound::CAPS,
        )
    }

    /// Plays until an error, or until [`Source::stop`].
    fn play(self: &Arc<Self>) -> Result<()> {
        let pipeline = gst::parse::launch(&self.line())?
            .downcast::<gst::Pipeline>()
            .map_err(|_| anyhow!("not a pipeline: {}", self.line()))?;
        if self.input.is_live() {
            live::reduce_latency(pipeline.upcast_ref());
        }
        match (&self.input, pipeline.by_name("from")) {
            (Input::Camera(device), Some(from)) => from.set_property("device", device),
            (Input::File(uri) | Input::Stream(uri), Some(from)) => {
                from.set_property("uri", uri);
                self.find_sound(&from);
            }
            _ => self.connect_sink(pipeline.upcast_ref())?,
        }
        let out = pipeline
            .by_name("out")
            .and_downcast::<gst_app::AppSink>()
            .context("an appsink")?;
        let shared = Arc::downgrade(self);
        let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |out| {
            let sample = out.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let picture = sample.buffer_owned().zip(sample.caps());
            if let (Some(shared), Some((picture, caps))) = (shared.upgrade(), picture) {
                if let Some(why) = refused(caps) {
                    *lock(&shared.refused) = Some(why);
                    return Err(gst::FlowError::Error);
                }
                if let Some(time) = running_time(&sample) {
                    shared.output.sound.picture(time);
                }
                shared.output.feed.push(picture, caps);
                if shared.last().replace(Instant::now()).is_none() {
                    shared.set_status(Condition::Playing, None);
                }
            }
            Ok(gst::FlowSuccess::Ok)
        });
        out.set_callbacks(callbacks.build());
        let result = self.wait(&pipeline);
        // A failed stop must not delay the next start.
        let _ = pipeline.set_state(gst::State::Null);
        result
    }

    /// Connects the first audio pad that this element adds, if there is one.
    fn find_sound(self: &Arc<Self>, from: &gst::Element) {
        let shared = Arc::downgrade(self);
        let found = AtomicBool::new(false);
        from.connect_pad_added(move |from, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let sounds = caps.iter().any(|caps| caps.name().starts_with("audio/"));
            let (Some(shared), true) = (shared.upgrade(), sounds) else {
                return;
            };
            if !found.swap(true, Ordering::SeqCst)
                && let Err(err) = shared.connect_sound(from, pad)
            {
                // Frames continue without sound.
                eprintln!("source: no sound: {err:#}");
            }
        });
    }

    fn connect_sound(self: &Arc<Self>, from: &gst::Element, pad: &gst::Pad) -> Result<()> {
        let bin = gst::parse::bin_from_description(&self.sound_line(), true)?;
        self.connect_sink(&bin)?;
        let pipeline = from.parent().and_downcast::<gst::Bin>();
        pipeline.context("a pipeline")?.add(&bin)?;
        bin.sync_state_with_parent()?;
        let sink = bin.static_pad("sink").context("a pad")?;
        pad.link(&sink)?;
        Ok(())
    }

    /// Passes the sound of the `appsink` in this bin to the output.
    fn connect_sink(self: &Arc<Self>, bin: &gst::Bin) -> Result<()> {
        // Cameras have no sound.
        let Some(sink) = bin.by_name("sound").and_downcast::<gst_app::AppSink>() else {
            return Ok(());
        };
        let shared = Arc::downgrade(self);
        let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if let (Some(shared), Some(time)) = (shared.upgrade(), running_time(&sample))
                && let Some(sound) = sample.buffer_owned()
            {
                shared.lock().sound = true;
                shared.output.sound.push(sound, time);
            }
            Ok(gst::FlowSuccess::Ok)
        });
        sink.set_callbacks(callbacks.build());
        Ok(())
    }

    fn wait(&self, pipeline: &gst::Pipeline) -> Result<()> {
        use gst::MessageView;
        let bus = pipeline.bus().context("a pipeline without a bus")?;
        // If this fails, an error message on the bus has the reason.
        let started = pipeline.set_state(gst::State::Playing);
        let begin = Instant::now();
        let mut missing = None;
        while !self.stopped() {
            let message = bus.timed_pop(gst::ClockTime::from_mseconds(200));
            // The pipeline's own error is a consequence of this one.
            if let Some(why) = lock(&self.refused).take() {
                bail!(why);
            }
            match message.as_ref().map(|message| message.view()) {
                Some(MessageView::Element(element)) => {
                    let plugin = element.structure().filter(|s| s.name() == "missing-plugin");
                    missing = plugin
                        .and_then(|s| s.get::<String>("name").ok())
                        .or(missing);
                }
                Some(MessageView::Error(error)) => match missing {
                    Some(name) => bail!("no {name} is installed here"),
                    None => bail!("{}", error.error().message()),
                },
                Some(MessageView::Eos(_)) => match &self.input {
                    Input::File(_) => {
                        self.output.sound.reset();
                        pipeline
                            .seek_simple(
                                gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT,
                                gst::ClockTime::ZERO,
                            )
                            .context("the file cannot begin again")?;
                    }
                    _ => bail!("the stream has ended"),
                },
                Some(MessageView::Latency(_)) => drop(pipeline.recalculate_latency()),
                None if started.is_err() => bail!("the source does not start"),
                _ => (),
            }
            let (silent, limit) = match *self.last() {
                Some(last) => (last.elapsed(), SILENCE),
                None => (begin.elapsed(), START),
            };
            if silent > limit {
                bail!("no picture for {limit:?}");
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why frames with these caps cannot be stylized: HDR, because generators are trained on sRGB.
fn refused(caps: &gst::CapsRef) -> Option<String> {
    let info = gst_video::VideoInfo::from_caps(caps).ok()?;
    let transfer = info.colorimetry().transfer();
    let hdr = [
        gst_video::VideoTransferFunction::Smpte2084,
        gst_video::VideoTransferFunction::AribStdB67,
    ];
    hdr.contains(&transfer)
        .then(|| format!("HDR video ({transfer:?}) cannot be painted; map it to SDR before"))
}

/// Running time of a sample in the source's pipeline.
fn running_time(sample: &gst::Sample) -> Option<gst::ClockTime> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(sample.buffer()?.pts())
}
