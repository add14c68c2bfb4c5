// SPDX-License-Identifier: MPL-2.0
//! Who looks: a player in this process, or a browser. Each tells which frame it had when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_video::prelude::*;
use serde_json::json;

use super::chromium::Page;
use super::code::{self, Luma};
use super::film::{launch, sink};

/// As most players have it, but for threads that decode several frames at once, each a frame late.
pub const DECODE: &str = "h264parse ! avdec_h264 max-threads=1";

/// A frame that was shown.
pub struct Sighting {
    /// When it came into being; `None` where that could not be read.
    code: Option<u32>,
    now: u32,
}

/// What was seen in a while.
pub struct Watch {
    /// Milliseconds from the source to here, each frame once, in order.
    pub delays: Vec<u32>,
    /// Frames that could not be read.
    pub unread: usize,
    pub time: Duration,
}

impl Watch {
    fn new(sightings: Vec<Sighting>, time: Duration) -> Self {
        let (mut delays, mut unread, mut last) = (Vec::new(), 0, None);
        for Sighting { code, now } in sightings {
            let delay = code.and_then(|code| code::between(code, now));
            // What is shown once more is not a frame.
            if code.is_some() && code == last {
                continue;
            }
            last = code;
            match delay {
                Some(delay) => delays.push(delay),
                None => unread += 1,
            }
        }
        Self {
            delays,
            unread,
            time,
        }
    }
}

impl Watch {
    pub fn milliseconds(&self) -> Vec<f64> {
        self.delays.iter().map(|ms| f64::from(*ms)).collect()
    }
}

pub trait Viewer {
    /// All that has been seen since it was asked last.
    fn seen(&mut self) -> Vec<Sighting>;

    /// Waits for a first frame, then until all have settled, then looks on for so long.
    fn watch(&mut self, settle: Duration, time: Duration) -> Watch {
        let begin = Instant::now();
        while !self.seen().iter().any(|sighting| sighting.code.is_some()) {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "no frame with a time in it in a minute"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(settle);
        self.seen();
        let begin = Instant::now();
        std::thread::sleep(time);
        Watch::new(self.seen(), begin.elapsed())
    }
}

/// A pipeline that ends in an `appsink` called `shown`.
pub struct Player {
    pipeline: gst::Pipeline,
    eyes: Eyes,
}

/// What looks at an `appsink`.
#[derive(Clone, Default)]
pub struct Eyes(Arc<Mutex<Vec<Sighting>>>);

impl Player {
    /// From an address to decoded frames: everything before the decoder's output.
    pub fn start(line: &str) -> Self {
        Self::timed(line, false)
    }

    /// The same; if `sync`, each frame at its time, as a player shows what comes in pieces.
    pub fn timed(line: &str, sync: bool) -> Self {
        let pipeline = launch(&format!(
            "{line} ! video/x-raw,format=I420 ! appsink name=shown async=false sync={sync} qos=false"
        ));
        let eyes = Eyes::default();
        eyes.watch(&sink(&pipeline, "shown"));
        pipeline.set_state(gst::State::Playing).expect("plays");
        Self { pipeline, eyes }
    }
}

impl Eyes {
    pub fn watch(&self, sink: &gst_app::AppSink) {
        let seen = self.0.clone();
        let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
            let now = code::now();
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let info = sample.caps().map(gst_video::VideoInfo::from_caps);
            let info = info.and_then(Result::ok).expect("caps");
            let buffer = sample.buffer().expect("a frame");
            let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info);
            let frame = frame.expect("bytes");
            let luma = Luma {
                bytes: frame.plane_data(0).expect("a plane"),
                stride: frame.plane_stride()[0] as usize,
                width: frame.width() as usize,
                height: frame.height() as usize,
            };
            let code = code::read(&luma);
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(Sighting { code, now });
            Ok(gst::FlowSuccess::Ok)
        });
        sink.set_callbacks(callbacks.build());
    }
}

impl Viewer for Eyes {
    fn seen(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Viewer for Player {
    fn seen(&mut self) -> Vec<Sighting> {
        let bus = self.pipeline.bus().expect("a bus");
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Eos]) {
            panic!("the player has ended: {message:?}");
        }
        self.eyes.seen()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // Fails only if an element refuses to stop; there is nothing to do about it then.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// A page's picture, found by this expression.
pub fn look(page: &mut Page, element: &str) {
    page.run(&format!(
        "{}; watchClock({element}); 0",
        code::SCRIPT.trim_end_matches(';')
    ));
}

impl Viewer for Page {
    fn seen(&mut self) -> Vec<Sighting> {
        let seen = self.run("seen.splice(0)");
        let number = |value: &serde_json::Value| value.as_u64().unwrap_or_default();
        let sightings = seen.as_array().cloned().unwrap_or_default();
        let sighting = |pair: &serde_json::Value| Sighting {
            code: code::from_browser(number(&pair[0])),
            now: code::browser_time(number(&pair[1])),
        };
        sightings.iter().map(sighting).collect()
    }
}

/// Milliseconds that a browser's frames spend between network and screen: in the jitter buffer, and in
/// the decoder. The sums over all frames so far, and their number.
pub fn browser_sums(page: &mut Page, connection: &str) -> [f64; 3] {
    let sums = page.run(&format!(
        "{connection}.getStats().then((stats) => {{
            const video = [...stats.values()].find((report) => report.type === 'inbound-rtp' && report.kind === 'video');
            return [video.jitterBufferDelay, video.totalDecodeTime, video.framesDecoded];
        }})"
    ));
    [0, 1, 2].map(|i| {
        sums[i]
            .as_f64()
            .unwrap_or_else(|| panic!("numbers: {sums}"))
    })
}

/// A page that shows the picture of `offer`; the answer to it. Its connection is `window.connection`.
pub fn answer(page: &mut Page, offer: &str) -> String {
    let offer = json!(offer);
    let answer = page.run(&format!(
        "(async () => {{
            const connection = window.connection = new RTCPeerConnection();
            const video = window.video = document.createElement('video');
            video.muted = video.autoplay = true;
            document.body.append(video);
            connection.ontrack = ({{ track, receiver }}) => {{
                if (track.kind !== 'video') return;
                receiver.jitterBufferTarget = 0;
                video.srcObject = new MediaStream([track]);
            }};
            await connection.setRemoteDescription({{ type: 'offer', sdp: {offer} }});
            await connection.setLocalDescription();
            if (connection.iceGatheringState !== 'complete') {{
                await new Promise((done) => {{
                    connection.onicegatheringstatechange = () => connection.iceGatheringState === 'complete' && done();
                }});
            }}
            return connection.localDescription.sdp;
        }})()"
    ));
    answer.as_str().expect("an answer").to_owned()
}
