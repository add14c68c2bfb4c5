// SPDX-License-Identifier: MPL-2.0
//! The command `styles`: lists the built-in styles, writes a sheet with all of them on a picture, and a clip with
//! transitions through all of them.
//!
//! ```sh
//! stylize styles
//! stylize styles photo.jpg --sheet sheet.png --film film.mp4 --clip clip.mp4
//! ```
//!
//! Both are launch descriptions as for `gst-launch-1.0`; the program adds the positions of the tiles and the times at
//! which the style changes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gst::prelude::*;

use crate::shared::failure::usage;
use crate::shared::output::{check_not_input, with_suffix, write_then_rename};
use crate::shared::run::{pipeline, to_end};
use crate::shared::text;
use crate::shared::time::running_time;

/// Size of a tile on the sheet, pixels: smaller than [`FRAME`], in which it is painted.
const TILE: (usize, usize) = (384, 216);
const COLUMNS: usize = 5;
/// Size of the frames that are painted.
const FRAME: &str = "width=640,height=360,pixel-aspect-ratio=1/1";
/// Frames a second of the clip.
const RATE: u64 = 25;

/// List the built-in styles, or show them on a picture and in a clip.
#[derive(clap::Args)]
pub struct Args {
    /// Picture for the sheet
    picture: Option<PathBuf>,
    /// Write all styles on the picture to this PNG file
    #[arg(long, requires = "picture")]
    sheet: Option<PathBuf>,
    /// Film for the clip; repeated if it is shorter
    #[arg(long, requires = "clip")]
    film: Option<PathBuf>,
    /// Write a clip that glides through all styles to this MP4 file
    #[arg(long, requires = "film")]
    clip: Option<PathBuf>,
    /// Which built-in generator
    #[arg(long, default_value = "auto", value_parser = crate::shared::element::QUALITIES)]
    quality: String,
    /// Length of the clip
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// Runs the command; see the module.
///
/// # Errors
/// If a file cannot be read or written.
pub fn run(args: &Args) -> Result<()> {
    crate::init()?;
    let stylize = gst::ElementFactory::make("stylize").build()?;
    let styles = stylize.property::<Vec<String>>("styles");
    if let (Some(picture), Some(sheet)) = (&args.picture, &args.sheet) {
        write(picture, sheet, |part| {
            play(&sheet_line(args, &styles, picture, part)?, |_| Ok(()))
        })?;
        println!("{}: {} styles", sheet.display(), styles.len());
    }
    if let (Some(film), Some(clip)) = (&args.film, &args.clip) {
        let repeats = repeats(film, args.seconds)?;
        write(film, clip, |part| {
            play(&clip_line(args, film, repeats, part)?, |pipeline| {
                glide(pipeline, &styles, args.seconds)
            })
        })?;
        println!("{}: {} seconds", clip.display(), args.seconds);
    }
    if args.picture.is_some() && args.sheet.is_none() {
        return Err(usage("say where the sheet goes: --sheet sheet.png"));
    }
    if args.sheet.is_none() && args.clip.is_none() {
        for style in styles {
            println!("{style}");
        }
    }
    Ok(())
}

/// Writes an output under another name, and renames it when it is complete.
fn write(input: &Path, output: &Path, play: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let part = with_suffix(output, ".part");
    check_not_input(&input.to_string_lossy(), [output, &part])?;
    write_then_rename(&part, || output.into(), || play(&part))?;
    Ok(())
}

/// A path, quoted for a launch description.
fn quoted(path: &Path) -> Result<String> {
    Ok(text::quoted(path.to_str().context("a path is not UTF-8")?))
}

/// Launch description of the sheet: the picture and all paintings of it in a grid.
fn sheet_line(args: &Args, styles: &[String], picture: &Path, out: &Path) -> Result<String> {
    let (width, height) = TILE;
    let mut places = String::new();
    let mut tiles = String::new();
    let names = std::iter::once(None).chain(styles.iter().map(Some));
    for (index, style) in names.enumerate() {
        let (x, y) = (index % COLUMNS * width, index / COLUMNS * height);
        places += &format!(" sink_{index}::xpos={x} sink_{index}::ypos={y}");
        let paint = style.map_or(String::new(), |style| {
            format!("stylize quality={} style={style} ! ", args.quality)
        });
        let name = style.map_or("the picture", String::as_str);
        tiles += &format!(
            " t. ! queue ! {paint}videoscale ! video/x-raw,width={width},height={height} \
             ! {} text=\"{name}\" ! c.sink_{index}",
            label("Sans 15")
        );
    }
    Ok(format!(
        "filesrc location={} ! decodebin ! videoconvert ! aspectratiocrop aspect-ratio=16/9 \
         ! videoscale ! video/x-raw,format=RGB,{FRAME} ! imagefreeze num-buffers=1 ! tee name=t \
         compositor name=c background=black{places} ! videoconvert ! pngenc snapshot=true \
         ! filesink location={}{tiles}",
        quoted(picture)?,
        quoted(out)?
    ))
}

/// Launch description of the clip: the film is played `repeats` times in a row.
fn clip_line(args: &Args, film: &Path, repeats: u64, out: &Path) -> Result<String> {
    let film = quoted(film)?;
    let source = format!(" filesrc location={film} ! decodebin ! videoconvert ! queue ! c.");
    Ok(format!(
        "concat name=c ! identity single-segment=true ! videorate ! videoscale add-borders=true \
         ! video/x-raw,{FRAME},framerate={RATE}/1 ! identity eos-after={} \
         ! stylize name=s quality={} qos=false frames-in-flight=1 transition=700000000 \
         ! {} name=label ! videoconvert ! video/x-raw,format=I420 \
         ! x264enc pass=qual quantizer=22 vbv-buf-capacity=0 ! h264parse ! mp4mux \
         ! filesink location={}{}",
        args.seconds * RATE,
        args.quality,
        label("Sans 20"),
        quoted(out)?,
        source.repeat(repeats as usize)
    ))
}

fn label(font: &str) -> String {
    format!(
        "textoverlay font-desc=\"{font}\" halignment=left valignment=bottom xpad=8 ypad=6 \
         shaded-background=true"
    )
}

/// How often the film must be played to fill `seconds`.
fn repeats(film: &Path, seconds: u64) -> Result<u64> {
    let film = film.canonicalize();
    let uri = film.map(|path| gst::glib::filename_to_uri(path, None))??;
    let discoverer = gst_pbutils::Discoverer::new(gst::ClockTime::from_seconds(20))?;
    let duration = discoverer.discover_uri(&uri)?.duration();
    let duration = duration.filter(|duration| !duration.is_zero());
    let duration = duration.with_context(|| format!("{uri} has no length"))?;
    Ok((seconds * 1000).div_ceil(duration.mseconds().max(1)))
}

/// Changes the style at equal intervals of running time over `seconds`, and the label with it.
fn glide(pipeline: &gst::Pipeline, styles: &[String], seconds: u64) -> Result<()> {
    let stylize = pipeline.by_name("s").context("stylize")?;
    let label = pipeline.by_name("label").context("the label")?;
    let pad = stylize.static_pad("sink").context("a pad")?;
    let turn = gst::ClockTime::from_seconds(seconds) / styles.len() as u64;
    let styles = styles.to_vec();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        if let Some(time) = running_time(pad, pts) {
            let index = (time.nseconds() / turn.nseconds().max(1)) as usize;
            let style = &styles[index.min(styles.len() - 1)];
            stylize.set_property("style", style);
            label.set_property("text", style);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Plays a description to its end.
fn play(line: &str, prepare: impl FnOnce(&gst::Pipeline) -> Result<()>) -> Result<()> {
    let pipeline = pipeline(line)?;
    prepare(&pipeline)?;
    let ended = to_end(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    ended
}
