// SPDX-License-Identifier: MPL-2.0
//! Actions of players and transcoders: seek, fast and reverse playback, pause, stop and restart, in a pipeline that
//! reads a file. `gst-validate-1.0` has such scenarios, but no Debian package has `gst-validate-1.0`.

mod common;

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use common::generators::negative;
use gst::prelude::*;
use parking_lot::Mutex;

const FRAMES: u64 = 50;
const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);
const LENGTH: gst::ClockTime = gst::ClockTime::from_seconds(2);

fn launch(line: &str) -> gst::Pipeline {
    let pipeline = gst::parse::launch(line).expect("a pipeline");
    pipeline.downcast().expect("a pipeline")
}

/// Waits for EOS; after a seek, for the EOS of that seek, not of an earlier one.
#[track_caller]
fn to_the_end(pipeline: &gst::Pipeline, seek: Option<gst::Seqnum>) {
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let bus = pipeline.bus().expect("a bus");
    loop {
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends);
        let message = message.expect("an end");
        assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
        if seek.is_none_or(|seek| seek == message.seqnum()) {
            return;
        }
    }
}

/// Two seconds of motion JPEG, in which every frame is a key frame.
fn film(file: &Path) {
    common::init();
    let pipeline = launch(&format!(
        "videotestsrc num-buffers={FRAMES} ! video/x-raw,width=64,height=48,framerate=25/1 ! jpegenc ! avimux \
         ! filesink location={}",
        file.display()
    ));
    pipeline.set_state(gst::State::Playing).expect("plays");
    to_the_end(&pipeline, None);
    pipeline.set_state(gst::State::Null).expect("stopped");
}

/// Launch description that reads a film.
fn reader(film: &Path) -> String {
    format!(
        "filesrc location={} ! avidemux ! jpegdec ! videoconvert ! video/x-raw,format=RGB",
        film.display()
    )
}

/// Launch description that stylizes.
fn painter(model: &Path, in_flight: u32) -> String {
    format!(
        "stylize execution-provider=cpu threads=1 frames-in-flight={in_flight} model-file={}",
        model.display()
    )
}

/// Number and running time of each frame at the sink since the last flush.
type Seen = Arc<Mutex<Vec<(u64, gst::ClockTime)>>>;

struct Player {
    _dir: tempfile::TempDir,
    pipeline: gst::Pipeline,
    seen: Seen,
    /// The last one.
    seek: Cell<Option<gst::Seqnum>>,
}

impl Player {
    /// Plays a film; paused at its first frame.
    fn new(in_flight: u32) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("film.avi");
        film(&file);
        Self::of(dir, &reader(&file), in_flight)
    }

    /// As above with another source.
    fn of(dir: tempfile::TempDir, source: &str, in_flight: u32) -> Self {
        let model = dir.path().join("model.onnx");
        std::fs::write(&model, negative(13).bytes()).expect("a file");
        let painter = painter(&model, in_flight);
        let pipeline = launch(&format!(
            "{source} ! {painter} ! fakesink name=sink sync=false"
        ));
        let sink = pipeline.by_name("sink").expect("a sink");
        let pad = sink.static_pad("sink").expect("a pad");
        let seen = Seen::default();
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
        let record = seen.clone();
        pad.add_probe(kinds, move |pad, info| {
            match (&info.data, info.buffer()) {
                (_, Some(buffer)) => {
                    let segment = pad.sticky_event::<gst::event::Segment>(0);
                    let segment = segment.expect("before a frame").segment().to_owned();
                    let segment = segment.downcast::<gst::ClockTime>().expect("of time");
                    let pts = buffer.pts().expect("a time");
                    let running = segment.to_running_time(pts).expect("in the segment");
                    record.lock().push((pts / FRAME, running));
                }
                (Some(gst::PadProbeData::Event(event)), _)
                    if event.type_() == gst::EventType::FlushStop =>
                {
                    record.lock().clear();
                }
                _ => (),
            }
            gst::PadProbeReturn::Ok
        });
        let player = Self {
            _dir: dir,
            pipeline,
            seen,
            seek: Cell::default(),
        };
        player.state(gst::State::Paused);
        player
    }

    /// Changes the state and waits for it.
    #[track_caller]
    fn state(&self, state: gst::State) {
        self.pipeline.set_state(state).expect("it goes there");
        let timeout = gst::ClockTime::from_seconds(60);
        let (change, now, _) = self.pipeline.state(timeout);
        if change != Ok(gst::StateChangeSuccess::Success) {
            // Only then: reading the bus discards other messages, an EOS of short films among them.
            let errors = common::errors(&self.pipeline.bus().expect("a bus"));
            panic!("to {state:?}: {change:?}, {errors:?}");
        }
        assert_eq!(now, state);
    }

    /// Seeks with a flush and waits for the first frame.
    #[track_caller]
    fn seek(&self, rate: f64, from: gst::ClockTime, to: gst::ClockTime) {
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let set = gst::SeekType::Set;
        let seqnum = gst::Seqnum::next();
        let seek = gst::event::Seek::builder(rate, flags, set, from, set, to).seqnum(seqnum);
        assert!(self.pipeline.send_event(seek.build()), "it seeks");
        self.seek.set(Some(seqnum));
        let timeout = gst::ClockTime::from_seconds(60);
        let (change, ..) = self.pipeline.state(timeout);
        assert_eq!(change, Ok(gst::StateChangeSuccess::Success));
    }

    /// Plays to the end, and checks the frames, their order and their interval.
    #[track_caller]
    fn plays(&self, frames: impl Iterator<Item = u64>, rate: f64) {
        self.state(gst::State::Playing);
        to_the_end(&self.pipeline, self.seek.get());
        let seen = std::mem::take(&mut *self.seen.lock());
        let numbers: Vec<u64> = seen.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, frames.collect::<Vec<_>>(), "at rate {rate}");
        let begin = seen[0].1;
        for (index, (_, running)) in seen.iter().enumerate() {
            let wanted = index as f64 * FRAME.nseconds() as f64 / rate.abs();
            let off = (*running - begin).nseconds() as f64 - wanted;
            assert!(off.abs() < 1e6, "frame {index} at rate {rate}: {seen:?}");
        }
        self.state(gst::State::Paused);
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

