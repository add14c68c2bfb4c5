// SPDX-License-Identifier: MPL-2.0
//! Live streams: how old a picture is when somebody sees it, and how many streams a machine carries.
//!
//! ```sh
//! cargo bench -p stylize-cli --bench live -- glass --only WebRTC
//! ```
//!
//! Servers and players are real ones, on loopback, and all of them run on the machine that is measured, as
//! does the source. docs/live.md has the tables.

#[path = "live/camera.rs"]
mod camera;
#[path = "../tests/live_server/chromium.rs"]
#[allow(dead_code)] // The tests use more of it.
mod chromium;
#[path = "live/click.rs"]
mod click;
#[path = "live/client.rs"]
mod client;
#[path = "live/code.rs"]
mod code;
#[path = "live/film.rs"]
mod film;
#[path = "live/glass.rs"]
mod glass;
#[path = "../tests/restream/janus.rs"]
mod janus;
#[path = "../src/live/key_frames.rs"]
#[allow(dead_code)] // The server uses more of it.
mod key_frames;
#[path = "live/log.rs"]
mod log;
#[path = "../src/live/meter.rs"]
#[allow(dead_code)] // The server uses more of it.
mod meter;
#[path = "../tests/restream/peers.rs"]
#[allow(dead_code)] // The tests use more of it.
mod peers;
#[path = "../tests/rtsp_server/server.rs"]
#[allow(dead_code)] // The tests use more of it.
mod rtsp;
#[path = "../tests/live_server/server.rs"]
#[allow(dead_code)] // The tests use more of it.
mod server;
/// What the server's files name.
mod shared {
    pub use stylize_cli::shared::time;
}
#[path = "live/streams.rs"]
mod streams;
#[path = "live/table.rs"]
mod table;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use gst::prelude::*;

/// Measure live streams on this machine.
#[derive(Parser)]
struct Args {
    /// What to measure (default: all)
    #[arg(value_parser = ["glass", "click", "single", "streams"])]
    parts: Vec<String>,
    /// How long each measurement takes (default: 20, for `single` 60)
    #[arg(long)]
    seconds: Option<u64>,
    /// How long a path runs before it is measured: sizes are found, buffers fill
    #[arg(long, default_value_t = 10)]
    settle: u64,
    /// Height of the picture for `glass` and `click`; a smaller one is quicker to try
    #[arg(long, default_value_t = 720)]
    height: u32,
    /// Of `glass` and `streams`, only rows whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// For Low-Latency HLS: the file `dist/hls.min.js` of the package that `npm pack hls.js` fetches
    #[arg(long)]
    hls_js: Option<PathBuf>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let log = log::Log::start();
    let args = Args::parse();
    gst::init().expect("GStreamer");
    gststylize::plugin_register_static().expect("the element");
    conventions();
    let wanted = |part: &str| args.parts.is_empty() || args.parts.iter().any(|word| word == part);
    let settle = Duration::from_secs(args.settle);
    let seconds = |default| Duration::from_secs(args.seconds.unwrap_or(default));
    let glass = (wanted("glass") || wanted("click"))
        .then(|| glass::Glass::new(log, args.height, args.hls_js, settle, seconds(20)));
    if let Some(glass) = &glass {
        if wanted("glass") {
            println!(
                "\nFrom a frame's coming into being until it is decoded, {} lines at 30 frames a second:\n",
                args.height
            );
            glass.run(&args.only);
        }
        if wanted("click") {
            click::run(glass);
        }
    }
    if wanted("single") {
        streams::single(settle, seconds(60));
    }
    if wanted("streams") {
        streams::many(settle, seconds(20), &args.only);
    }
}

/// The machine, and what `auto` is on it.
fn conventions() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let name = cpus.lines().find(|line| line.starts_with("model name"));
    let name = name.and_then(|line| line.split_once(": "));
    let load = read("/proc/loadavg");
    let stylize = gst::ElementFactory::make("stylize")
        .build()
        .expect("stylize");
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    println!(
        "{cores} cores of {}, load {} before; {}; {} styles",
        name.map_or("an unknown CPU", |(_, name)| name),
        load.split(' ').next().unwrap_or("unknown"),
        gst::version_string(),
        stylize.property::<Vec<String>>("styles").len(),
    );
}
