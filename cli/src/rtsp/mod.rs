// SPDX-License-Identifier: MPL-2.0
//! Paintings over RTSP: one mount for each style, and one that takes the style as a query.
//!
//! ```sh
//! stylize rtsp --source film.mp4
//! ffplay rtsp://127.0.0.1:8554/great-wave
//! ffplay 'rtsp://127.0.0.1:8554/live?style=great-wave:0.6,scream:0.4'
//! ```
//!
//! Clients of one address share one pipeline, so the generator runs once for all of them, and all
//! pipelines share one session of the generator.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use gst::glib;
use gst::prelude::*;
use gst_rtsp_server::prelude::*;

use crate::shared::live;

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
    #[arg(long, default_value_t = 2500)]
    bitrate: u32,
    /// Which built-in generator: auto, lite, full
    #[arg(long, default_value = "auto")]
    quality: String,
    /// Allow addresses that others can reach
    #[arg(long)]
    open: bool,
}

/// What the pipelines are made of.
#[derive(Default, Clone)]
struct Channel {
    /// A launch description that ends in raw video, and one that ends in raw sound, if there is any.
    video: String,
    sound: Option<String>,
    /// Pictures come from afar, and are as new as they can be when they are here.
    live: bool,
    quality: String,
    bitrate: u32,
    styles: Vec<String>,
}

impl Channel {
    fn new(args: &Args, styles: Vec<String>) -> Result<Self> {
        let height = args.height;
        let scale = format!(
            "videoconvert ! videoscale ! video/x-raw,height={height},pixel-aspect-ratio=1/1"
        );
        let (video, sound, live) = match args.source.as_str() {
            "test" => (
                format!(
                    "videotestsrc is-live=true pattern=ball ! \
                     video/x-raw,width={},height={height},framerate=25/1",
                    height * 16 / 9 / 2 * 2
                ),
                Some("audiotestsrc is-live=true wave=ticks".into()),
                false,
            ),
            source => {
                let uri = uri(source)?;
                let discoverer = gst_pbutils::Discoverer::new(gst::ClockTime::from_seconds(20))?;
                let info = discoverer
                    .discover_uri(&uri)
                    .with_context(|| format!("{source} cannot be played"))?;
                if info.video_streams().is_empty() {
                    bail!("{source} has no video");
                }
                let sound = !info.audio_streams().is_empty();
                let live = live::is_live(&uri);
                let source = format!("uridecodebin uri=\"{uri}\" name=d");
                // A newer picture takes the place of one that waits, as nothing can hold the source back.
                let queue = match live {
                    true => "queue max-size-buffers=1 leaky=downstream",
                    false => "queue",
                };
                (
                    format!("{source} d. ! {queue} ! {scale}"),
                    sound.then(|| "d. ! queue ! audioconvert ! audioresample".into()),
                    live,
                )
            }
        };
        Ok(Self {
            video,
            sound,
            live,
            quality: args.quality.clone(),
            bitrate: args.bitrate,
            styles,
        })
    }

    /// The description of a pipeline that paints in this style.
    fn line(&self, style: &str) -> String {
        let Self {
            video,
            quality,
            bitrate,
            ..
        } = self;
        let sound = self.sound.as_ref().map(|sound| {
            format!(" {sound} ! audioconvert ! avenc_aac ! aacparse ! rtpmp4apay name=pay1 pt=97")
        });
        format!(
            "( {video} ! videoconvert ! stylize adapt=resolution quality={quality} style=\"{style}\" \
             ! videoconvert ! video/x-raw,format=I420 ! queue max-size-buffers=2 \
             ! x264enc tune=zerolatency speed-preset=veryfast bitrate={bitrate} key-int-max=50 \
             ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1{} )",
            sound.unwrap_or_default()
        )
    }

    /// The style that an address asks for; `None` if there is no such style.
    fn style(&self, address: &str) -> Option<String> {
        let address = url::Url::parse(address).ok()?;
        let asked = address.query_pairs().find(|(name, _)| name == "style");
        let style = match asked {
            Some((_, style)) => style.to_string(),
            None => address.path_segments()?.next_back()?.to_string(),
        };
        let style = match style.as_str() {
            "" | "live" => self.styles.first()?.clone(),
            _ => style,
        };
        // As the element reads a mix: a part is a style, maybe with a weight behind a colon.
        let known = |part: &str| {
            let name = part.rsplit_once(':').map_or(part, |(name, _)| name);
            self.styles.iter().any(|style| style == name.trim())
        };
        style.split(',').all(known).then_some(style)
    }
}

mod imp {
    use std::io::Write;
    use std::sync::{Mutex, OnceLock};

    use gst::glib;
    use gst::prelude::*;
    use gst_rtsp_server::prelude::*;
    use gst_rtsp_server::subclass::prelude::*;

    use super::{Channel, at_once, live};