#[test]
fn a_player_seeks_and_plays_fast_slowly_and_backwards() {
    for in_flight in [1, 3] {
        let player = Player::new(in_flight);
        player.plays(0..FRAMES, 1.0);
        let zero = gst::ClockTime::ZERO;
        player.seek(1.0, FRAME * 25, LENGTH);
        player.plays(25..FRAMES, 1.0);
        player.seek(2.0, FRAME * 10, LENGTH);
        player.plays(10..FRAMES, 2.0);
        player.seek(0.5, FRAME * 40, LENGTH);
        player.plays(40..FRAMES, 0.5);
        player.seek(-1.0, zero, LENGTH);
        player.plays((0..FRAMES).rev(), -1.0);
        player.seek(-4.0, zero, LENGTH);
        player.plays((0..FRAMES).rev(), -4.0);
        // Forwards again.
        player.seek(1.0, zero, LENGTH);
        player.plays(0..FRAMES, 1.0);
    }
}

#[test]
fn a_player_that_is_dragged_about_shows_the_last_place() {
    for in_flight in [1, 3] {
        let player = Player::new(in_flight);
        for state in [gst::State::Paused, gst::State::Playing] {
            for round in 0..20 {
                let place = FRAME * (round * 7 % FRAMES);
                player.seek(1.0, place, LENGTH);
                player.state(state);
            }
            player.seek(1.0, FRAME * 45, LENGTH);
            player.plays(45..FRAMES, 1.0);
        }
    }
}

#[test]
fn a_player_changes_its_state_and_begins_anew() {
    use gst::State::{Null, Paused, Playing, Ready};
    common::init();
    // A demuxer's pads are new after each stop, and the application would have to link them.
    let source = format!(
        "videotestsrc num-buffers={FRAMES} ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1"
    );
    for in_flight in [1, 3] {
        let dir = tempfile::tempdir().expect("a folder");
        let player = Player::of(dir, &source, in_flight);
        for state in [
            Playing, Paused, Playing, Ready, Paused, Ready, Playing, Null, Playing, Paused, Null,
        ] {
            player.state(state);
        }
        player.seen.lock().clear();
        player.state(Paused);
        player.plays(0..FRAMES, 1.0);
    }
}

#[test]
fn a_film_is_transcoded_with_a_pause() {
    for in_flight in [1, 3] {
        let (dir, model) = common::model_file(&negative(13).bytes());
        let [film_file, out] = ["film.avi", "out.avi"].map(|name| dir.path().join(name));
        film(&film_file);
        let (reader, painter) = (reader(&film_file), painter(&model, in_flight));
        let pipeline = launch(&format!(
            "{reader} ! {painter} ! videoconvert ! jpegenc ! avimux ! filesink location={}",
            out.display()
        ));
        use gst::State::{Paused, Playing};
        for state in [Paused, Playing, Paused, Playing] {
            pipeline.set_state(state).expect("it goes there");
            let (change, ..) = pipeline.state(gst::ClockTime::from_seconds(60));
            assert_eq!(change, Ok(gst::StateChangeSuccess::Success));
        }
        to_the_end(&pipeline, None);
        pipeline.set_state(gst::State::Null).expect("stopped");

        let reader = launch(&format!(
            "filesrc location={} ! avidemux ! jpegdec ! fakesink name=sink sync=false",
            out.display()
        ));
        let sink = reader.by_name("sink").expect("a sink");
        reader.set_state(gst::State::Playing).expect("plays");
        to_the_end(&reader, None);
        let stats = sink.property::<gst::Structure>("stats");
        assert_eq!(
            stats.get::<u64>("rendered"),
            Ok(FRAMES),
            "{in_flight} in flight"
        );
        reader.set_state(gst::State::Null).expect("stopped");
    }
}
