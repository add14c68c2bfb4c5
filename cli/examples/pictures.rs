// SPDX-License-Identifier: MPL-2.0
//! The pictures in docs/controls.md: every control on a frame of a film.
//!
//! ```sh
//! cargo run --release -p stylize-cli --example pictures -- film.mp4 --out docs/images/controls
//! ```
//!
//! Each picture is a grid of panels, and each panel a piece of a description as `gst-launch-1.0`
//! reads it. The CPU provider in full precision paints, so that every machine makes the same ones.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use gst::prelude::*;

/// Which frame of the film is painted.
const FRAME: u32 = 62;
/// Where somebody stands in it, as a detector would say: x, y, width, height in 1280x720.
const SOMEBODY: (u32, u32, u32, u32) = (256, 24, 360, 640);
/// Frames of the noisy film: what `stability` keeps needs some to settle.
const NOISY: u32 = 12;
/// By how much the differences from frame to frame are enlarged to be seen.
const GAIN: u32 = 6;

/// A picture of a control.
struct Sheet {
    name: &'static str,
    /// Size of a panel.
    tile: (u32, u32),
    columns: usize,
    /// What happens to a frame before and after it is painted.
    before: &'static str,
    after: &'static str,
    /// The properties of `stylize` in each panel; `-` is the frame as it is.
    panels: &'static [&'static str],
}

const HALF: (u32, u32) = (480, 270);
const THIRD: (u32, u32) = (320, 180);
/// Painted at twice a panel's size.
const TWICE: &str = "videoscale ! video/x-raw,width=960,height=540";

const SHEETS: [Sheet; 7] = [
    Sheet {
        name: "all",
        tile: THIRD,
        columns: 3,
        before: "videoscale ! video/x-raw,width=640,height=360",
        after: "identity",
        panels: &[
            "style=starry-night strength=0.6",
            "style=scream inference-height=180",
            "style=great-wave color=source",
            "style=wheat-field split=0.5",
            "style=udnie mask=roi mask-invert=true mask-feather=30",
            "style=starry-night:0.5,great-wave:0.5",
        ],
    },
    Sheet {
        name: "strength",
        tile: HALF,
        columns: 2,
        before: TWICE,
        after: "identity",
        panels: &["strength=0", "strength=0.4", "strength=0.7", "strength=1"],
    },
    Sheet {
        name: "inference-height",
        tile: HALF,
        columns: 2,
        before: "identity",
        // Pixel for pixel.
        after: "videocrop left=240 top=10 right=560 bottom=440",
        panels: &[
            "inference-height=0",
            "inference-height=360",
            "inference-height=180",
            "inference-height=180 upscale=guided",
        ],
    },
    Sheet {
        name: "color",
        tile: HALF,
        columns: 2,
        before: TWICE,
        after: "identity",
        panels: &[
            "-",
            "style=great-wave color=style",
            "style=great-wave color=source",
            "style=great-wave color=match",
        ],
    },
    Sheet {
        name: "split",
        tile: HALF,
        columns: 2,
        before: TWICE,
        after: "identity",
        panels: &["split=0.25", "split=0.5"],
    },
    Sheet {
        name: "mask",
        tile: HALF,
        columns: 2,
        before: TWICE,
        after: "identity",
        panels: &[
            "mask=roi",
            "mask=roi mask-invert=true mask-feather=80",
            "mask=roi mask-feather=40 style-b=great-wave",
            "mask=image mask-file=oval.png mask-feather=40",
        ],
    },
    Sheet {
        name: "style-mix",
        tile: HALF,
        columns: 2,
        before: TWICE,
        after: "identity",
        panels: &[
            "style-b=scream style-mix=0",
            "style-b=scream style-mix=0.35",
            "style-b=scream style-mix=0.65",
            "style-b=scream style-mix=1",
        ],
    },
];

/// Render the pictures of the controls.
#[derive(Parser)]
struct Args {
    /// Film that they show
    film: PathBuf,
    /// Folder for them
    #[arg(long, default_value = "docs/images/controls")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    gst::init()?;
    gststylize::plugin_register_static()?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{} cannot be made", args.out.display()))?;
    let work = tempfile::tempdir()?;
    let frame = work.path().join("frame.png");
    play(&format!(
        "filesrc location={} ! decodebin ! videoconvert ! video/x-raw,format=RGB \
         ! videoscale ! video/x-raw,width=1280,height=720 ! identity eos-after={FRAME} \
         ! pngenc compression-level=1 ! multifilesink location={}",
        quoted(&args.film)?,
        quoted(&frame)?
    ))?;
    let oval = work.path().join("oval.png");
    play(&format!(
        "videotestsrc pattern=ball num-buffers=1 ! video/x-raw,format=RGB,width=64,height=48 \
         ! pngenc ! filesink location={}",
        quoted(&oval)?
    ))?;
    let still = format!(
        "filesrc location={} ! pngdec ! videoconvert ! video/x-raw,format=RGB \
         ! imagefreeze num-buffers=1",
        quoted(&frame)?
    );
    for sheet in &SHEETS {
        let panels = sheet.panels.iter().map(|properties| {
            let paint = match *properties {
                "-" => "identity".into(),
                properties => stylize(&properties.replace("oval.png", &quoted(&oval)?)),
            };
            let label = match *properties {
                "-" => "the film",
                properties => properties,
            };
            Ok((
                label.to_string(),
                format!("{still} ! {} ! {paint} ! {}", sheet.before, sheet.after),
            ))
        });
        let out = args.out.join(format!("{}.jpg", sheet.name));
        grid(
            &panels.collect::<Result<Vec<_>>>()?,
            sheet.tile,
            sheet.columns,
            &out,
        )?;
    }
    stability(&frame, work.path(), &args.out.join("stability.jpg"))
}

