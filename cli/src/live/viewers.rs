// SPDX-License-Identifier: MPL-2.0
//! WebRTC sessions: a pipeline for each browser sends the encoders' frames and sound as RTP through `webrtcbin`.
//!
//! The pipelines share buffers only: a slow one loses frames up to the next key frame, one that fails is removed, and
//! neither the encoder nor other viewers are affected.

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

/// A connected browser that has sent nothing for this time is gone; it sends RTCP about once a second.
const SILENCE: Duration = Duration::from_secs(10);
/// The same before it is connected.
const CONNECT: Duration = Duration::from_secs(20);
/// Longest wait for ICE candidates; without a STUN server they are complete at once.
const GATHER: Duration = Duration::from_secs(5);

pub struct Viewers {
    map: Mutex<HashMap<String, Viewer>>,
    stun_server: Option<String>,
}

struct Viewer {
    pipeline: gst::Pipeline,
    liveness: Arc<Liveness>,
    /// Deliver frames and sound until they are dropped.
    links: Vec<ConsumptionLink>,
    /// Released with the viewer.
    _seat: OwnedSemaphorePermit,
}

/// Whether the browser is still there.
struct Liveness {
    begin: Instant,
    connected: AtomicBool,
    failed: AtomicBool,
    /// Milliseconds from `begin` to the last packet from the browser.
    heard: AtomicU64,
}

impl Liveness {
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
        // Stopping joins threads, which takes longer than a request may block.
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

    /// Ends a session; whether there was one.
    pub fn remove(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Removes viewers that are gone.
    pub fn sweep(&self) {
        self.lock().retain(|_, viewer| !viewer.liveness.gone());
    }

    /// Adds a viewer. Returns its id, which is random and secret, and the SDP answer to its offer.
    ///
    /// # Errors
    /// 422 for an offer without H.264, 500 if `webrtcbin` fails.
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
        let liveness = watch_liveness(&pipeline, &webrtc)?;
        let links = tracks.iter().map(|track| track.add(&pipeline));
        // From here on, the pipeline is stopped by dropping this if a step fails.
        let mut viewer = Viewer {
            links: links.collect::<Result<_>>()?,
            pipeline,
            liveness,
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
        // After the timeout with the candidates so far: one that works is enough.
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

    /// With clock and base time of the output, so that its timestamps are valid here.
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
        // RTCP maps RTP timestamps to running time instead of the time of sending, which differs for sound and picture.
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

fn watch_liveness(pipeline: &gst::Pipeline, webrtc: &gst::Element) -> Result<Arc<Liveness>> {
    let liveness = Arc::new(Liveness {
        begin: Instant::now(),
        connected: AtomicBool::new(false),
        failed: AtomicBool::new(false),
        heard: AtomicU64::new(0),
    });
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    let on_bus = liveness.clone();
    bus.set_sync_handler(move |_, message| {
        if let gst::MessageView::Error(error) = message.view() {
            eprintln!("viewer: {}", error.error().message());
            on_bus.failed.store(true, Ordering::Relaxed);
        }
        gst::BusSyncReply::Drop
    });
    let on_state = liveness.clone();
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
    // A browser that crashed does not close the connection. So packets are observed where they arrive.
    let bin = webrtc
        .downcast_ref::<gst::Bin>()
        .context("webrtcbin is no bin")?;
    let on_packet = liveness.clone();
    bin.connect_deep_element_added(move |_, _, element| {
        let is_entry = element
            .factory()
            .is_some_and(|factory| factory.name() == "nicesrc");
        if let Some(pad) = element.static_pad("src").filter(|_| is_entry) {
            let liveness = on_packet.clone();
            let packets = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
            pad.add_probe(packets, move |_, _| {
                liveness.heard.store(liveness.now(), Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
        }
    });
    Ok(liveness)
}

/// Calls an action signal of `webrtcbin` and waits for its promise.
///
/// # Errors
/// If the reply has an error, or there is none.
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

/// Resolves when ICE gathering is complete.
fn gathered(webrtc: &gst::Element) -> impl Future<Output = ()> + use<> {
    let (sender, mut receiver) = tokio::sync::watch::channel(false);
    webrtc.connect_notify(Some("ice-gathering-state"), move |webrtc, _| {
        let state = webrtc.property::<WebRTCICEGatheringState>("ice-gathering-state");
        if state == WebRTCICEGatheringState::Complete {
            sender.send_replace(true);
        }
    });
    async move {
        // An error means that the pipeline has been dropped.
        let _ = receiver.wait_for(|done| *done).await;
    }
}
