// SPDX-License-Identifier: MPL-2.0
//! A player that records a stream without transcoding.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::peers::Peer;

/// Number of frames to record: ten seconds.
pub const FRAMES: u32 = 150;

/// A recording in a folder of its own.
pub struct File {
    pub folder: tempfile::TempDir,
    pub name: &'static str,
}

/// Reads a stream with `ffmpeg` until there are enough frames.
pub fn record(address: &str) -> File {
    let folder = tempfile::tempdir().expect("a folder");
    let name = "recording.mkv";
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-progress",
        "pipe:1",
        "-i",
        address,
        "-c",
        "copy",
    ]);
    command.arg(folder.path().join(name));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Peer::start(&mut command, "ffmpeg");
    let begin = Instant::now();
    let progress = BufReader::new(process.0.stdout.take().expect("a pipe"));
    // Keeps the pipe open, because `ffmpeg` writes to it until it ends.
    let mut lines = progress.lines().map_while(Result::ok);
    let enough = lines.any(|line| {
        assert!(
            begin.elapsed() < Duration::from_secs(120),
            "two minutes: {line}"
        );
        let frames = line
            .strip_prefix("frame=")
            .and_then(|frames| frames.parse().ok());
        frames.is_some_and(|frames: u32| frames >= FRAMES)
    });
    assert!(enough, "{address} ended early");
    process
        .0
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"q")
        .expect("written");
    assert!(process.0.wait().is_ok_and(|status| status.success()));
    File { folder, name }
}
