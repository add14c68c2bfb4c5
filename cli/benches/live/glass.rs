// SPDX-License-Identifier: MPL-2.0
//! Glass to glass: from a frame's coming into being until somebody who looks has it decoded.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use serde_json::json;

use super::camera::Camera;
use super::chromium::{Browser, Page};
use super::client::{self, DECODE, Eyes, Player, Viewer, Watch};
use super::film::{Film, sink};
use super::janus::Janus;
use super::log::Log;
use super::meter::Meter;
use super::peers::{Nginx, Relay, Restream, wait_for};
use super::rtsp;
use super::server::Server;
use super::table::{Table, share};

/// Frames a second.
const RATE: u32 = 30;
/// What a player by HTTP needs: segments have to be written first.
const SEGMENTS: usize = 3;

pub struct Glass {
    film: Arc<Film>,
    height: u32,
    log: Log,
    /// The player of [`LOW_LATENCY_HLS`].
    hls_js: Option<PathBuf>,
    pub settle: Duration,
    pub time: Duration,
}

/// A way from the source to whoever looks: its name in the table, and what measures it.
type Path = (&'static str, fn(&Glass) -> Seen);

/// What was seen, at how many lines it was painted, and what the time went to.
type Seen = (Watch, Option<u32>, String);

/// What a server has its pictures from.
type Source = (Camera, Option<Nginx>, Option<Relay>);

/// Those without painting tell what the others' way in and out takes.
const PATHS: [Path; 15] = [
    ("one pipeline", plain),
    ("RTMP, without painting", |glass| glass.bare_rtmp()),
    ("SRT, without painting", |glass| glass.bare_srt("")),
    ("SRT latency=20, without painting", |glass| {
        glass.bare_srt(FAST_SRT)
    }),
    ("RTMP to stylize live to WebRTC", |glass| {
        glass.webrtc(Way::Rtmp)
    }),
    ("SRT to stylize live to WebRTC", |glass| {
        glass.webrtc(Way::Srt)
    }),
    ("RTMP to stylize live to MJPEG", |glass| {
        glass.mjpeg(Way::Rtmp)
    }),
    ("SRT to stylize live to MJPEG", |glass| {
        glass.mjpeg(Way::Srt)
    }),
    ("RTMP to stylize rtsp to RTSP", |glass| glass.rtsp()),
    ("RTMP to restream to RTMP", |glass| glass.restream_rtmp()),
    ("SRT to restream to SRT", |glass| glass.restream_srt("")),
    ("SRT to restream to SRT, all latency=20", |glass| {
        glass.restream_srt(FAST_SRT)
    }),
    ("RTMP to restream to Janus", |glass| glass.janus()),
    ("RTMP to restream to HLS", |glass| glass.hls()),
    (LOW_LATENCY_HLS, |glass| glass.low_latency_hls()),
];

/// The one whose player is not part of a browser.
const LOW_LATENCY_HLS: &str = "RTMP to stylize live to Low-Latency HLS, hls.js";

/// For addresses: the buffer against lost packets, ms, where nothing is lost.
const FAST_SRT: &str = "&latency=20";

#[derive(Clone, Copy)]
pub enum Way {
    Rtmp,
    Srt,
}

impl Glass {
    pub fn new(
        log: Log,
        height: u32,
        hls_js: Option<PathBuf>,
        settle: Duration,
        time: Duration,
    ) -> Self {
        Self {
            film: Arc::new(Film::new(height * 16 / 9, height, RATE)),
            height,
            log,
            hls_js,
            settle,
            time,
        }
    }

    /// Measures the paths whose names contain this.
    pub fn run(&self, only: &str) {
        let table = Table::new(&[
            "path",
            "median, ms",
            "95 %, ms",
            "frames a second",
            "unread",
            "lines",
            "of which",
        ]);
        for (name, measure) in PATHS.iter().filter(|(name, _)| name.contains(only)) {
            if *name == LOW_LATENCY_HLS && self.hls_js.is_none() {
                eprintln!("{name}: not measured without --hls-js");
                continue;
            }
            let (watch, lines, parts) = measure(self);
            self.log.clear();
            let delays = watch.milliseconds();
            let rate = watch.delays.len() as f64 / watch.time.as_secs_f64();
            table.row(&[
                (*name).into(),
                format!("{:.0}", share(&delays, 50)),
                format!("{:.0}", share(&delays, 95)),
                format!("{rate:.1}"),
                watch.unread.to_string(),
                lines.map_or("–".into(), |lines| lines.to_string()),
                parts,
            ]);
        }
    }

    fn look(&self, viewer: &mut impl Viewer) -> Watch {
        viewer.watch(self.settle, self.time)
    }

    /// Lines of the program that runs.
    pub fn lines(&self) -> Option<u32> {
        Some(self.log.lines().unwrap_or(self.height))
    }

    fn bare_rtmp(&self) -> Seen {
        let nginx = Nginx::start();
        let _camera = Camera::rtmp(&self.film, &nginx.rtmp("in"));
        let mut player = Player::start(&from_rtmp(&nginx.rtmp("in")));
        (self.look(&mut player), None, String::new())
    }

    fn bare_srt(&self, more: &str) -> Seen {
        let relay = Relay::with(more);
        let _camera = Camera::srt(&self.film, &(relay.write() + more));
        let mut player = Player::start(&from_srt(&(relay.read() + more)));
        (self.look(&mut player), None, String::new())
    }

    /// The server with a source that is there already, and what keeps that alive.
    pub fn live_server(&self, way: Way) -> (Source, Server) {
        let (address, source) = match way {
            Way::Rtmp => {
                let nginx = Nginx::start();
                let camera = Camera::rtmp(&self.film, &nginx.rtmp("in"));
                (nginx.rtmp("in"), (camera, Some(nginx), None))
            }
            Way::Srt => {
                let relay = Relay::with(FAST_SRT);
                let camera = Camera::srt(&self.film, &(relay.write() + FAST_SRT));
                (relay.read() + FAST_SRT, (camera, None, Some(relay)))
            }
        };
        let server = Server::with(&[
            "--listen=127.0.0.1:0",
            "--source",
            &address,
            &format!("--width={}", self.film.info.width()),
            &format!("--height={}", self.height),
            &format!("--framerate={RATE}"),
            "--quality=lite",
        ]);
        server.wait_for("the source", |stats| stats["source"]["state"] == "playing");
        (source, server)
    }

    /// What the server says of the time a frame spends in it; then the rest.
    fn server_parts(server: &Server, watch: &Watch, browser: Option<f64>) -> String {
        let stats = server.stats();
        let median = |name: &str| {
            stats["latency_ms"][name]["median"]
                .as_f64()
                .expect("a number")
        };
        let delays = watch.milliseconds();
        let (total, painted, encoded) = (share(&delays, 50), median("painted"), median("encoded"));
        match browser {
            Some(browser) => format!(
                "way in and network {:.0}, arrival to painted {painted:.0}, encoding {:.0}, jitter buffer and decoding {browser:.0}",
                total - encoded - browser,
                encoded - painted,
            ),
            None => format!(
                "arrival to painted {painted:.0}, way in, JPEG and browser {:.0}",
                total - painted
            ),
        }
    }

    fn webrtc(&self, way: Way) -> Seen {
        let (_source, server) = self.live_server(way);
        let browser = browser();
        let mut page = browser.open(&server.url);
        plays(&mut page);
        client::look(&mut page, "document.getElementById('video')");
        let before = client::browser_sums(&mut page, "connection");
        let watch = self.look(&mut page);
        let after = client::browser_sums(&mut page, "connection");
        let parts = Self::server_parts(&server, &watch, Some(each(before, after)));
        (watch, self.lines(), parts)
    }

    fn mjpeg(&self, way: Way) -> Seen {
        let (_source, server) = self.live_server(way);
        let browser = browser();
        let mut page = browser.open("about:blank");
        page.command("Page.enable", json!({}));
        let without = json!({ "source": "delete window.RTCPeerConnection" });
        page.command("Page.addScriptToEvaluateOnNewDocument", without);
        page.command("Page.navigate", json!({ "url": server.url }));
        page.wait_for("document.getElementById('fallback')?.naturalWidth > 0");
        client::look(&mut page, "document.getElementById('fallback')");
        let watch = self.look(&mut page);
        let parts = Self::server_parts(&server, &watch, None);
        (watch, self.lines(), parts)
    }

    fn low_latency_hls(&self) -> Seen {
        let player = self.hls_js.as_ref().expect("a player");
        let player = std::fs::read_to_string(player).expect("the file of --hls-js");
        let (_source, server) = self.live_server(Way::Rtmp);
        let browser = browser();
        // Any page of the server: it answers its own pages only.
        let mut page = browser.open(&format!("{}/api/styles", server.url));
        page.wait_for("location.pathname === '/api/styles' && document.readyState === 'complete'");
        page.run(&format!("{player}\n0"));
        page.run(
            "(() => {
                const video = window.video = document.createElement('video');
                video.muted = video.autoplay = true;
                document.body.append(video);
                const hls = window.hls = new Hls({ lowLatencyMode: true });
                hls.loadSource('/live.m3u8');
                hls.attachMedia(video);
                return 0;
            })()",
        );
        page.wait_for("video.currentTime > 0.5");
        client::look(&mut page, "video");
        let watch = self.look(&mut page);
        let behind = page.run("hls.latency").as_f64().expect("seconds");
        let parts = format!("behind the playlist's end {:.0}", 1000.0 * behind);
        (watch, self.lines(), parts)
    }

    fn rtsp(&self) -> Seen {
        let nginx = Nginx::start();
        let _camera = Camera::rtmp(&self.film, &nginx.rtmp("in"));
        let height = self.height.to_string();
        let arguments = ["--source", &nginx.rtmp("in"), "--height", &height];
        let server = rtsp::Server::new(&arguments);
        let mut player = Player::start(&format!(
            "rtspsrc location={}/live protocols=tcp latency=0 name=r \
             r. ! application/x-rtp,media=video ! rtph264depay ! {DECODE}",
            server.base
        ));
        (self.look(&mut player), self.lines(), String::new())
    }

    fn restream_rtmp(&self) -> Seen {
        let nginx = Nginx::start();
        let _camera = Camera::rtmp(&self.film, &nginx.rtmp("in"));
        let _restream = restream(&nginx.rtmp("in"), &nginx.rtmp("out"));
        let mut player = Player::start(&from_rtmp(&nginx.rtmp("out")));
        (self.look(&mut player), self.lines(), String::new())
    }

    fn restream_srt(&self, more: &str) -> Seen {
        let (before, after) = (Relay::with(more), Relay::with(more));
        let _camera = Camera::srt(&self.film, &(before.write() + more));
        let _restream = restream(&(before.read() + more), &(after.write() + more));
        let mut player = Player::start(&from_srt(&(after.read() + more)));
        (self.look(&mut player), self.lines(), String::new())
    }

    fn janus(&self) -> Seen {
        let (nginx, janus) = (Nginx::start(), Janus::start());
        let _camera = Camera::rtmp(&self.film, &nginx.rtmp("in"));
        let _restream = restream(&nginx.rtmp("in"), &janus.rtp());
        let browser = browser();
        let mut page = browser.open("about:blank");
        janus.watch(|offer| client::answer(&mut page, offer));
        page.wait_for("video.videoWidth > 0");
        client::look(&mut page, "video");
        let before = client::browser_sums(&mut page, "connection");
        let watch = self.look(&mut page);
        let time = each(before, client::browser_sums(&mut page, "connection"));
        let parts = format!("jitter buffer and decoding {time:.0}");
        (watch, self.lines(), parts)
    }

    fn hls(&self) -> Seen {
        let nginx = Nginx::start();
        let _camera = Camera::rtmp(&self.film, &nginx.rtmp("in"));
        let playlist = nginx.folder.path().join("live.m3u8");
        let _restream = restream(&nginx.rtmp("in"), playlist.to_str().expect("UTF-8"));
        wait_for("a playlist of three segments", || {
            let text = std::fs::read_to_string(&playlist).unwrap_or_default();
            text.matches("#EXTINF").count() >= SEGMENTS
        });
        let address = nginx.http("live.m3u8");
        let line = format!("souphttpsrc location={address} ! hlsdemux ! tsdemux ! {DECODE}");
        let mut player = Player::timed(&line, true);
        (self.look(&mut player), self.lines(), String::new())
    }
}

