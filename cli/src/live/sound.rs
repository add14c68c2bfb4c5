// SPDX-License-Identifier: MPL-2.0
//! The way of the sound into the output: the source's as it comes, beside the pictures of its moment, and
//! silence while there is none, so that nobody who takes both waits for it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gst::prelude::*;
use gst_utils::StreamProducer;
use gst_utils::streamproducer::ProducerSettings;

use super::output::cast;

/// What a source's sound is made into, and every part here takes.
pub const CAPS: &str =
    "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2,channel-mask=(bitmask)3";
/// Samples a second of it, and the bytes of each, for both channels.
const SAMPLES: u128 = 48_000;
const BYTES: usize = 4;
/// A source that has given no sound for so long gives none; it had it longer ago than its network holds back.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much silence is given at once.
const SILENCE: gst::ClockTime = gst::ClockTime::from_mseconds(20);
/// The sound's delay is the median of so many pictures', which come unevenly.
const PICTURES: usize = 16;
/// A delay that differs by more than this, ns, is another one: the source has begun anew.
const JUMP: u64 = 500_000_000;
/// Sound that is off by no more than this stays where it is, since any correction can be heard.
const TOLERANCE: gst::ClockTime = gst::ClockTime::from_mseconds(20);

/// As many bytes as it has in this time.
pub fn bytes(time: gst::ClockTime) -> usize {
    let samples = u128::from(time.nseconds()) * SAMPLES / 1_000_000_000;
    samples as usize * BYTES
}

/// In the output's launch description: `audiorate` leaves out what is twice there and fills what is not.
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

/// Takes sound from whoever has some.
pub struct Sound {
    input: gst_app::AppSrc,
    state: Mutex<State>,
    /// For players, who need AAC, and for browsers.
    pub pcm: StreamProducer,
    pub opus: StreamProducer,
}

#[derive(Default)]
struct State {
    /// From the source's time to the output's, ns, of the latest pictures.
    delays: VecDeque<i64>,
    /// When the source gave sound last.
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

    /// The source begins anew: its times so far say nothing of those to come.
    pub fn begin_anew(&self) {
        self.lock().delays.clear();
    }

    /// A picture of this running time of its source has come.
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

    /// From this time of the source to now.
    fn delay(&self, time: gst::ClockTime) -> Option<i64> {
        let now = self.input.current_running_time()?.nseconds();
        i64::try_from(now)
            .ok()?
            .checked_sub_unsigned(time.nseconds())
    }

    /// Sound of this running time of its source.
    pub fn push(&self, mut sound: gst::Buffer, time: gst::ClockTime) {
        let Some(now) = self.delay(time) else {
            return;
        };
        let mut state = self.lock();
        state.heard = Some(Instant::now());
        // Before the first picture, as if it were one.
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

    /// Silence up to now, if nothing else sounds. To be called about as often as frames come.
    pub fn keep_alive(&self) {
        let state = self.lock();
        let begin = self.input.current_running_time();
        let begin = begin.and_then(|now| now.checked_sub(SILENCE));
        if let Some(begin) = begin.filter(|_| !state.sounds()) {
            let mut silence = gst::Buffer::from_slice(vec![0; bytes(SILENCE)]);
            silence.make_mut().set_pts(begin);
            // As above.
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

    fn sounds(&self) -> bool {
        self.heard.is_some_and(|heard| heard.elapsed() < PATIENCE)
    }
}
