// SPDX-License-Identifier: MPL-2.0
//! A trial: one provider with one generator in every precision, in a child process of this program.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};

use super::Place;

/// Frame size for the comparison with the CPU, pixels. Small, because some providers run in software.
const COMPARED: (u32, u32) = (256, 144);
/// Formats for the comparison: the graphs for packed and planar formats differ.
const FORMATS: [VideoFormat; 2] = [VideoFormat::Rgba, VideoFormat::I420];
/// Frames before the measurement.
const WARM: usize = 4;
/// A size is not measured if one frame would take longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of a trial.
pub struct Trial {
    pub place: Place,
    pub provider: String,
    pub precisions: Vec<String>,
    pub device: Option<String>,
    /// Generator file or name; `None`: the built-in generator `lite`.
    pub model: Option<String>,
    pub sizes: Vec<(u32, u32)>,
    /// Seconds of measurement for each size.
    pub seconds: f64,
}

/// Results of a trial.
pub struct Findings {
    /// A structure for each precision that was tried.
    pub found: Vec<gst::Structure>,
    /// The signal or exit code with which the process ended before it had tried all.
    pub crash: Option<String>,
}

impl Trial {
    /// Starts the child process and parses its standard output, a serialized structure in each line.
    ///
    /// # Errors
    /// If the process cannot be started. A crash is a finding.
    pub fn run(&self) -> Result<Findings> {
        let output = Command::new(std::env::current_exe()?)
            .args(["doctor", "--trial", &self.structure().to_string()])
            .stderr(Stdio::null())
            .output()
            .context("a process cannot be started")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let found = text.lines().filter_map(|line| line.parse().ok()).collect();
        let crash = match (output.status.signal(), output.status.success()) {
            (Some(signal), _) => Some(format!("crashed with signal {signal}")),
            (None, false) => Some(format!("ended with {}", output.status)),
            (None, true) => None,
        };
        Ok(Findings { found, crash })
    }

    /// Serializable arguments for the child process.
    fn structure(&self) -> gst::Structure {
        let path = |path: &Option<std::path::PathBuf>| {
            let path = path.as_ref().map(|path| path.display().to_string());
            path.unwrap_or_default()
        };
        let sizes = self
            .sizes
            .iter()
            .map(|(width, height)| format!("{width}x{height}"));
        gst::Structure::builder("trial")
            .field("runtime", path(&self.place.runtime))
            .field("library", path(&self.place.provider_library))
            .field("provider", &self.provider)
            .field("precisions", self.precisions.join(" "))
            .field("device", self.device.clone().unwrap_or_default())
            .field("model", self.model.clone().unwrap_or_default())
            .field("sizes", sizes.collect::<Vec<_>>().join(" "))
            .field("seconds", self.seconds)
            .build()
    }
}

/// Runs in the child process: tries all precisions and prints a structure for each. `trial` is a serialized structure,
/// see [`Trial::run`].
///
/// # Errors
/// If the arguments cannot be parsed or GStreamer cannot be initialized. Errors of the provider are in the findings.
pub fn child(trial: &str) -> Result<()> {
    gst::init()?;
    gststylize::plugin_register_static()?;
    let trial: gst::Structure = trial.parse()?;
    let text = |name: &str| trial.get::<String>(name).unwrap_or_default();
    let seconds = trial.get::<f64>("seconds")?;
    let make = |provider: &str, precision: &str| -> Result<gst::Element> {
        let element = gst::ElementFactory::make("stylize")
            .property("runtime-library", text("runtime"))
            .property("provider-library", text("library"))
            .property("device", text("device"))
            .property("model-file", text("model"))
            // One generator for all providers: with `auto` it would depend on the provider.
            .property_from_str("quality", "lite")
            .property_from_str("execution-provider", provider)
            .property_from_str("precision", precision)
            .build()?;
        if provider == "cpu" {
            element.set_property("provider-library", "");
            element.set_property("device", "");
        }
        Ok(element)
    };
    for precision in text("precisions").split(' ') {
        let mut finding = gst::Structure::builder("finding")
            .field("precision", precision)
            .build();
        let result = try_one(&make, &text("provider"), precision, &mut finding);
        let result = result.and_then(|()| {
            for size in text("sizes").split(' ') {
                let (width, height) = size.split_once('x').context("a size")?;
                let size_of = (width.parse()?, height.parse()?);
                let element = make(&text("provider"), precision)?;
                let fps = time(&element, size_of, seconds)?;
                finding.set(size, fps);
            }
            Ok(())
        });
        if let Err(err) = result {
            finding.set("error", err.to_string());
        }
        println!("{finding}");
    }
    Ok(())
}

/// Compares a small picture with that of the CPU provider in fp32, in each format. The largest error and the lowest
/// PSNR of all formats go into `finding`.
fn try_one(
    make: &dyn Fn(&str, &str) -> Result<gst::Element>,
    provider: &str,
    precision: &str,
    finding: &mut gst::Structure,
) -> Result<()> {
    let (mut worst, mut psnr) = (0, f64::INFINITY);
    for format in FORMATS {
        let element = make(provider, precision)?;
        element.set_property("frames-in-flight", 1_u32);
        let player = Player::new(&element, format, COMPARED)?;
        let picture = player.paint()?;
        let stats = element.property::<gst::Structure>("stats");
        for name in ["runtime", "nodes", "nodes-on-cpu"] {
            if let Ok(value) = stats.value(name) {
                finding.set_value(name, value.clone());
            }
        }
        drop(player);
        let reference = Player::new(&make("cpu", "fp32")?, format, COMPARED)?.paint()?;
        let differences = picture.iter().zip(&reference).map(|(a, b)| a.abs_diff(*b));
        worst = worst.max(differences.clone().max().unwrap_or(0));
        let square = differences.map(|d| f64::from(d).powi(2)).sum::<f64>();
        let mean = (square / reference.len() as f64).max(1e-4);
        psnr = psnr.min(10.0 * (255.0_f64.powi(2) / mean).log10());
    }
    finding.set("worst", u32::from(worst));
    finding.set("psnr", psnr);
    Ok(())
}

