// SPDX-License-Identifier: MPL-2.0
//! The command `live`: stylizes a live picture and serves it to browsers, by a page with the gallery, WebRTC, HLS,
//! MJPEG and a JSON API.
//!
//! ```sh
//! stylize live --source film.mp4
//! ```
//!
//! Three kinds of pipelines, so that a failure of one does not affect the others: the *source*, which may fail and is
//! restarted; the *output*, which always runs, and stylizes and encodes once; and one for each *viewer*, from the
//! encoder's frames to that browser. docs/live.md has the rest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{Semaphore, watch};

mod api;
mod controls;
mod error;
mod events;
mod feed;
mod guard;
mod hls;
mod hls_api;
mod hls_mux;
mod hls_window;
mod key_frames;

mod meter;
mod mjpeg;
mod offer;
mod output;
mod seats;
mod serve;
mod sound;
mod source;
mod tiles;
mod track;
mod viewers;

use guard::Guard;
use hls::Hls;
use mjpeg::Mjpeg;
use output::Output;
use source::Source;
use tiles::Tiles;
use viewers::Viewers;

use crate::shared::address::Input;

/// Paint a live picture and serve it to browsers.
#[derive(clap::Args, Clone)]
pub struct Args {
    /// Address and port to listen on; beyond this machine, a token is required
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// test, v4l2, v4l2:/dev/video1, a file (repeated), or a URI: rtmp:// rtsp:// http:// …
    #[arg(long, default_value = "test")]
    source: String,
    /// Secret of the API (default: none on this machine, else a random one)
    #[arg(long)]
    token: Option<String>,
    /// Width of the picture, pixels, even
    #[arg(long, default_value_t = 1280, value_parser = clap::value_parser!(u32).range(16..=8192))]
    width: u32,
    /// Height of the picture, pixels, even
    #[arg(long, default_value_t = 720, value_parser = clap::value_parser!(u32).range(16..=8192))]
    height: u32,
    /// Frames a second
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=120))]
    framerate: u32,
    /// Bitrate for each viewer, kbit/s
    #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    bitrate: u32,
    /// Most viewers at once; those by MJPEG and HLS count too
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16))]
    max_viewers: u16,
    /// Helps browsers behind a router to find this server: stun://host:port
    #[arg(long)]
    stun_server: Option<String>,
    /// The style to begin with
    #[arg(long)]
    style: Option<String>,
    /// Which built-in generator: auto, quick, lite, full
    #[arg(long, default_value = "auto")]
    quality: String,
    /// auto, cpu, openvino, cuda, tensorrt, webgpu …
    #[arg(long, default_value = "auto")]
    execution_provider: String,
    /// auto, fp32, fp16, bf16, int8
    #[arg(long, default_value = "auto")]
    precision: String,
    /// Threads of a CPU provider (0 = all)
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1024))]
    threads: u32,
}

/// How long the last playlist stays available; players load it about once a second.
const LAST_PLAYLIST: Duration = Duration::from_secs(2);

/// State that the request handlers share.
struct App {
    max_viewers: u16,
    /// A permit for each viewer, whatever the protocol.
    seats: Arc<Semaphore>,
    /// A permit for each client of events.
    listeners: Arc<Semaphore>,
    /// Size in pixels; rate in 1/s; bitrate in kbit/s.
    size: [u32; 2],
    framerate: u32,
    bitrate: u32,
    output: Arc<Output>,
    source: Source,
    viewers: Viewers,
    mjpeg: Mjpeg,
    hls: Hls,
    tiles: Tiles,
    guard: Guard,
    /// Notified after every change, so that events are sent at once.
    changed: watch::Sender<()>,
}

/// Runs the command; see the module.
///
/// # Errors
/// If an argument is wrong, the port is taken, or the output cannot be started or fails.
pub fn run(args: &Args) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(serve(args.clone()))
}

async fn serve(args: Args) -> Result<()> {
    if args.width % 2 == 1 || args.height % 2 == 1 {
        bail!(
            "{}x{} cannot be encoded as H.264: give an even --width and --height",
            args.width,
            args.height
        );
    }
    crate::init()?;
    let input = Input::new(&args.source).context("--source")?;
    let (guard, token) = Guard::new(&args)?;
    // Before a model is loaded, because a port in use is a frequent mistake.
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| {
            format!(
                "cannot listen on {}; give another --listen ADDRESS:PORT",
                args.listen
            )
        })?;
    let address = listener.local_addr()?;

    // A browser opens up to six, most of which are idle.
    let connections = 64 + 4 * usize::from(args.max_viewers);
    let (changed, _) = watch::channel(());
    let (output, mjpeg, failed) = output::start(&args)?;
    let source = source::start(input, &args, output.clone(), changed.clone())?;
    let tiles = tiles::start(&args, output.clone(), changed.clone())?;
    let app = Arc::new(App {
        max_viewers: args.max_viewers,
        seats: Arc::new(Semaphore::new(args.max_viewers.into())),
        listeners: Arc::new(Semaphore::new(connections)),
        size: [args.width, args.height],
        framerate: args.framerate,
        bitrate: args.bitrate,
        hls: Hls::new(args.framerate),
        viewers: Viewers::new(args.stun_server.clone()),
        output,
        source,
        mjpeg,
        tiles,
        guard,
        changed,
    });

    println!("listening on http://{address}/");
    if let Some(token) = token {
        // In the fragment, which browsers do not send to servers.
        println!("open http://{address}/#token={token}");
    }
    let sweeper = app.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            sweeper.viewers.sweep();
            sweeper.hls.sweep();
        }
    });
    let (end, mut ends) = watch::channel(false);
    let ended = async move {
        // An error means that the sender is gone, which is the end, too.
        let _ = ends.wait_for(|end| *end).await;
    };
    let router = api::router(app.clone());
    let server = tokio::spawn(serve::serve(listener, router, connections, ended));
    let result = tokio::select! {
        Ok(reason) = failed => Err(anyhow::anyhow!(reason)),
        () = interrupted() => Ok(()),
    };
    app.source.stop();
    if app.hls.finish() {
        // For players that load the playlist once more.
        tokio::select! {
            () = tokio::time::sleep(LAST_PLAYLIST) => (),
            () = interrupted() => (),
        }
    }
    app.viewers.clear();
    end.send_replace(true);
    // Ends within the timeouts of `serve`.
    let _ = server.await;
    app.hls.clear();
    app.output.stop();
    result
}

/// Resolves at SIGINT or SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = tokio::signal::ctrl_c() => (),
        }
        return;
    }
    // An error means that no handler can be installed: then the signal ends the process at once.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
