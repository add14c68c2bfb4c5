// SPDX-License-Identifier: MPL-2.0
//! A pipeline for each browser that watches: the encoders' frames and sound, as RTP, through `webrtcbin`.
//!
//! Being pipelines of their own, they share nothing but frames: one that is slow loses frames up to
//! the next key frame, one that fails is taken away, and neither the encoder nor anybody else notices.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use gst::prelude::*;
use gst_utils::ConsumptionLink;
use gst_webrtc::{
    WebRTCBundlePolicy, WebRTCICEGatheringState, WebRTCPeerConnectionState, WebRTCSDPType,
    WebRTCSessionDescription,
};

use tokio::sync::OwnedSemaphorePermit;

use super::error::ApiError;
use super::guard::random;
use super::offer;
use super::output::Output;
use super::track::Track;

/// A browser sends a report every second or so. One that has not for so long is gone.
const SILENCE: Duration = Duration::from_secs(10);
/// The same while it has still to connect.
const CONNECT: Duration = Duration::from_secs(20);
/// Longest wait for this machine's addresses; without a STUN server they are there at once.
const GATHER: Duration = Duration::from_secs(5);

pub struct Viewers {
    map: Mutex<HashMap<String, Viewer>>,
    stun_server: Option<String>,
}

struct Viewer {
    pipeline: gst::Pipeline,
    signs: Arc<Signs>,
    /// Frames and sound come as long as these are there.
    links: Vec<ConsumptionLink>,
    /// Free again when it is gone.
    _seat: OwnedSemaphorePermit,
}

/// Signs of life.
struct Signs {
    begin: Instant,
    connected: AtomicBool,
    failed: AtomicBool,
    /// Milliseconds from `begin` to the last packet from the browser.
    heard: AtomicU64,
}

impl Signs {
    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn gone(&self) -> bool {
        let silent = self
            .now()
            .saturating_sub(self.heard.load(Ordering::Relaxed));
        let limit = match self.connected.load(Ordering::Relaxed) {
            true => SILENCE,
            false => CONNECT,
        };
        self.failed.load(Ordering::Relaxed) || Duration::from_millis(silent) > limit
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let pipeline = self.pipeline.clone();
        // It joins threads, which takes longer than a request may block.
        std::thread::spawn(move || pipeline.set_state(gst::State::Null));
    }
}