/// Frames per second at a size in pixels; 0 if one frame would take longer than [`PATIENCE`], extrapolated from a small
/// frame.
fn time(element: &gst::Element, size: (u32, u32), seconds: f64) -> Result<f64> {
    let area = |(width, height): (u32, u32)| f64::from(width) * f64::from(height);
    let small = Player::new(element, VideoFormat::Rgba, COMPARED)?;
    small.push()?;
    small.push()?;
    let begin = Instant::now();
    small.push()?;
    if begin.elapsed().mul_f64(area(size) / area(COMPARED)) > PATIENCE {
        return Ok(0.0);
    }
    drop(small);
    let player = Player::new(element, VideoFormat::Rgba, size)?;
    for _ in 0..WARM {
        player.push()?;
    }
    // A push blocks until fewer than `frames-in-flight` frames are in the element, so the rate of pushes is the rate of
    // frames.
    let begin = Instant::now();
    let mut frames = 0.0;
    while frames < 2.0 || begin.elapsed().as_secs_f64() < seconds {
        player.push()?;
        frames += 1.0;
    }
    Ok(frames / begin.elapsed().as_secs_f64())
}

/// The pipeline `stylize ! appsink`, to whose input frames in system memory are pushed.
struct Player {
    pipeline: gst::Pipeline,
    element: gst::Element,
    pad: gst::Pad,
    sink: gst_app::AppSink,
    frame: gst::Buffer,
}

impl Player {
    fn new(
        element: &gst::Element,
        format: VideoFormat,
        (width, height): (u32, u32),
    ) -> Result<Self> {
        let sink = gst_app::AppSink::builder()
            .sync(false)
            .async_(false)
            .build();
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([element, sink.upcast_ref()])?;
        element.link(&sink)?;
        let pad = gst::Pad::builder(gst::PadDirection::Src).build();
        pad.set_active(true)?;
        pad.link(&element.static_pad("sink").context("a pad")?)?;
        let info = VideoInfo::builder(format, width, height)
            .fps(gst::Fraction::new(30, 1))
            .build()?;
        let player = Self {
            frame: gst::Buffer::from_slice(picture(&info)),
            pipeline,
            element: element.clone(),
            pad,
            sink,
        };
        let started = player.pipeline.set_state(gst::State::Playing);
        player
            .pad
            .push_event(gst::event::StreamStart::new("doctor"));
        player
            .pad
            .push_event(gst::event::Caps::new(&info.to_caps()?));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        player.pad.push_event(gst::event::Segment::new(&segment));
        player.failure()?;
        started?;
        Ok(player)
    }

    /// # Errors
    /// The first error message on the bus, if there is one.
    fn failure(&self) -> Result<()> {
        let bus = self.pipeline.bus().context("a bus")?;
        let message = bus.pop_filtered(&[gst::MessageType::Error]);
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => bail!("{}", error.error()),
            _ => Ok(()),
        }
    }

    /// Pushes the frame once more and discards the finished frames.
    fn push(&self) -> Result<()> {
        let pushed = self.pad.push(self.frame.clone());
        self.failure()?;
        pushed?;
        while self.sink.try_pull_sample(gst::ClockTime::ZERO).is_some() {}
        Ok(())
    }

    /// The stylized frame. Only with `frames-in-flight=1`: otherwise the sink may have no frame yet.
    fn paint(&self) -> Result<Vec<u8>> {
        let pushed = self.pad.push(self.frame.clone());
        self.failure()?;
        pushed?;
        let sample = self.sink.pull_sample()?;
        let buffer = sample.buffer().context("a frame")?;
        Ok(buffer.map_readable()?.to_vec())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // A failed stop cannot be handled here, and the child process ends soon.
        let _ = self.pipeline.set_state(gst::State::Null);
        let _ = self.pipeline.remove(&self.element);
        if let Some(peer) = self.pad.peer() {
            let _ = self.pad.unlink(&peer);
        }
    }
}

/// A test picture with smooth and detailed parts: each component is a product of waves, with a pattern of blocks in its
/// low bits.
fn picture(info: &VideoInfo) -> Vec<u8> {
    let mut bytes = vec![0; info.size()];
    for c in 0..info.n_components() as u8 {
        let (width, height) = (info.comp_width(c) as usize, info.comp_height(c) as usize);
        let (stride, step) = (info.comp_stride(c) as usize, info.comp_pstride(c) as usize);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
            let wave = ((u * 34.0).sin() * (v * 23.0 + f32::from(c)).cos() + 1.0) * 100.0;
            let value = wave as u8 ^ (((u * 40.0) as usize * (v * 22.0) as usize) as u8 & 31);
            bytes[info.comp_offset(c) + y * stride + x * step] = value;
        }
    }
    bytes
}
