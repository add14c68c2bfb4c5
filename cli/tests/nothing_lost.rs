// SPDX-License-Identifier: MPL-2.0
//! `stylize paint` does not destroy files of its users: the input is never overwritten, and an incomplete film never
//! replaces a complete one.

#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A film with this number of frames of a test pattern, without sound.
fn film(file: &Path, frames: u32) {
    let made = Command::new("gst-launch-1.0")
        .args(["-q", "videotestsrc", &format!("num-buffers={frames}")])
        .args(["!", "video/x-raw,width=64,height=48,framerate=25/1"])
        .args(["!", "x264enc", "speed-preset=ultrafast", "!", "h264parse"])
        .args(["!", "mp4mux", "!", "filesink"])
        .arg(format!("location={}", file.display()))
        .status();
    assert!(made.expect("gst-launch-1.0").success());
}

fn stylize(from: &str, to: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stylize"));
    command.arg(from).arg(to).args(["--quiet", "--force"]);
    command.args(["--execution-provider", "cpu", "--quality", "lite"]);
    command
}

#[test]
fn a_source_is_never_an_output() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str| dir.path().join(name);
    film(&file("a.mp4"), 5);
    let before = std::fs::read(file("a.mp4")).expect("a film");
    std::os::unix::fs::symlink(file("a.mp4"), file("link.mp4")).expect("a link");
    std::fs::hard_link(file("a.mp4"), file("hard.mp4")).expect("a link");
    // The temporary name of the output.
    std::fs::hard_link(file("a.mp4"), file("b.mp4.part")).expect("a link");
    let path = file("a.mp4").display().to_string();
    let uri = format!("file://{path}");
    for (from, to) in [
        (&path, "a.mp4"),
        (&path, "link.mp4"),
        (&path, "hard.mp4"),
        (&path, "b.mp4"),
        (&uri, "a.mp4"),
    ] {
        let output = stylize(from, &file(to)).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{from} {to}");
        assert!(text.contains("is the input itself"), "{text}");
        let after = std::fs::read(file("a.mp4")).expect("a film");
        assert!(after == before, "{from} {to}: the source is another");
    }
}

#[test]
fn an_interrupted_film_takes_no_whole_one_s_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str| dir.path().join(name);
    film(&file("a.mp4"), 5000);
    let input = file("a.mp4").display().to_string();
    for signal in ["INT", "TERM"] {
        for there in [false, true] {
            let output = file("out.mkv");
            let _ = std::fs::remove_file(&output);
            if there {
                std::fs::write(&output, "a whole film").expect("a file");
            }
            let mut command = stylize(&input, &output);
            let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
            let child = child.expect("it runs");
            // Waits until something has been written.
            let begin = Instant::now();
            let part = file("out.mkv.part");
            while std::fs::metadata(&part).map_or(0, |part| part.len()) < 10_000 {
                assert!(begin.elapsed() < Duration::from_secs(60), "nothing comes");
                std::thread::sleep(Duration::from_millis(10));
            }
            let id = child.id().to_string();
            let sent = Command::new("kill").args(["-s", signal, &id]).status();
            assert!(sent.expect("kill").success());
            let ended = child.wait_with_output().expect("it ends");
            let text = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(130), "{signal}: {text}");
            assert!(
                text.contains("interrupted") && text.contains(" s of the film"),
                "{text}"
            );
            assert!(!part.exists());
            let made = if there {
                file("out.interrupted.mkv")
            } else {
                output.clone()
            };
            assert!(std::fs::metadata(made).expect("a film").len() > 10_000);
            if there {
                let kept = std::fs::read(&output).expect("a file");
                assert_eq!(kept, b"a whole film");
            }
        }
    }
}

/// Limits the size of files to 64 KiB, which programs handle like a full disk.
#[test]
fn a_full_disk_is_one_sentence_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str| dir.path().join(name);
    let name = |path: &Path| path.display().to_string();
    film(&file("a.mp4"), 400);
    let input = name(&file("a.mp4"));
    let short = |words: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$@\"", "sh"]);
        command.arg(env!("CARGO_BIN_EXE_stylize")).args(words);
        command.output().expect("it runs")
    };
    let plan = Command::new(env!("CARGO_BIN_EXE_stylize"))
        .args(["plan", &input, "out.mkv", "--segments", "1"])
        .args(["--encoder", "ffv1", "--execution-provider", "cpu"])
        .output()
        .expect("it runs");
    assert!(plan.status.success(), "{plan:?}");
    std::fs::write(file("plan.json"), plan.stdout).expect("a file");
    let (plan, pieces, out) = (
        name(&file("plan.json")),
        name(&file("pieces")),
        name(&file("out.mkv")),
    );
    let painted = [
        "--encoder",
        "ffv1",
        "--execution-provider",
        "cpu",
        "--quiet",
    ];
    let whole = [&[input.as_str(), out.as_str()], &painted[..]].concat();
    let piece = ["piece", &plan, "0", "--out", &pieces, "--quiet"];
    for words in [&whole[..], &piece[..]] {
        let output = short(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
        assert!(said.starts_with("error: "), "{said}");
    }
    let ran = Command::new(env!("CARGO_BIN_EXE_stylize"))
        .args(piece)
        .status();
    assert!(ran.expect("it runs").success());
    let output = short(&["join", &plan, &pieces, &out, "--quiet"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let left = std::fs::read_dir(dir.path()).expect("a folder").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}: the film, the plan, the pieces");
}

/// Forbids writing to any file: checksums of large films are then computed again instead of cached.
#[test]
fn a_full_disk_at_the_cache_of_checksums_costs_time_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, cache) = (dir.path().join("a.mp4"), dir.path().join("cache"));
    film(&input, 5);
    // Large enough for its checksum to be cached: 9 MiB that players skip.
    const BYTES: u32 = 9 << 20;
    let mut bytes = std::fs::read(&input).expect("a film");
    bytes.extend(BYTES.to_be_bytes());
    bytes.extend(b"free");
    bytes.resize(bytes.len() + BYTES as usize - 8, 0);
    std::fs::write(&input, bytes).expect("a film");
    let plan = |limit: &str| {
        let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$@\"");
        let output = Command::new("sh")
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_stylize"), "plan"])
            .arg(&input)
            .args(["out.mkv", "--segments", "1", "--encoder", "ffv1"])
            .args(["--execution-provider", "cpu", "--quality", "lite"])
            .env("XDG_CACHE_HOME", &cache)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{limit}: {output:?}");
        output.stdout
    };
    let kept = || {
        let folder = std::fs::read_dir(cache.join("stylize/sha256"));
        folder.into_iter().flatten().count()
    };
    let full = plan("0");
    assert_eq!(kept(), 0, "neither a checksum nor a part of one");
    assert_eq!(full, plan("unlimited"));
    assert_eq!(kept(), 1, "it is kept where there is room");
}
