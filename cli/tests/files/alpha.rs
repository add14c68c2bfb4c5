// SPDX-License-Identifier: MPL-2.0
//! Alpha in WebM and Matroska: a second stream of VP8 or VP9, in the BlockAdditions of the video's blocks.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::probe::{self, check, compare, ffmpeg, folder, paint, probe as values, stylize, text};

const WIDTH: usize = 96;
const HEIGHT: usize = 64;
/// A disk that moves to the right: opaque, with half transparent surroundings below, transparent ones above.
/// Longer than the distance of key frames.
const DISK: &str = "-f lavfi -i testsrc2=s=96x64:r=25:d=6,format=yuva420p,\
                    geq=lum=p(X\\,Y):cb=cb(X\\,Y):cr=cr(X\\,Y):a=if(lt(hypot(X-20-N/3\\,Y-32)\\,18)\\,255\\,128*gt(Y\\,48)) \
                    -f lavfi -i sine=d=6";
const VP9: &str = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 10 -b:v 0 -c:a libopus";

/// Alpha planes of all frames from a time on, as FFmpeg decodes them.
#[track_caller]
fn alphas(file: &Path, decoder: &str, from: &str) -> Vec<Vec<u8>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-ss", from]);
    command.args(decoder.split_whitespace()).arg("-i").arg(file);
    command.args(["-map", "0:v", "-fps_mode", "passthrough"]);
    command.args(["-vf", "alphaextract,format=gray", "-f", "rawvideo", "-"]);
    let output = command.output().expect("ffmpeg");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", file.display());
    let planes = output.stdout.chunks(WIDTH * HEIGHT);
    planes.map(<[u8]>::to_vec).collect()
}

/// Checks that alpha planes differ by at most 3 codes in the mean, each from that of the same frame.
#[track_caller]
fn alike(wanted: &[Vec<u8>], found: &[Vec<u8>]) {
    assert_eq!(wanted.len(), found.len(), "frames");
    for (n, (a, b)) in wanted.iter().zip(found).enumerate() {
        let sum: usize = a
            .iter()
            .zip(b)
            .map(|(a, b)| usize::from(a.abs_diff(*b)))
            .sum();
        assert!(
            sum <= 3 * WIDTH * HEIGHT,
            "frame {n}: {} codes",
            sum / WIDTH / HEIGHT
        );
    }
}

const WITH_VP9: &str = "-c:v libvpx-vp9";
const WITH_VP8: &str = "-c:v libvpx";

#[test]
fn alpha_is_kept_in_webm() {
    let (_dir, file) = folder();
    let (from, to) = (file("in.webm"), file("out.webm"));
    ffmpeg(&format!("{DISK} {VP9}"), &from);
    let said = paint(&from, &to, &[]);
    assert!(!said.contains("transparent"), "{said}");
    compare(&from, &to);
    let mode = values(
        &to,
        "-select_streams v -show_entries stream_tags=alpha_mode",
    );
    assert_eq!(mode, ["1"]);
    let wanted = alphas(&from, WITH_VP9, "0");
    assert_eq!(wanted.len(), 150);
    alike(&wanted, &alphas(&to, WITH_VP9, "0"));

    // The cues lead to the second key frame, from which both decoders go on.
    let packets = "-select_streams v -read_intervals 5.6%+#1 -show_entries packet=pts_time,flags";
    let first = values(&to, packets).remove(0);
    assert!(first.starts_with("5.1") && first.contains("K_"), "{first}");
    alike(&wanted[141..], &alphas(&to, WITH_VP9, "5.62"));
    let duration = |file: &Path| {
        let seconds = values(file, "-show_entries format=duration").remove(0);
        seconds.parse::<f64>().expect("a duration")
    };
    assert!((duration(&from) - duration(&to)).abs() < 0.05);

    // GStreamer reads it with its alpha, too.
    let again = file("again.mov");
    paint(&to, &again, &["--encoder", "prores"]);
    alike(&wanted, &alphas(&again, "", "0"));
}

