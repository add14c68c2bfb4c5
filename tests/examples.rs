// SPDX-License-Identifier: MPL-2.0
//! The programs in `examples/`: runs each and checks its output.

mod common;

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gst::prelude::*;

#[path = "../examples/change_styles.rs"]
mod change_styles;
#[path = "../examples/controller.rs"]
mod controller;
#[path = "../examples/detections.rs"]
mod detections;
#[path = "../examples/playlist.rs"]
mod playlist;

/// Time limit; generous, because the machine may be busy.
const LONGEST: Duration = Duration::from_secs(120);

/// A sink that keeps all frames in one file, RGB.
fn into(file: &Path) -> String {
    format!(
        "video/x-raw,format=RGB ! filesink buffer-mode=unbuffered location={}",
        file.display()
    )
}

/// Plays a description to its end.
fn play(description: &str) {
    let pipeline = gst::parse::launch(description).expect("a pipeline");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let bus = pipeline.bus().expect("a bus");
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(gst::ClockTime::NONE, &ends);
    assert_eq!(end.expect("an end").type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).expect("it stops");
}

/// Plays a description into a file. Returns its frames, each `width` x `height` x 3 bytes.
fn frames(description: &str, [width, height]: [usize; 2]) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("frames");
    play(&format!("{description} ! videoconvert ! {}", into(&file)));
    read(&file, [width, height])
}

/// The complete frames in a file.
fn read(file: &Path, [width, height]: [usize; 2]) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(file).expect("frames");
    let frames = bytes.chunks_exact(width * height * 3);
    frames.map(<[u8]>::to_vec).collect()
}

/// Mean absolute difference.
fn difference(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let sum: u64 = one
        .iter()
        .zip(other)
        .map(|(&a, &b)| u64::from(a.abs_diff(b)))
        .sum();
    sum as f64 / one.len() as f64
}

/// The test picture of the examples in one style.
fn painted(style: &str) -> Vec<u8> {
    let line = format!(
        "videotestsrc pattern=colors num-buffers=1 ! video/x-raw,width=320,height=180 ! stylize style={style}"
    );
    frames(&line, [320, 180]).remove(0)
}

#[test]
fn the_controller_turns_a_film_into_a_painting() {
    common::init();
    let dir = tempfile::tempdir().expect("a folder");
    let (film, out) = (dir.path().join("a film.mp4"), dir.path().join("out.mp4"));
    play(&format!(
        "videotestsrc pattern=colors num-buffers=75 ! video/x-raw,width=64,height=48,framerate=15/1 \
         ! x264enc ! h264parse ! mp4mux ! filesink location=\"{}\"",
        film.display()
    ));

    controller::run(&film, &out).expect("it paints");

    let decoded = |file: &Path| {
        let line = format!("filesrc location=\"{}\" ! decodebin", file.display());
        frames(&line, [64, 48])
    };
    let (film, out) = (decoded(&film), decoded(&out));
    assert_eq!((film.len(), out.len()), (75, 75));
    let by = |number: usize| difference(&film[number], &out[number]);
    let (first, middle, last) = (by(0), by(30), by(74));
    assert!(first < 6.0, "the film itself at first: {first}");
    assert!(
        first < middle && middle < last && last > 15.0,
        "more and more of a painting: {first}, {middle}, {last}"
    );
    let error = controller::run(Path::new("/nowhere.mp4"), Path::new("/nowhere.out"));
    assert!(error.is_err(), "what goes wrong is said");
}

#[test]
fn the_playlist_changes_styles_by_the_clock() {
    common::init();
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("frames");
    playlist::run(&into(&file), Some(180)).expect("it plays");
    let got = read(&file, [320, 180]);
    assert_eq!(got.len(), 180);
    let (night, wave) = (painted("starry-night"), painted("great-wave"));
    let apart = difference(&night, &wave);
    assert!(apart > 10.0, "two styles: {apart}");
    // At 25 frames a second; the transition is from 5 s to 7 s.
    for (number, style) in [(0, &night), (120, &night), (179, &wave)] {
        let off = difference(&got[number], style);
        assert!(off < 2.0, "frame {number}: off by {off}");
    }
    let midway = &got[150];
    assert!(difference(midway, &night) > 2.0 && difference(midway, &wave) > 2.0);
}

#[test]
fn only_detections_are_painted() {
    common::init();
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("frames");
    detections::run(&into(&file), Some(4)).expect("it plays");
    let got = read(&file, [640, 360]);
    let film = frames(
        "videotestsrc pattern=ball background-color=0xff4488cc num-buffers=4 \
         ! video/x-raw,format=RGB,width=640,height=360,framerate=25/1",
        [640, 360],
    );
    assert_eq!((got.len(), film.len()), (4, 4));
    for (got, film) in got.iter().zip(&film) {
        let pixels = got.chunks(3).zip(film.chunks(3)).enumerate();
        let changed: Vec<_> = pixels
            .filter(|(_, (a, b))| a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > 3))
            .map(|(at, _)| at)
            .collect();
        // The ball has a radius of 20 pixels, and the soft edge 6 on each side.
        let [across, down] = [640_usize, 1].map(|row| {
            let places = changed
                .iter()
                .map(|at| if row == 640 { at % row } else { at / 640 });
            let (least, most) = places.fold((usize::MAX, 0), |(a, b), at| (a.min(at), b.max(at)));
            most.saturating_sub(least)
        });
        assert!(changed.len() > 500, "{} pixels are painted", changed.len());
        assert!(
            across < 64 && down < 64,
            "no more than the ball: {across}x{down}"
        );
    }
}

/// Lines that a user types; the last one when the picture shows the result of the others.
struct Typed<F> {
    lines: Vec<&'static str>,
    warned: Receiver<String>,
    there: F,
}

impl<F: FnMut() -> bool> Read for Typed<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.lines.is_empty() {
            return Ok(0);
        }
        let line = self.lines.remove(0);
        match line {
            // After the wrong line before it.
            "udnie\n" => {
                let warning = self.warned.recv_timeout(LONGEST).expect("a warning");
                assert!(warning.contains("no-such-style"), "{warning}");
            }
            "quit\n" => {
                let begun = Instant::now();
                while !(self.there)() {
                    assert!(begun.elapsed() < LONGEST, "the style never came");
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
            _ => (),
        }
        buffer[..line.len()].copy_from_slice(line.as_bytes());
        Ok(line.len())
    }
}

#[test]
fn styles_change_while_playing() {
    common::init();
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("frames");
    let wanted = painted("udnie");
    let (warn, warned) = channel();
    let frames = file.clone();
    let typed = Typed {
        lines: vec!["great-wave\n", "no-such-style\n", "udnie\n", "quit\n"],
        warned,
        // On a slow machine, `adapt` makes strokes larger.
        there: move || {
            let got = read(&frames, [320, 180]);
            got.last()
                .is_some_and(|last| difference(last, &wanted) < 12.0)
        },
    };
    let warn = move |warning: &str| drop(warn.send(warning.into()));
    change_styles::run(&into(&file), BufReader::new(typed), warn).expect("it plays");
}
