// SPDX-License-Identifier: MPL-2.0
//! The program `stylize`: everything but its `main`.
//!
//! Each command has a module with its arguments (`Args`, parsed by clap) and `run`, which returns an error as one
//! sentence. Commands do not import each other; code for several of them is in [`shared`], which parses no arguments
//! and prints nothing. [`command`] is the command line: the list of commands, and nothing else. The program links the
//! plugin and registers it itself, so it works without `GST_PLUGIN_PATH`, and always with the element of its own
//! version.

pub mod bench;
pub mod command;
pub mod doctor;
pub mod info;
pub mod install;
#[cfg(feature = "live")]
pub mod live;
pub mod paint;
pub mod restream;
#[cfg(feature = "rtsp")]
pub mod rtsp;
pub mod shared;
pub mod styles;

/// Initializes GStreamer and registers the element.
///
/// # Errors
/// If GStreamer cannot be initialized, or an element cannot be registered.
pub fn init() -> anyhow::Result<()> {
    gst::init()?;
    if let Some(folder) = shared::place::plugins() {
        gststylize::engine::runtime::set_plugin_dir(&folder);
    }
    gststylize::plugin_register_static()?;
    shared::animation::register()?;
    paint::hdr::register()?;
    paint::alpha::register()?;
    // `openjpegdec` 1.22 fails on JPEG 2000 in QuickTime, whose YCbCr it takes for RGB, and crashes the program when it
    // is stopped after that.
    prefer("avdec_jpeg2000", "openjpegdec");
    decode_jpeg_with_ffmpeg();
    Ok(())
}

/// Prefers FFmpeg's JPEG decoder, if it is installed. `jpegdec` 1.22 assumes 4:4:4 from equal sampling factors only if
/// they are 1; FFmpeg writes such files with others, and their colours come out wrong. `avdec_mjpeg` needs whole
/// pictures, which `jpegparse` gives it.
fn decode_jpeg_with_ffmpeg() {
    use gst::prelude::*;
    if gst::ElementFactory::find("avdec_mjpeg").is_some()
        && let Some(parser) = gst::ElementFactory::find("jpegparse")
    {
        parser.set_rank(gst::Rank::PRIMARY + 1);
        prefer("avdec_mjpeg", "jpegdec");
    }
}

/// Sets the rank of the decoder `worse` to none if `better` is installed, so that `decodebin` does not choose it.
fn prefer(better: &str, worse: &str) {
    if gst::ElementFactory::find(better).is_some()
        && let Some(worse) = gst::ElementFactory::find(worse)
    {
        use gst::prelude::*;
        worse.set_rank(gst::Rank::NONE);
    }
}
