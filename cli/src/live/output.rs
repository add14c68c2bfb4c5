// SPDX-License-Identifier: MPL-2.0
//! The output pipeline, which runs as long as the server: stylizes every frame once, and encodes it and the sound once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use gst::prelude::*;
use gst_utils::StreamProducer;
use gst_utils::streamproducer::ProducerSettings;
use tokio::sync::oneshot;

use super::Args;
use super::feed::Feed;
use super::key_frames::KeyFrames;
use super::meter::Meter;
use super::mjpeg::Mjpeg;
use super::sound::{self, Sound};

use crate::shared::run::cast;

/// The output pipeline and its elements.
pub struct Output {
    pub pipeline: gst::Pipeline,
    pub stylize: gst::Element,
    pub feed: Feed,
    pub sound: Sound,
    /// The encoder's frames, for viewers.
    pub encoded: StreamProducer,
    pub key_frames: Arc<KeyFrames>,
    /// Measurements after `stylize`, and after the encoder.
    pub painted: Meter,
    pub ready: Meter,
    /// `textoverlay` for notices; a separate package in Debian, so it may be missing.
    notice: Option<gst::Element>,
}

/// Sets the properties of the generator from the command line. Texts become values of properties, never part of a
/// launch description.
///
/// # Errors
/// If a value is not one of the property.
pub fn configure(stylize: &gst::Element, args: &Args) -> Result<()> {
    for (name, value) in [
        ("quality", &args.quality),
        ("execution-provider", &args.execution_provider),
        ("precision", &args.precision),
    ] {
        let spec = stylize.find_property(name);
        let spec = spec.with_context(|| format!("stylize has no property {name}"))?;
        let parsed = gst::glib::Value::deserialize_with_pspec(value, &spec);
        let parsed = parsed.map_err(|_| {
            let class = gst::glib::EnumClass::with_type(spec.value_type());
            let nicks = class.iter().flat_map(|class| class.values());
            let nicks = nicks.map(|value| value.nick()).collect::<Vec<_>>();
            anyhow!("--{name} {value:?}: give one of {}", nicks.join(", "))
        })?;
        stylize.set_property_from_value(name, &parsed);
    }
    stylize.set_property("threads", args.threads);
    Ok(())
}

/// Colorimetry that decoders assume for JPEG: BT.601, full range.
pub const JPEG: &str = "video/x-raw,format=I420,colorimetry=1:4:7:1";

/// Caps of frames between source and output: the format that most decoders output and the encoder needs.
pub fn picture(args: &Args) -> String {
    format!(
        "video/x-raw,format=I420,width={},height={},pixel-aspect-ratio=1/1",
        args.width, args.height
    )
}

/// [`picture`] with the frame rate.
pub fn caps(args: &Args) -> String {
    format!("{},framerate={}/1", picture(args), args.framerate)
}