#[test]
fn alpha_of_other_sources_is_kept_in_webm_and_matroska() {
    let (_dir, file) = folder();
    let prores = file("in.mov");
    ffmpeg(
        &format!("{DISK} -c:v prores_ks -profile:v 4444 -c:a aac"),
        &prores,
    );
    let wanted = alphas(&prores, "", "0");
    for (to, encoder, decoder) in [
        ("out.webm", "vp8", WITH_VP8),
        ("out.webm", "vp9", WITH_VP9),
        ("out.mkv", "vp9", WITH_VP9),
    ] {
        let to = file(to);
        paint(&prores, &to, &["--force", "--encoder", encoder]);
        compare(&prores, &to);
        alike(&wanted, &alphas(&to, decoder, "0"));
    }
    let animated = file("in.apng");
    ffmpeg(&format!("{DISK} -t 1 -plays 0 -map 0:v"), &animated);
    paint(&animated, &file("apng.webm"), &[]);
    alike(&wanted[..25], &alphas(&file("apng.webm"), WITH_VP9, "0"));
    // MP4 has no place for it.
    let said = paint(&prores, &file("out.mp4"), &["--encoder", "vp9"]);
    assert!(said.contains("transparent is filled"), "{said}");
}

#[test]
fn alpha_is_kept_in_pieces_and_on_standard_output() {
    let (_dir, file) = folder();
    let from = file("in.webm");
    ffmpeg(&format!("{DISK} {VP9}"), &from);
    let wanted = alphas(&from, WITH_VP9, "0");
    let said = paint(&from, &file("pieces.webm"), &["--segments", "2"]);
    assert!(!said.contains("transparent"), "{said}");
    compare(&from, &file("pieces.webm"));
    alike(&wanted, &alphas(&file("pieces.webm"), WITH_VP9, "0"));

    let mut command = stylize(&from, Path::new("-"));
    let output = command
        .args(["--format", "webm"])
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(file("stdout.webm"), &output.stdout).expect("written");
    check(&file("stdout.webm"));
    alike(&wanted, &alphas(&file("stdout.webm"), WITH_VP9, "0"));
}

/// Names in a folder that contain `out`.
fn outputs(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("out")).collect()
}

#[test]
fn an_interrupted_film_with_alpha_is_playable() {
    let (dir, file) = folder();
    let (from, to) = (file("in.mkv"), file("out.webm"));
    ffmpeg(
        "-f lavfi -i color=red@0.5:s=96x64:r=25:d=400,format=yuva420p -c:v ffv1",
        &from,
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_stylize"));
    command.arg(&from).arg(&to).arg("--json");
    command.args(["--execution-provider", "cpu", "--quality", "lite"]);
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let begun = lines.find(|line| {
        let line = line.as_ref().expect("a line");
        line.contains("\"progress\"") && !line.contains("\"frames\":0")
    });
    assert!(begun.is_some(), "it ends before it begins");
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", "INT", &id]).status();
    assert!(sent.expect("kill").success());
    lines.for_each(drop);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert_eq!(outputs(dir.path()), ["out.webm"]);
    check(&to);
    let planes = alphas(&to, WITH_VP9, "0");
    assert!(
        !planes.is_empty() && planes.len() < 10_000,
        "{}",
        planes.len()
    );
    assert_eq!(planes.len(), probe::times(&to).len());
    let half = planes.iter().flatten().all(|alpha| alpha.abs_diff(128) < 6);
    assert!(half, "alpha is another");
}

/// Limits the size of files to 64 KiB, which programs handle like a full disk.
#[test]
fn a_full_disk_leaves_nothing_of_a_film_with_alpha() {
    let (dir, file) = folder();
    ffmpeg(&format!("{DISK} {VP9}"), &file("in.webm"));
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$@\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_stylize"));
    command.arg(file("in.webm")).arg(file("out.webm"));
    command.args(["--quiet", "--crf", "0", "--execution-provider", "cpu"]);
    let output = command.output().expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("error: ") && said.trim().lines().count() == 1,
        "{said}"
    );
    assert!(outputs(dir.path()).is_empty(), "{:?}", outputs(dir.path()));
}