    /// Makes a pipeline for the style in a client's address.
    #[derive(Default)]
    pub struct Factory {
        pub(super) channel: OnceLock<Channel>,
        pub(super) medias: Mutex<Vec<glib::WeakRef<gst_rtsp_server::RTSPMedia>>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Factory {
        const NAME: &'static str = "StylizeRtspFactory";
        type Type = super::Factory;
        type ParentType = gst_rtsp_server::RTSPMediaFactory;
    }

    impl ObjectImpl for Factory {}

    impl RTSPMediaFactoryImpl for Factory {
        fn construct(&self, url: &gst_rtsp::RTSPUrl) -> Option<gst_rtsp_server::RTSPMedia> {
            let uri = url.request_uri();
            let known = self.channel.get()?.style(&uri).is_some();
            if !known {
                // The client is refused; who runs the server sees why.
                let _ = writeln!(std::io::stderr(), "{uri}: there is no such style");
                return None;
            }
            self.parent_construct(url)
        }

        fn create_element(&self, url: &gst_rtsp::RTSPUrl) -> Option<gst::Element> {
            let channel = self.channel.get()?;
            let uri = url.request_uri();
            let style = channel.style(&uri)?;
            let element = gst::parse::launch(&channel.line(&style))
                .inspect_err(|err| drop(writeln!(std::io::stderr(), "{uri}: {err}")))
                .ok()?;
            if let Some(bin) = element.downcast_ref().filter(|_| channel.live) {
                live::hasten(bin);
            }
            Some(element)
        }

        fn configure(&self, media: &gst_rtsp_server::RTSPMedia) {
            self.parent_configure(media);
            if let Ok(mut medias) = self.medias.lock() {
                medias.retain(|media| media.upgrade().is_some());
                medias.push(media.downgrade());
            }
            let live = self.channel.get().is_some_and(|channel| channel.live);
            let pipeline = media.element().parent().and_downcast::<gst::Bin>();
            if let Some(pipeline) = pipeline.filter(|_| live) {
                pipeline.connect_deep_element_added(|_, _, element| {
                    if element.is::<gst_base::BaseSink>() {
                        at_once(element);
                        // The server sets it with each PLAY.
                        element.connect_notify(Some("sync"), |element, _| at_once(element));
                    }
                });
            }
        }
    }
}

/// Makes a sink send what it has. Else all would be as late as the first picture was, which had to wait for
/// its client.
fn at_once(sink: &gst::Element) {
    if sink.property("sync") {
        sink.set_property("sync", false);
    }
}

glib::wrapper! {
    /// A media factory for all styles.
    pub struct Factory(ObjectSubclass<imp::Factory>)
        @extends gst_rtsp_server::RTSPMediaFactory;
}

impl Factory {
    fn new(channel: Channel) -> Self {
        let factory: Self = glib::Object::new();
        // Fails only if it was set before.
        let _ = imp::Factory::from_obj(&factory).channel.set(channel);
        factory.set_shared(true);
        factory
    }

    /// Asks for one now: who comes to a pipeline that plays already has seen nothing of it.
    fn key_frame(&self) {
        let medias = imp::Factory::from_obj(self).medias.lock();
        let medias = medias.map_or(Vec::new(), |medias| medias.clone());
        for media in medias.iter().filter_map(glib::WeakRef::upgrade) {
            if let Some(pad) = media.stream(0).and_then(|stream| stream.srcpad()) {
                let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true);
                // False where nothing is encoded yet.
                pad.send_event(event.build());
            }
        }
    }
}

use gst::subclass::prelude::ObjectSubclassExt;

/// A file or a URI as a URI.
fn uri(source: &str) -> Result<String> {
    if source.contains("://") {
        return Ok(source.into());
    }
    let path = Path::new(source)
        .canonicalize()
        .with_context(|| format!("{source} cannot be opened"))?;
    Ok(glib::filename_to_uri(path, None)?.into())
}

/// Runs the command; see the module.
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
    let factory = Factory::new(channel);
    mounts.add_factory("/live", factory.clone());
    for style in &styles {
        mounts.add_factory(&format!("/{style}"), factory.clone());
    }
    server.connect_client_connected(move |_, client| {
        let factory = factory.clone();
        client.connect_play_request(move |_, _| factory.key_frame());
    });
    let id = server.attach(None);
    let id = id.map_err(|_| anyhow!("port {} cannot be listened at; is it taken?", args.port))?;
    // Sessions of clients that vanished are not kept for ever.
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
    // Whoever started it may have closed the output; the server goes on.
    let _ = std::io::stdout().write_all(addresses.as_bytes());
    let main_loop = glib::MainLoop::new(None, false);
    let ended = main_loop.clone();
    ctrlc::set_handler(move || ended.quit())?;
    main_loop.run();
    id.remove();
    Ok(())
}