fn from_rtmp(uri: &str) -> String {
    format!(
        "rtmp2src location={uri} ! flvdemux name=d d.audio ! fakesink async=false sync=false d.video ! {DECODE}"
    )
}

fn from_srt(uri: &str) -> String {
    format!("srtsrc uri=\"{uri}\" ! tsdemux ! {DECODE}")
}

/// In one second's key frames, as docs/live.md has it for Janus and HLS.
fn restream(from: &str, to: &str) -> Restream {
    let restream = Restream::with(&[from, to, "--key-interval=1", "quality=lite"]);
    println!("  {}", restream.on_air());
    restream
}

pub fn browser() -> Browser {
    Browser::start().expect("a browser: install it with `apt install chromium`")
}

/// Until the server's page plays.
pub fn plays(page: &mut Page) {
    page.wait_for("document.getElementById('video')?.currentTime > 0.5");
}

/// Milliseconds a frame, from sums of seconds and counts.
fn each(before: [f64; 3], after: [f64; 3]) -> f64 {
    let [buffer, decoding, frames] = [0, 1, 2].map(|i| after[i] - before[i]);
    1000.0 * (buffer + decoding) / frames.max(1.0)
}

/// Everything in one pipeline: what the element and H.264 take at least.
fn plain(glass: &Glass) -> Seen {
    let mut camera = Camera::new(
        &glass.film,
        &format!(
            "queue max-size-buffers=1 leaky=downstream \
             ! stylize name=stylize quality=lite adapt=resolution ! queue max-size-buffers=2 \
             ! x264enc name=encoder tune=zerolatency speed-preset=ultrafast bitrate=6000 key-int-max=300 \
             ! video/x-h264,profile=constrained-baseline ! queue ! {DECODE} \
             ! video/x-raw,format=I420 ! appsink name=shown async=false sync=false"
        ),
    );
    let mut eyes = Eyes::default();
    eyes.watch(&sink(&camera.pipeline, "shown"));
    let part = |name: &str| camera.pipeline.by_name(name).expect("an element");
    let (stylize, encoder) = (part("stylize"), part("encoder"));
    let places = [(&stylize, "sink"), (&stylize, "src"), (&encoder, "src")];
    let meters = places.map(|(element, pad)| {
        let meter = Meter::default();
        meter.watch(&element.static_pad(pad).expect("a pad"));
        meter
    });
    camera.play();
    let watch = glass.look(&mut eyes);
    let [begun, painted, encoded] = meters.map(|meter| meter.read().age_ms.median);
    let delays = watch.milliseconds();
    let stats = stylize.property::<gst::Structure>("stats");
    let parts = format!(
        "waiting {begun:.0}, painting {:.0}, encoding {:.0}, decoding {:.0}",
        painted - begun,
        encoded - painted,
        share(&delays, 50) - encoded,
    );
    let lines = stats.get("inference-height").expect("lines");
    (watch, Some(lines), parts)
}