/// Starts the output. The receiver gets the error message if the pipeline fails.
///
/// # Errors
/// If an element is missing, or the pipeline does not start.
pub fn start(args: &Args) -> Result<(Arc<Output>, Mjpeg, oneshot::Receiver<String>)> {
    let overlay = gst::ElementFactory::find("textoverlay").is_some();
    let notice = if overlay {
        "textoverlay name=notice silent=true font-desc=\"Sans 18\" valignment=top shaded-background=true !"
    } else {
        ""
    };
    let queue = "queue leaky=downstream max-size-buffers=2 max-size-bytes=0 max-size-time=0";
    // A key frame every ten seconds for players that do not request any; browsers do.
    let line = format!(
        "appsrc name=in is-live=true format=time leaky-type=downstream max-buffers=1 max-bytes=0 caps={} \
         ! stylize name=stylize on-error=hold reuse=true qos=false adapt=resolution ! {notice} tee name=raw \
         raw. ! {queue} ! videoconvert ! video/x-raw,format=I420 \
         ! x264enc name=encoder tune=zerolatency speed-preset=ultrafast bitrate={} key-int-max={} \
         ! video/x-h264,profile=constrained-baseline,stream-format=byte-stream \
         ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au \
         ! appsink name=encoded async=false \
         raw. ! valve name=valve drop=true ! {queue} ! videoconvert ! {JPEG} ! jpegenc quality=75 \
         ! appsink name=jpeg sync=false async=false max-buffers=1 drop=true \
         {}",
        caps(args),
        args.bitrate,
        10 * args.framerate,
        sound::branch(),
    );
    let pipeline = gst::parse::launch(&line)
        .context("the output cannot be built; scripts/setup.sh installs the elements it needs")?
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow!("not a pipeline: {line}"))?;
    let part = |name: &str| pipeline.by_name(name).with_context(|| name.to_owned());
    let input = cast::<gst_app::AppSrc>(part("in")?)?;
    let encoded = cast::<gst_app::AppSink>(part("encoded")?)?;
    let stylize = part("stylize")?;
    configure(&stylize, args)?;
    if let Some(style) = &args.style {
        stylize.set_property("style", style);
    }
    let pad = |element: &gst::Element, name| element.static_pad(name).context("a pad");
    let (painted, ready) = (Meter::default(), Meter::default());
    painted.watch(&pad(&stylize, "src")?);
    ready.watch(&pad(encoded.upcast_ref(), "sink")?);
    let key_frames = KeyFrames::of(&part("encoder")?)?;
    let mjpeg = Mjpeg::new(part("valve")?, &cast(part("jpeg")?)?);

    let blank = gst::Buffer::from_slice(blank(args)?);
    let frame_time = Duration::from_secs(1) / args.framerate;
    let output = Arc::new(Output {
        feed: Feed::new(input, blank, caps(args).parse()?, frame_time),
        encoded: StreamProducer::with(&encoded, ProducerSettings { sync: false }),
        sound: Sound::of(&pipeline)?,
        stylize,
        key_frames,
        painted,
        ready,
        notice: pipeline.by_name("notice"),
        pipeline,
    });
    let (failed, reason) = oneshot::channel();
    watch_bus(&output.pipeline, failed)?;
    if output.pipeline.set_state(gst::State::Playing).is_err() {
        // The error message on the bus has the reason.
        let reason = reason.recv_timeout();
        output.stop();
        return Err(match reason {
            Some(reason) => anyhow!(reason),
            None => anyhow!("the output does not start: {line}"),
        });
    }
    keep_alive(&output, frame_time)?;
    Ok((output, mjpeg, reason))
}

/// Data of a dark grey frame.
fn blank(args: &Args) -> Result<Vec<u8>> {
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, args.width, args.height);
    let info = info.build()?;
    let mut frame = vec![128; info.size()];
    frame[..info.offset()[1]].fill(50);
    Ok(frame)
}

/// Prints warnings; the first error is sent to `failed`.
fn watch_bus(pipeline: &gst::Pipeline, failed: oneshot::Sender<String>) -> Result<()> {
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    let watch = move || {
        for message in bus.iter_timed(gst::ClockTime::NONE) {
            match message.view() {
                gst::MessageView::Error(error) => {
                    let _ = failed.send(error.error().message().to_string());
                    return;
                }
                gst::MessageView::Warning(warning) => {
                    eprintln!("warning: {}", warning.error().message());
                }
                _ => (),
            }
        }
    };
    std::thread::Builder::new()
        .name("output-bus".into())
        .spawn(watch)?;
    Ok(())
}

/// Starts the thread that repeats the last frame and pushes silence while the source delivers nothing.
fn keep_alive(output: &Arc<Output>, frame_time: Duration) -> Result<()> {
    let weak = Arc::downgrade(output);
    let keep = move || {
        while let Some(output) = weak.upgrade() {
            output.feed.keep_alive();
            output.sound.keep_alive();
            drop(output);
            std::thread::sleep(frame_time);
        }
    };
    std::thread::Builder::new()
        .name("keep-alive".into())
        .spawn(keep)?;
    Ok(())
}

impl Output {
    /// Shows a line of text over the picture, or removes it.
    pub fn notice(&self, text: Option<&str>) {
        if let Some(overlay) = &self.notice {
            overlay.set_property("text", text.unwrap_or_default());
            overlay.set_property("silent", text.is_none());
        }
    }

    pub fn stop(&self) {
        // A failed stop does not matter: the process ends next.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Waits up to a second for the error message of a failed start, which the bus thread sends.
trait RecvTimeout {
    fn recv_timeout(self) -> Option<String>;
}

impl RecvTimeout for oneshot::Receiver<String> {
    fn recv_timeout(mut self) -> Option<String> {
        (0..50).find_map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            self.try_recv().ok()
        })
    }
}