impl Viewers {
    pub fn new(stun_server: Option<String>) -> Self {
        Self {
            map: Mutex::default(),
            stun_server,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Viewer>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Whether there was one of this name.
    pub fn remove(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Takes away those that are gone.
    pub fn sweep(&self) {
        self.lock().retain(|_, viewer| !viewer.signs.gone());
    }

    /// A new viewer's name, which is a secret of its own, and the answer to its offer.
    pub async fn add(
        &self,
        output: &Output,
        offer: &str,
        seat: OwnedSemaphorePermit,
    ) -> Result<(String, String), ApiError> {
        let sdp = offer::parse(offer)?;
        let video = Track::video(output, offer::video(&sdp)?);
        let sound = offer::sound(&sdp).map(|place| Track::sound(output, place));
        let tracks = std::iter::once(video).chain(sound);
        let tracks = tracks
            .collect::<Result<Vec<_>>>()
            .map_err(ApiError::internal)?;
        let id = random().map_err(ApiError::internal)?;
        let (viewer, answer) = self
            .connect(output, sdp, &tracks, seat)
            .await
            .map_err(|err| ApiError::internal(format!("no answer to this offer: {err:#}")))?;
        self.lock().insert(id.clone(), viewer);
        Ok((id, answer))
    }

    async fn connect(
        &self,
        output: &Output,
        sdp: gst_sdp::SDPMessage,
        tracks: &[Track<'_>],
        seat: OwnedSemaphorePermit,
    ) -> Result<(Viewer, String)> {
        let (pipeline, webrtc) = self.build(output)?;
        let signs = watch_signs(&pipeline, &webrtc)?;
        let links = tracks.iter().map(|track| track.add(&pipeline));
        // From here on, whatever fails, dropping it stops the pipeline.
        let mut viewer = Viewer {
            links: links.collect::<Result<_>>()?,
            pipeline,
            signs,
            _seat: seat,
        };
        viewer.pipeline.set_state(gst::State::Playing)?;

        let offer = WebRTCSessionDescription::new(WebRTCSDPType::Offer, sdp);
        promise(&webrtc, |promise| {
            webrtc.emit_by_name::<()>("set-remote-description", &[&offer, promise]);
        })
        .await?;
        for track in tracks {
            track.connect(&webrtc)?;
        }
        let reply = promise(&webrtc, |promise| {
            let options = None::<gst::Structure>;
            webrtc.emit_by_name::<()>("create-answer", &[&options, promise]);
        })
        .await?;
        let answer = reply
            .context("an empty reply")?
            .get::<WebRTCSessionDescription>("answer")?;
        let gathered = gathered(&webrtc);
        promise(&webrtc, |promise| {
            webrtc.emit_by_name::<()>("set-local-description", &[&answer, promise]);
        })
        .await?;
        // With what there is by then: one address that works is enough.
        let _ = tokio::time::timeout(GATHER, gathered).await;
        let local = webrtc
            .property::<Option<WebRTCSessionDescription>>("local-description")
            .context("webrtcbin has no local description")?;
        let answer = local.sdp().as_text()?;
        for (link, track) in viewer.links.iter_mut().zip(tracks) {
            link.change_producer(track.producer, true)?;
        }
        Ok((viewer, answer))
    }

    /// On the output's clock, so that its timestamps are right here, too.
    fn build(&self, output: &Output) -> Result<(gst::Pipeline, gst::Element)> {
        let pipeline = gst::Pipeline::new();
        let webrtc = gst::ElementFactory::make("webrtcbin")
            .property("bundle-policy", WebRTCBundlePolicy::MaxBundle)
            .build()?;
        if let Some(server) = &self.stun_server {
            webrtc.set_property("stun-server", server);
        }
        let bin = webrtc.downcast_ref::<gst::Bin>();
        let rtp = bin.and_then(|bin| bin.by_name("rtpbin"));
        // Sound and picture of one moment are not sent at once: only their times tell.
        rtp.context("webrtcbin has no rtpbin")?
            .set_property("rtcp-sync-send-time", false);
        pipeline.add(&webrtc)?;
        let clock = output.pipeline.clock().context("the output has no clock")?;
        pipeline.use_clock(Some(&clock));
        pipeline.set_start_time(gst::ClockTime::NONE);
        pipeline.set_base_time(output.pipeline.base_time().context("a base time")?);
        Ok((pipeline, webrtc))
    }
}

fn watch_signs(pipeline: &gst::Pipeline, webrtc: &gst::Element) -> Result<Arc<Signs>> {
    let signs = Arc::new(Signs {
        begin: Instant::now(),
        connected: AtomicBool::new(false),
        failed: AtomicBool::new(false),
        heard: AtomicU64::new(0),
    });
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    let on_bus = signs.clone();
    bus.set_sync_handler(move |_, message| {
        if let gst::MessageView::Error(error) = message.view() {
            eprintln!("viewer: {}", error.error().message());
            on_bus.failed.store(true, Ordering::Relaxed);
        }
        gst::BusSyncReply::Drop
    });
    let on_state = signs.clone();
    webrtc.connect_notify(Some("connection-state"), move |webrtc, _| match webrtc
        .property::<WebRTCPeerConnectionState>(
        "connection-state",
    ) {
        WebRTCPeerConnectionState::Connected => {
            on_state.heard.store(on_state.now(), Ordering::Relaxed);
            on_state.connected.store(true, Ordering::Relaxed);
        }
        WebRTCPeerConnectionState::Failed | WebRTCPeerConnectionState::Closed => {
            on_state.failed.store(true, Ordering::Relaxed);
        }
        _ => (),
    });
    // A browser that crashed says nothing; only the silence tells. So packets are looked at where they
    // come in.
    let bin = webrtc
        .downcast_ref::<gst::Bin>()
        .context("webrtcbin is no bin")?;
    let on_packet = signs.clone();
    bin.connect_deep_element_added(move |_, _, element| {
        let is_entry = element
            .factory()
            .is_some_and(|factory| factory.name() == "nicesrc");
        if let Some(pad) = element.static_pad("src").filter(|_| is_entry) {
            let signs = on_packet.clone();
            let packets = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
            pad.add_probe(packets, move |_, _| {
                signs.heard.store(signs.now(), Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
        }
    });
    Ok(signs)
}

/// Asks webrtcbin for something and waits for its reply.
async fn promise(
    webrtc: &gst::Element,
    ask: impl FnOnce(&gst::Promise),
) -> Result<Option<gst::Structure>> {
    let (promise, reply) = gst::Promise::new_future();
    ask(&promise);
    let reply = reply
        .await
        .map_err(|err| anyhow!("{} did not reply: {err:?}", webrtc.name()))?;
    let reply = reply.map(|reply| reply.to_owned());
    match reply
        .as_ref()
        .map(|reply| reply.get::<gst::glib::Error>("error"))
    {
        Some(Ok(error)) => Err(anyhow!("{}", error.message())),
        _ => Ok(reply),
    }
}

/// Resolves when all of this machine's addresses are in the local description.
fn gathered(webrtc: &gst::Element) -> impl Future<Output = ()> + use<> {
    let (sender, mut receiver) = tokio::sync::watch::channel(false);
    webrtc.connect_notify(Some("ice-gathering-state"), move |webrtc, _| {
        let state = webrtc.property::<WebRTCICEGatheringState>("ice-gathering-state");
        if state == WebRTCICEGatheringState::Complete {
            sender.send_replace(true);
        }
    });
    async move {
        // An error would mean that the pipeline is gone.
        let _ = receiver.wait_for(|done| *done).await;
    }
}
