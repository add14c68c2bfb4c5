// SPDX-License-Identifier: MPL-2.0
//! Connects the streams of the source with the output: builds the branches when the source has shown its pads, and
//! keeps the time of the last frame.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gst::prelude::*;

use super::Args;
use super::input::Input;
use super::output::Output;
use super::pace;
use crate::shared::{element, live};

/// Queue for sound, which waits while frames are painted. 64 MiB, which is enough because it is usually compressed.
const SOUND_QUEUE: &str =
    "queue name=sound max-size-buffers=0 max-size-time=0 max-size-bytes=67108864";
/// Queue for one frame. It leaks where nothing can slow the source down: a newer frame replaces the one that waits.
const ONE: &str = "queue max-size-buffers=1 max-size-time=0 max-size-bytes=0";

/// One connection to the source, from its start to its end or failure.
pub struct Streams {
    pipeline: gst::glib::WeakRef<gst::Pipeline>,
    output: Arc<Output>,
    stylize: String,
    live: bool,
    /// Whether the source delivers frames in real time.
    real_time: bool,
    height: Option<u32>,
    bitrate: u32,
    key_interval: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Source pads with the probes that block them until the output is linked.
    video: Option<(gst::Pad, gst::PadProbeId)>,
    sound: Option<(gst::Pad, gst::PadProbeId)>,
    /// When the last frame arrived.
    last: Option<Instant>,
    error: Option<anyhow::Error>,
}

impl Streams {
    pub fn new(
        args: &Args,
        input: &Input,
        output: &Arc<Output>,
        stylize: &str,
        pipeline: &gst::Pipeline,
    ) -> Arc<Self> {
        Arc::new(Self {
            pipeline: pipeline.downgrade(),
            output: output.clone(),
            stylize: stylize.into(),
            live: input.live,
            real_time: live::is_live(&input.uri),
            height: args.height,
            bitrate: args.bitrate,
            key_interval: args.key_interval,
            state: Mutex::default(),
        })
    }

