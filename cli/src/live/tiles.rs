// SPDX-License-Identifier: MPL-2.0
//! The tiles of the gallery: a frame of the source in every style, painted once in the background.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use axum::body::Bytes;
use gst::prelude::*;
use tokio::sync::watch;

use super::Args;
use super::output::{JPEG, Output, configure};

/// Width of the frame that is painted, and of the tile, pixels. Strokes have a fixed size in pixels, so a frame of the
/// tile's size would show little else.
const PAINTED: u32 = 640;
const TILE: u32 = 320;
/// Wait after the first frame: many videos begin in black.
const FIRST: Duration = Duration::from_secs(1);
/// Pause between two tiles, which leaves processor time to the live picture.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for one tile; the first one waits for the generator.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// JPEG files by style.
#[derive(Clone, Default)]
pub struct Tiles(Arc<Mutex<BTreeMap<String, Bytes>>>);

impl Tiles {
    /// Styles whose tiles have been painted.
    pub fn ready(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    pub fn get(&self, style: &str) -> Option<Bytes> {
        self.lock().get(style).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread that paints the tiles.
///
/// # Errors
/// If no thread can be started.
pub fn start(args: &Args, output: Arc<Output>, changed: watch::Sender<()>) -> Result<Tiles> {
    let tiles = Tiles::default();
    let (args, painted) = (args.clone(), tiles.clone());
    std::thread::Builder::new()
        .name("tiles".into())
        .spawn(move || {
            let result = paint(&args, &output, |style, jpeg| {
                painted.lock().insert(style.into(), jpeg);
                changed.send_replace(());
            });
            if let Err(err) = result {
                eprintln!("warning: the gallery has no pictures: {err:#}");
            }
        })?;
    Ok(tiles)
}

fn paint(args: &Args, output: &Output, mut done: impl FnMut(&str, Bytes)) -> Result<()> {
    while output.feed.picture().is_none() {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(FIRST);
    let (picture, caps) = output.feed.picture().context("a picture")?;
    let size = |width: u32| {
        let height = (width * args.height / args.width).max(16);
        format!("video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1")
    };
    let line = format!(
        "appsrc name=in format=time ! videoscale ! {} \
         ! stylize name=stylize transition=0 qos=false ! videoscale ! {} \
         ! videoconvert ! {JPEG} ! jpegenc quality=80 ! appsink name=out sync=false",
        size(PAINTED.min(args.width)),
        size(TILE.min(args.width)),
    );
    let pipeline = gst::parse::launch(&line)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow!("not a pipeline: {line}"))?;
    let stylize = pipeline.by_name("stylize").context("stylize")?;
    configure(&stylize, args)?;
    let input = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>();
    let input = input.context("an appsrc")?;
    input.set_caps(Some(&caps));
    let result = paint_with(&pipeline, &input, &stylize, &picture, &mut done);
    pipeline.set_state(gst::State::Null)?;
    result
}

fn paint_with(
    pipeline: &gst::Pipeline,
    input: &gst_app::AppSrc,
    stylize: &gst::Element,
    picture: &gst::Buffer,
    done: &mut impl FnMut(&str, Bytes),
) -> Result<()> {
    let out = pipeline
        .by_name("out")
        .and_downcast::<gst_app::AppSink>()
        .context("an appsink")?;
    // An error stays on the bus; it is read below when no frame arrives.
    let _ = pipeline.set_state(gst::State::Playing);
    for (number, style) in (0..).zip(stylize.property::<Vec<String>>("styles")) {
        stylize.set_property("style", &style);
        let mut frame = picture.copy();
        if let Some(frame) = frame.get_mut() {
            frame.set_pts(gst::ClockTime::from_seconds(number));
            frame.set_duration(None);
        }
        input.push_buffer(frame)?;
        let sample = out.try_pull_sample(PATIENCE).with_context(|| {
            let bus = pipeline.bus();
            let message = bus.and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
            match message.as_ref().map(|message| message.view()) {
                Some(gst::MessageView::Error(error)) => error.error().message().to_string(),
                _ => format!("{style} took more than {PATIENCE}"),
            }
        })?;
        let jpeg = sample.buffer().context("a frame")?.map_readable()?;
        done(&style, Bytes::copy_from_slice(&jpeg));
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
