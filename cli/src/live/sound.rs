// SPDX-License-Identifier: MPL-2.0
//! Pushes sound into the output pipeline: the source's, synchronized with its frames, and silence while there is none,
//! so that consumers of both never wait for it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gst::prelude::*;
use gst_utils::StreamProducer;
use gst_utils::streamproducer::ProducerSettings;

use crate::shared::run::cast;

/// Caps of sound between source and output.
pub const CAPS: &str =
    "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2,channel-mask=(bitmask)3";
/// Sample rate in Hz, and bytes of a sample for both channels.
const SAMPLES: u128 = 48_000;
const BYTES: usize = 4;
/// After this time without sound, silence is pushed. Longer than the jitter buffers of sources.
const PATIENCE: Duration = Duration::from_secs(1);
/// Duration of a buffer with silence.
const SILENCE: gst::ClockTime = gst::ClockTime::from_mseconds(20);
/// Number of frames whose median delay is that of the sound: frames arrive with jitter.
const PICTURES: usize = 16;
/// A delay that differs by more than this, ns, is a discontinuity: the source has restarted.
const JUMP: u64 = 500_000_000;
/// Deviations up to this are not corrected, because corrections are audible.
const TOLERANCE: gst::ClockTime = gst::ClockTime::from_mseconds(20);

/// Number of bytes for a duration.
pub fn bytes(time: gst::ClockTime) -> usize {
    let samples = u128::from(time.nseconds()) * SAMPLES / 1_000_000_000;
    samples as usize * BYTES
}

/// Part of the output's launch description. `audiorate` drops overlapping samples and fills gaps.
pub fn branch() -> String {
    let queue = "queue max-size-buffers=0 max-size-bytes=0 max-size-time=1000000000";
    format!(
        "appsrc name=sound is-live=true format=time caps=\"{CAPS}\" \
         ! audiorate skip-to-first=true tolerance={} ! tee name=sounds \
         sounds. ! {queue} ! appsink name=pcm async=false \
         sounds. ! {queue} ! opusenc bitrate=96000 ! appsink name=opus async=false",
        TOLERANCE.nseconds(),
    )
}

/// Pushes sound of any source, and makes it available to consumers.
pub struct Sound {
    input: gst_app::AppSrc,
    state: Mutex<State>,
    /// Raw sound for the AAC encoder of HLS, and Opus for WebRTC.
    pub pcm: StreamProducer,
    pub opus: StreamProducer,
}

#[derive(Default)]
struct State {
    /// Running time of the output minus that of the source, ns, for the latest frames.
    delays: VecDeque<i64>,
    /// Time of the source's last sound.
    heard: Option<Instant>,
}

impl Sound {
    pub fn of(pipeline: &gst::Pipeline) -> Result<Self> {
        let part = |name: &str| pipeline.by_name(name).with_context(|| name.to_owned());
        let producer = |name: &str| -> Result<StreamProducer> {
            let sink = cast::<gst_app::AppSink>(part(name)?)?;
            Ok(StreamProducer::with(
                &sink,
                ProducerSettings { sync: false },
            ))
        };
        Ok(Self {
            input: cast(part("sound")?)?,
            state: Mutex::default(),
            pcm: producer("pcm")?,
            opus: producer("opus")?,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the delays, because the source restarts with unrelated timestamps.
    pub fn reset(&self) {
        self.lock().delays.clear();
    }

    /// Notes the arrival of a frame with this running time of the source.
    pub fn picture(&self, time: gst::ClockTime) {
        let Some(delay) = self.delay(time) else {
            return;
        };
        let delays = &mut self.lock().delays;
        if delays
            .back()
            .is_some_and(|last| last.abs_diff(delay) > JUMP)
        {
            delays.clear();
        }
        if delays.len() == PICTURES {
            delays.pop_front();
        }
        delays.push_back(delay);
    }

    /// Current running time of the output minus `time` of the source, ns.
    fn delay(&self, time: gst::ClockTime) -> Option<i64> {
        let now = self.input.current_running_time()?.nseconds();
        i64::try_from(now)
            .ok()?
            .checked_sub_unsigned(time.nseconds())
    }

    /// Pushes sound with this running time of the source.
    pub fn push(&self, mut sound: gst::Buffer, time: gst::ClockTime) {
        let Some(now) = self.delay(time) else {
            return;
        };
        let mut state = self.lock();
        state.heard = Some(Instant::now());
        // Before the first frame, the delay of the sound itself.
        let delay = state.delay().unwrap_or(now);
        let Some(time) = time.nseconds().checked_add_signed(delay) else {
            return;
        };
        let buffer = sound.make_mut();
        buffer.unset_flags(gst::BufferFlags::all());
        buffer.set_pts(gst::ClockTime::from_nseconds(time));
        buffer.set_dts(None);
        // Fails only while the server stops.
        let _ = self.input.push_buffer(sound);
    }

    /// Pushes silence up to now if the source has none. To be called about once a frame.
    pub fn keep_alive(&self) {
        let state = self.lock();
        let begin = self.input.current_running_time();
        let begin = begin.and_then(|now| now.checked_sub(SILENCE));
        if let Some(begin) = begin.filter(|_| !state.is_active()) {
            let mut silence = gst::Buffer::from_slice(vec![0; bytes(SILENCE)]);
            silence.make_mut().set_pts(begin);
            // Fails only while the server stops.
            let _ = self.input.push_buffer(silence);
        }
    }
}

impl State {
    fn delay(&self) -> Option<i64> {
        let mut delays: Vec<_> = self.delays.iter().copied().collect();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied()
    }

    /// Whether the source has delivered sound recently.
    fn is_active(&self) -> bool {
        self.heard.is_some_and(|heard| heard.elapsed() < PATIENCE)
    }
}
