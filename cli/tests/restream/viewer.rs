// SPDX-License-Identifier: MPL-2.0
//! A WebRTC viewer that records the stream. Not a browser, because its jitter buffer stretches and compresses sound by
//! up to 200 ms on a busy machine, so its output says little about the stream.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gst::prelude::*;
use gst_webrtc::{
    WebRTCICEGatheringState, WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection, WebRTCSDPType,
    WebRTCSessionDescription,
};

use super::janus::Janus;
use super::peers::wait_for;
use super::player::{FRAMES, File};
use super::server::Server;

/// Watches mountpoint 1 until there are enough frames.
pub fn of_janus(janus: &Janus) -> File {
    record(|webrtc| janus.watch(|offer| answer(webrtc, offer)))
}

/// Watches `stylize live` by WHEP until there are enough frames.
pub fn of_live_server(server: &Server) -> File {
    record(|webrtc| {
        let given = [("Content-Type", "application/sdp")];
        let response = server.fetch("POST", "/whep", &given, &offer(webrtc));
        let (status, body) = (response.status(), response.into_body());
        let text = String::from_utf8(body).expect("UTF-8");
        assert_eq!(status, 201, "{text}");
        let answer = described(WebRTCSDPType::Answer, &text);
        ask(webrtc, "set-remote-description", &answer);
    })
}

/// Records the stream after `connect`.
fn record(connect: impl FnOnce(&gst::Element)) -> File {
    let folder = tempfile::tempdir().expect("a folder");
    let name = "recording.mkv";
    let line = format!(
        "webrtcbin name=webrtc bundle-policy=max-bundle \
         rtph264depay name=video ! h264parse name=frames ! queue ! mux. \
         rtpopusdepay name=audio ! queue ! mux. \
         matroskamux name=mux ! filesink name=file async=false location={}",
        folder.path().join(name).display()
    );
    let pipeline = gst::parse::launch(&line).expect("a pipeline");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let part = |name: &str| pipeline.by_name(name).expect("an element");
    let webrtc = part("webrtc");
    let ends = ["video", "audio"].map(|kind| part(kind).static_pad("sink").expect("a pad"));
    let [video, audio] = ends.clone();
    webrtc.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let media = caps
            .structure(0)
            .and_then(|s| s.get::<String>("media").ok());
        let end = if media.as_deref() == Some("video") {
            &video
        } else {
            &audio
        };
        pad.link(end).expect("linked");
    });
    let frames = Arc::new(AtomicU32::new(0));
    let count = frames.clone();
    let parsed = part("frames").static_pad("src").expect("a pad");
    parsed.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).expect("plays");
    connect(&webrtc);
    wait_for("the viewer's frames", || {
        frames.load(Ordering::SeqCst) >= FRAMES
    });
    // Not by EOS: sinks inside webrtcbin never get it. The size of the file is checked instead.
    let (sender, ended) = mpsc::channel();
    let written = part("file").static_pad("sink").expect("a pad");
    written.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if info
            .event()
            .is_some_and(|event| event.type_() == gst::EventType::Eos)
        {
            // The receiver is gone if the signal is emitted twice.
            let _ = sender.send(());
        }
        gst::PadProbeReturn::Ok
    });
    for end in ends {
        // Returns false if the element has ended by itself.
        end.send_event(gst::event::Eos::new());
    }
    ended
        .recv_timeout(Duration::from_secs(60))
        .expect("the end of the file");
    pipeline.set_state(gst::State::Null).expect("stopped");
    File { folder, name }
}

/// The answer to an offer.
fn answer(webrtc: &gst::Element, offer: &str) -> String {
    let offer = described(WebRTCSDPType::Offer, offer);
    ask(webrtc, "set-remote-description", &offer);
    local(webrtc, "answer")
}

/// An offer for the payload types of `stylize live`.
fn offer(webrtc: &gst::Element) -> String {
    for (media, codec, rate, payload) in
        [("video", "H264", 90_000, 96), ("audio", "OPUS", 48_000, 97)]
    {
        let caps = gst::Caps::builder("application/x-rtp")
            .field("media", media)
            .field("encoding-name", codec)
            .field("clock-rate", rate)
            .field("payload", payload);
        let caps = match media {
            "video" => caps.field("packetization-mode", "1"),
            _ => caps.field("encoding-params", "2"),
        };
        webrtc.emit_by_name::<WebRTCRTPTransceiver>(
            "add-transceiver",
            &[&WebRTCRTPTransceiverDirection::Recvonly, &caps.build()],
        );
    }
    local(webrtc, "offer")
}

fn described(kind: WebRTCSDPType, text: &str) -> WebRTCSessionDescription {
    let sdp = gst_sdp::SDPMessage::parse_buffer(text.as_bytes()).expect("SDP");
    WebRTCSessionDescription::new(kind, sdp)
}

/// Sets an offer or answer as the local description. Returns it with all ICE candidates.
fn local(webrtc: &gst::Element, kind: &str) -> String {
    let promise = gst::Promise::new();
    let create = format!("create-{kind}");
    webrtc.emit_by_name::<()>(&create, &[&None::<gst::Structure>, &promise]);
    promise.wait();
    let reply = promise.get_reply().expect("a reply");
    let description = reply
        .get::<WebRTCSessionDescription>(kind)
        .expect("a description");
    let (sender, gathered) = mpsc::channel();
    webrtc.connect_notify(Some("ice-gathering-state"), move |webrtc, _| {
        let state = webrtc.property::<WebRTCICEGatheringState>("ice-gathering-state");
        if state == WebRTCICEGatheringState::Complete {
            // The receiver is gone if the signal is emitted twice.
            let _ = sender.send(());
        }
    });
    ask(webrtc, "set-local-description", &description);
    gathered
        .recv_timeout(Duration::from_secs(60))
        .expect("addresses");
    let local = webrtc.property::<WebRTCSessionDescription>("local-description");
    local.sdp().as_text().expect("text")
}

fn ask(webrtc: &gst::Element, signal: &str, description: &WebRTCSessionDescription) {
    let promise = gst::Promise::new();
    webrtc.emit_by_name::<()>(signal, &[description, &promise]);
    promise.wait();
    let refused = promise
        .get_reply()
        .and_then(|reply| reply.get::<gst::glib::Error>("error").ok());
    assert!(refused.is_none(), "{signal}: {refused:?}");
}
