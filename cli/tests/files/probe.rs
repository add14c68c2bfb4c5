// SPDX-License-Identifier: MPL-2.0
//! Makes films with FFmpeg, and examines outputs with FFmpeg.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs FFmpeg with these arguments and files.
#[track_caller]
pub fn ffmpeg(line: &str, output: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    command.args(line.split_whitespace()).arg(output);
    let said = command
        .output()
        .expect("ffmpeg; scripts/setup.sh tests installs it");
    assert!(said.status.success(), "{line}: {}", text(&said));
}

pub fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// The program with a tiny generator, which takes no time.
pub fn stylize(from: &Path, to: &Path) -> Command {
    let generator = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/starry-night.onnx");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stylize"));
    command
        .arg(from)
        .arg(to)
        .arg("--quiet")
        .arg("--model-file")
        .arg(generator);
    command.args(["--execution-provider", "cpu", "--threads", "1"]);
    command
}

/// Stylizes, which must succeed. Returns the output of the program.
#[track_caller]
pub fn paint(from: &Path, to: &Path, more: &[&str]) -> String {
    let output = stylize(from, to).args(more).output().expect("it runs");
    assert!(
        output.status.success(),
        "{}: {}",
        from.display(),
        text(&output)
    );
    check(to);
    text(&output)
}

/// FFmpeg decodes the file without errors.
#[track_caller]
pub fn check(file: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(file);
    let output = command.args(["-f", "null", "-"]).output().expect("ffmpeg");
    assert!(
        output.status.success() && text(&output).is_empty(),
        "{}: {}",
        file.display(),
        text(&output)
    );
}

/// Values from ffprobe, one in each line.
pub fn probe(file: &Path, options: &str) -> Vec<String> {
    let mut command = Command::new("ffprobe");
    command
        .args(["-v", "error", "-of", "csv=p=0"])
        .args(options.split_whitespace());
    let output = command.arg(file).output().expect("ffprobe");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = lines
        .lines()
        .map(|line| line.trim_end_matches(',').to_string());
    lines.filter(|line| !line.is_empty()).collect()
}

/// Timestamps of all frames, s.
pub fn times(file: &Path) -> Vec<f64> {
    let lines = probe(
        file,
        "-select_streams v:0 -show_entries frame=best_effort_timestamp_time",
    );
    let times = lines
        .iter()
        .filter_map(|line| line.split(',').next()?.parse().ok());
    times.collect()
}

/// Start times of the streams of a kind.
pub fn starts(file: &Path, kind: &str) -> Vec<f64> {
    let lines = probe(
        file,
        &format!("-select_streams {kind} -show_entries stream=start_time"),
    );
    let mut starts: Vec<f64> = lines.iter().filter_map(|line| line.parse().ok()).collect();
    // For MPEG-TS, ffprobe lists the streams of programs twice.
    if file.extension().is_some_and(|extension| extension == "ts") {
        starts.truncate(starts.len() / 2);
    }
    starts
}

/// Checks that the output has the frames of the source with their timestamps, and its sound.
#[track_caller]
pub fn compare(source: &Path, painting: &Path) {
    let (from, to) = (times(source), times(painting));
    let what = format!("{} to {}", source.display(), painting.display());
    assert_eq!(from.len(), to.len(), "frames of {what}");
    // QuickTime's muxer shows the first frame from the beginning on, if that is less than 0.1 s earlier.
    assert!(
        (from[1] - from[0] - to[1] + to[0]).abs() <= 0.1,
        "{what}: the first frame"
    );
    let offset = to[1] - from[1];
    let off = from
        .iter()
        .zip(&to)
        .skip(1)
        .map(|(a, b)| (b - a - offset).abs());
    let worst = off.fold(0.0, f64::max);
    assert!(worst <= 0.0011, "{what}: frames are {worst} s off");
    let seconds = (from[1], to[1]);
    let (from, to) = (starts(source, "a"), starts(painting, "a"));
    assert_eq!(from.len(), to.len(), "sounds of {what}");
    for (from, to) in from.iter().zip(&to) {
        let moved = (from - seconds.0) - (to - seconds.1);
        // For MPEG-TS, GStreamer drops sound before the first video frame.
        let transport = source
            .extension()
            .is_some_and(|extension| extension == "ts");
        let limit = if transport { 0.075 } else { 0.04 };
        assert!(moved.abs() <= limit, "{what}: sound has moved by {moved} s");
    }
}

/// A folder for the test's files.
pub fn folder() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().to_owned();
    (dir, move |name: &str| path.join(name))
}

/// Mean absolute difference of two pictures of one size, in whole codes of 8 bits.
pub fn mean_difference(a: &image::RgbImage, b: &image::RgbImage) -> u64 {
    let pairs = a.iter().zip(b.iter());
    let sum: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum / a.len() as u64
}
