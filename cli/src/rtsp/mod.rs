// SPDX-License-Identifier: MPL-2.0
//! The command `rtsp`: an RTSP server with a mount point for each style, and one that takes the style from the query.
//!
//! ```sh
//! stylize rtsp --source film.mp4
//! ffplay rtsp://127.0.0.1:8554/great-wave
//! ffplay 'rtsp://127.0.0.1:8554/live?style=great-wave:0.6,scream:0.4'
//! ```
//!
//! Clients of the same URL share a pipeline, so the generator runs once for all of them, and all pipelines share one
//! session of the generator.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use gst::glib;
use gst::prelude::*;
use gst_rtsp_server::prelude::*;

mod channel;
mod factory;

use channel::Channel;
use factory::Factory;

/// Largest body of a request, bytes; clients send a few lines.
const LARGEST_BODY: u32 = 16 * 1024;
/// Seconds after which a connection without a session is closed.
const IDLE: u32 = 15;

/// Serve stylized video over RTSP.
#[derive(clap::Args)]
pub struct Args {
    /// Address to listen at; others than this machine's own need --open
    #[arg(long, default_value = "127.0.0.1")]
    address: std::net::IpAddr,
    /// Port; 0 takes a free one
    #[arg(long, default_value_t = 8554)]
    port: u16,
    /// `test`, a file, or a URI
    #[arg(long, default_value = "test")]
    source: String,
    /// Height of the video
    #[arg(long, default_value_t = 360, value_parser = clap::value_parser!(u32).range(16..=4320))]
    height: u32,
    /// Bitrate of each stream, kbit/s
    #[arg(long, default_value_t = 2500, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    bitrate: u32,
    /// Which built-in generator
    #[arg(long, default_value = "auto", value_parser = crate::shared::element::QUALITIES)]
    quality: String,
    /// Most styles and mixes painted at once; clients of the same one share its pipeline
    #[arg(long, default_value_t = 8)]
    max_streams: usize,
    /// Most clients at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_clients: u32,
    /// Allow addresses that others can reach
    #[arg(long)]
    open: bool,
}

/// Closes the connection if it has no session after [`IDLE`] seconds. A playing client has one, and the server ends
/// sessions that time out.
fn close_idle(client: &gst_rtsp_server::RTSPClient) {
    let weak = client.downgrade();
    glib::timeout_add_seconds(IDLE, move || {
        let Some(client) = weak.upgrade() else {
            return glib::ControlFlow::Break;
        };
        if client.session_filter(None).is_empty() {
            client.close();
            return glib::ControlFlow::Break;
        }
        glib::ControlFlow::Continue
    });
}

/// Runs the command; see the module.
///
/// # Errors
/// If the address is public without `--open`, the source cannot be played, or the port is taken.
pub fn run(args: &Args) -> Result<()> {
    if !args.address.is_loopback() && !args.open {
        bail!(
            "{} can be reached by others; say --open if that is meant",
            args.address
        );
    }
    crate::init()?;
    let stylize = gst::ElementFactory::make("stylize").build()?;
    let styles = stylize.property::<Vec<String>>("styles");
    let channel = Channel::new(args, styles.clone())?;

    let server = gst_rtsp_server::RTSPServer::new();
    server.set_address(&args.address.to_string());
    server.set_service(&args.port.to_string());
    let mounts = server.mount_points().context("no mount points")?;
    let factory = Factory::new(channel, args.max_streams);
    mounts.add_factory("/live", factory.clone());
    for style in &styles {
        mounts.add_factory(&format!("/{style}"), factory.clone());
    }
    server.set_content_length_limit(LARGEST_BODY);
    if let Some(pool) = server.session_pool() {
        pool.set_max_sessions(args.max_clients);
    }
    let most = args.max_clients;
    let clients = Arc::new(AtomicU32::new(0));
    server.connect_client_connected(move |_, client| {
        let there = clients.fetch_add(1, Ordering::SeqCst);
        let gone = clients.clone();
        client.connect_closed(move |_| {
            gone.fetch_sub(1, Ordering::SeqCst);
        });
        if there >= most {
            // Later, because the server begins to manage the client only after this signal.
            let client = client.clone();
            glib::idle_add_once(move || client.close());
            return;
        }
        close_idle(client);
        let factory = factory.clone();
        client.connect_play_request(move |_, _| factory.key_frame());
    });
    let id = server.attach(None);
    let id = id.map_err(|_| anyhow!("port {} cannot be listened at; is it taken?", args.port))?;
    // Removes sessions that have timed out.
    let sweeper = server.clone();
    glib::timeout_add_seconds(10, move || {
        if let Some(pool) = sweeper.session_pool() {
            pool.cleanup();
        }
        glib::ControlFlow::Continue
    });
    let base = format!("rtsp://{}:{}", args.address, server.bound_port());
    let first = styles.first().map_or("", String::as_str);
    let mut addresses = format!("{base}/live?style={first}\n");
    addresses.extend(styles.iter().map(|style| format!("{base}/{style}\n")));
    // Fails if standard output is closed, which must not end the server.
    let _ = std::io::stdout().write_all(addresses.as_bytes());
    let main_loop = glib::MainLoop::new(None, false);
    let ended = main_loop.clone();
    ctrlc::set_handler(move || ended.quit())?;
    main_loop.run();
    id.remove();
    Ok(())
}