/// A still scene with the noise of a camera: a frame of it, its painting, and what changes from one
/// painting to the next.
fn stability(frame: &Path, work: &Path, out: &Path) -> Result<()> {
    let (width, height) = HALF;
    let size = format!("video/x-raw,format=RGB,width={width},height={height},framerate=25/1");
    let mut panels = Vec::new();
    let names = [
        ("-", "the film, still but for its noise"),
        ("stability=0", "painted"),
    ];
    let differences = ["stability=0", "stability=0.8"];
    let noisy = |properties: &str| -> Result<_> {
        let paint = match properties {
            "-" => "identity".into(),
            properties => stylize(properties),
        };
        let pipeline = launch(&format!(
            "compositor name=c sink_1::alpha=0.06 ! videoconvert ! {size} ! {paint} \
             ! appsink name=out sync=false \
             filesrc location={} ! pngdec ! videoconvert ! videoscale ! imagefreeze \
             num-buffers={NOISY} ! {size} ! c.sink_0 \
             videotestsrc pattern=snow num-buffers={NOISY} ! {size} ! c.sink_1",
            quoted(frame)?
        ))?;
        last_two(&pipeline)
    };
    let mut keep = |name: &str, label: String, bytes: Vec<u8>| -> Result<()> {
        let file = work.join(name);
        let picture = image::RgbImage::from_raw(width, height, bytes).context("a whole frame")?;
        picture.save(&file)?;
        let chain = format!(
            "filesrc location={} ! pngdec ! videoconvert",
            quoted(&file)?
        );
        panels.push((label, chain));
        Ok(())
    };
    for (index, (properties, label)) in names.iter().enumerate() {
        keep(
            &format!("{index}.png"),
            label.to_string(),
            noisy(properties)?.1,
        )?;
    }
    for properties in differences {
        let (one, other) = noisy(properties)?;
        let pairs = one.iter().zip(&other);
        let difference = pairs.map(|(a, b)| (u32::from(a.abs_diff(*b)) * GAIN).min(255) as u8);
        let label = format!("{properties}: change from frame to frame, x{GAIN}");
        keep(&format!("{properties}.png"), label, difference.collect())?;
    }
    grid(&panels, HALF, 2, out)
}

fn stylize(properties: &str) -> String {
    format!("stylize execution-provider=cpu precision=fp32 qos=false {properties}")
}

/// The last two frames that reach the `appsink` called `out`.
fn last_two(pipeline: &gst::Pipeline) -> Result<(Vec<u8>, Vec<u8>)> {
    let sink = pipeline.by_name("out").context("a sink")?;
    let sink = sink.downcast::<gst_app::AppSink>();
    let sink = sink.map_err(|_| anyhow!("out is no appsink"))?;
    pipeline.set_state(gst::State::Playing)?;
    let mut frames = (Vec::new(), Vec::new());
    while let Ok(sample) = sink.pull_sample() {
        let bytes = sample.buffer().context("a frame")?.map_readable()?.to_vec();
        frames = (frames.1, bytes);
    }
    finish(pipeline)?;
    Ok(frames)
}

/// Writes labelled panels, each a source of one frame, as one JPEG.
fn grid(panels: &[(String, String)], tile: (u32, u32), columns: usize, out: &Path) -> Result<()> {
    let (width, height) = tile;
    let mut places = String::new();
    let mut chains = String::new();
    for (index, (label, chain)) in panels.iter().enumerate() {
        let x = (index % columns) as u32 * width;
        let y = (index / columns) as u32 * height;
        places += &format!(" sink_{index}::xpos={x} sink_{index}::ypos={y}");
        chains += &format!(
            " {chain} ! videoscale ! videoconvert ! video/x-raw,width={width},height={height} \
             ! textoverlay text=\"{label}\" font-desc=\"Sans {}\" halignment=left \
             valignment=bottom xpad=6 ypad=4 shaded-background=true ! queue ! c.sink_{index}",
            if width < 400 { 15 } else { 12 }
        );
    }
    play(&format!(
        "compositor name=c background=black{places} ! videoconvert ! video/x-raw,format=I420 \
         ! jpegenc quality=80 snapshot=true ! filesink location={}{chains}",
        quoted(out)?
    ))?;
    println!("{}", out.display());
    Ok(())
}

/// A path as a launch description writes it.
fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().context("a path is not UTF-8")?;
    Ok(format!(
        "\"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"")
    ))
}

/// A pipeline in which frames of the film know where somebody stands.
fn launch(line: &str) -> Result<gst::Pipeline> {
    let pipeline = gst::parse::launch(line)?;
    let pipeline = pipeline.downcast::<gst::Pipeline>();
    let pipeline = pipeline.map_err(|_| anyhow!("not a pipeline: {line}"))?;
    for freeze in pipeline.iterate_all_by_element_factory_name("imagefreeze") {
        let pad = freeze?.static_pad("src").context("a pad")?;
        pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
            if let Some(buffer) = info.buffer_mut() {
                let buffer = buffer.make_mut();
                gst_video::VideoRegionOfInterestMeta::add(buffer, "somebody", SOMEBODY);
            }
            gst::PadProbeReturn::Ok
        });
    }
    Ok(pipeline)
}

/// Plays a description to its end.
fn play(line: &str) -> Result<()> {
    let pipeline = launch(line)?;
    // What went wrong is on the bus.
    let _ = pipeline.set_state(gst::State::Playing);
    finish(&pipeline)
}

fn finish(pipeline: &gst::Pipeline) -> Result<()> {
    let bus = pipeline.bus().context("a bus")?;
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(None, &ends);
    pipeline.set_state(gst::State::Null)?;
    match end.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => Err(anyhow!("{}", error.error())),
        _ => Ok(()),
    }
}