    /// Adds the source to the pipeline. Encoded AAC is not decoded if the output takes it.
    pub fn connect(self: &Arc<Self>, uri: &str) -> Result<()> {
        let mut caps = vec!["video/x-raw", "audio/x-raw(ANY)"];
        if self.output.takes_aac() {
            caps.push("audio/mpeg,mpegversion=4,framed=true");
        }
        let caps = caps.join(";").parse::<gst::Caps>()?;
        let source = gst::ElementFactory::make("uridecodebin")
            .property("uri", uri)
            .property("caps", caps)
            .build()?;
        if let Some(bin) = source.downcast_ref().filter(|_| self.real_time) {
            live::reduce_latency(bin);
        }
        let streams = Arc::downgrade(self);
        source.connect_pad_added(move |_, pad| {
            if let Some(streams) = streams.upgrade() {
                streams.pad_added(pad);
            }
        });
        let streams = Arc::downgrade(self);
        source.connect_no_more_pads(move |_| {
            if let Some(streams) = streams.upgrade()
                && let Err(err) = streams.build()
            {
                streams.lock().error.get_or_insert(err);
            }
        });
        let pipeline = self.pipeline.upgrade().context("no pipeline")?;
        Ok(pipeline.add(&source)?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error that ends this connection. Taken: the next call returns `None`.
    pub fn error(&self) -> Option<anyhow::Error> {
        self.lock().error.take()
    }

    /// Whether a frame has arrived.
    pub fn has_begun(&self) -> bool {
        self.lock().last.is_some()
    }

    /// Time since the last frame; zero before the first.
    pub fn silent_for(&self) -> Duration {
        self.lock()
            .last
            .map_or(Duration::ZERO, |last| last.elapsed())
    }

    /// Blocks the first video and audio pads until all pads are known; the data of other pads are dropped.
    fn pad_added(&self, pad: &gst::Pad) {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let name = caps
            .structure(0)
            .map_or("", |structure| structure.name().as_str());
        let mut state = self.lock();
        let place = if name.starts_with("video/") {
            &mut state.video
        } else if name.starts_with("audio/") && self.output.takes_sound() {
            &mut state.sound
        } else {
            return self.drop_data(pad);
        };
        if place.is_some() {
            return self.drop_data(pad);
        }
        let probe = pad.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, |_, _| {
            gst::PadProbeReturn::Ok
        });
        *place = probe.map(|probe| (pad.clone(), probe));
    }

    /// Drops all data of a pad.
    fn drop_data(&self, pad: &gst::Pad) {
        pad.add_probe(gst::PadProbeType::DATA_DOWNSTREAM, |_, _| {
            gst::PadProbeReturn::Handled
        });
    }

    /// Builds and links everything after the source, when all of its pads are known.
    fn build(self: &Arc<Self>) -> Result<()> {
        let (video, sound) = {
            let mut state = self.lock();
            (state.video.take(), state.sound.take())
        };
        let (video, probe) = video.context("the source has no video")?;
        let line = self.line(&video, sound.as_ref().map(|(pad, _)| pad))?;
        gst::info!(gst::CAT_DEFAULT, "{line}");
        let bin = gst::parse::bin_from_description(&line, false)?;
        let pipeline = self.pipeline.upgrade().context("no pipeline")?;
        pipeline.add(&bin)?;
        if self.real_time && self.output.keeps_time() {
            pace::synchronize(&pipeline, &bin, &video, frames_a_second(&video)?)?;
        }
        // If an element does not start, its error message on the bus says more.
        let _ = bin.sync_state_with_parent();
        let weak = Arc::downgrade(self);
        video.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            if let Some(streams) = weak.upgrade() {
                streams.lock().last = Some(Instant::now());
            }
            gst::PadProbeReturn::Ok
        });
        link(&video, &bin, "video")?;
        if let Some((sound, _)) = &sound {
            link(sound, &bin, "sound")?;
        }
        println!("on air: {}", self.summary(&video, sound.is_some()));
        video.remove_probe(probe);
        if let Some((sound, probe)) = sound {
            sound.remove_probe(probe);
        }
        Ok(())
    }

    /// Size, rate and whether there is sound, for the user.
    fn summary(&self, video: &gst::Pad, sound: bool) -> String {
        let info = video
            .current_caps()
            .and_then(|caps| gst_video::VideoInfo::from_caps(&caps).ok());
        let size = info.map_or(String::new(), |info| {
            let fps = f64::from(info.fps().numer()) / f64::from(info.fps().denom());
            format!(
                "{}x{} at {fps:.2} frames a second",
                info.width(),
                info.height()
            )
        });
        let sound = if sound { "with sound" } else { "without sound" };
        format!("{size}, {sound}")
    }

    /// Launch description of everything after the source.
    fn line(&self, video: &gst::Pad, sound: Option<&gst::Pad>) -> Result<String> {
        let caps = video.current_caps().context("video without caps")?;
        let info = gst_video::VideoInfo::from_caps(&caps)?;
        let (width, height) = self.size(&info);
        let interval = (frames_a_second(video)? * f64::from(self.key_interval))
            .round()
            .max(1.0) as u32;
        // A file is read as fast as it can be decoded; `clocksync`, or sinks that synchronize, slow it down to its
        // rate.
        let (paced, leaky) = match (self.live, self.output.keeps_time()) {
            (true, _) => ("", " leaky=downstream"),
            (false, false) => ("! clocksync ", " leaky=downstream"),
            (false, true) => ("", ""),
        };
        let sound = sound.map(|pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let aac = caps.structure(0).is_some_and(|s| s.name() == "audio/mpeg");
            format!("{SOUND_QUEUE} {paced}! {}", self.output.sound(aac))
        });
        // `deinterlace` passes progressive frames through.
        Ok(format!(
            "queue name=video max-size-buffers=4 {paced}! {ONE}{leaky} ! videoconvert ! deinterlace fields=top \
             ! videoscale ! video/x-raw,width={width},height={height} ! {} ! videoconvert ! {}  {}  {}",
            self.stylize,
            self.output.video(self.bitrate, interval),
            sound.unwrap_or_default(),
            self.output.mux(self.key_interval),
        ))
    }

    /// Size of the output in pixels: that of the source, or the wanted height in the source's aspect ratio. Even,
    /// because of 4:2:0, and at least 16.
    fn size(&self, info: &gst_video::VideoInfo) -> (u32, u32) {
        let height = self.height.unwrap_or(info.height());
        let width = u64::from(info.width()) * u64::from(height) / u64::from(info.height().max(1));
        let even = |side: u32| (side & !1).max(16);
        (
            even(u32::try_from(width).unwrap_or(info.width())),
            even(height),
        )
    }
}

/// Frame rate in 1/s; 30 if the caps have none.
fn frames_a_second(video: &gst::Pad) -> Result<f64> {
    let caps = video.current_caps().context("video without caps")?;
    let fps = gst_video::VideoInfo::from_caps(&caps)?.fps();
    let fps = f64::from(fps.numer()) / f64::from(fps.denom().max(1));
    Ok(if fps > 0.0 { fps } else { 30.0 })
}

/// Links a pad of the source to the queue of this name, through a ghost pad.
fn link(pad: &gst::Pad, bin: &gst::Bin, name: &str) -> Result<()> {
    let queue = bin.by_name(name).and_then(|queue| queue.static_pad("sink"));
    let ghost = gst::GhostPad::builder_with_target(&queue.context("the branch has no input")?)?
        .name(name)
        .build();
    ghost.set_active(true)?;
    bin.add_pad(&ghost)?;
    pad.link(&ghost)?;
    Ok(())
}

/// Launch description of the element with the user's properties.
///
/// # Errors
/// A usage error for a wrong property.
pub fn stylize(properties: &[String]) -> Result<String> {
    let properties: Vec<_> = properties
        .iter()
        .map(|property| element::split(property))
        .collect::<Result<_>>()?;
    element::describe("stylize name=stylize adapt=resolution", properties)
}
