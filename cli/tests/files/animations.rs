// SPDX-License-Identifier: MPL-2.0
//! Writing and reading animated pictures: frames, timestamps and transparency.

use std::path::Path;
use std::time::Duration;

use image::AnimationDecoder;
use image::codecs::webp::WebPDecoder;

use super::probe::{check, ffmpeg, folder, paint, probe as values, stylize, text, times};

const PICTURE: &str = "-f lavfi -i testsrc2=s=64x48:r=25:d=1";

/// Time of each frame of an animated WebP, s; FFmpeg 5.1 does not read them.
fn webp_times(file: &Path) -> Vec<f64> {
    let file = std::fs::File::open(file).expect("a file");
    let decoder = WebPDecoder::new(std::io::BufReader::new(file)).expect("a WebP");
    let mut at = Duration::ZERO;
    let frames = decoder.into_frames().map(|frame| {
        let begin = at;
        at += Duration::from(frame.expect("a frame").delay());
        begin.as_secs_f64()
    });
    frames.collect()
}

/// The times of all frames match, to half of the format's unit.
#[track_caller]
fn same(from: &[f64], to: &[f64], unit: f64, what: &str) {
    assert_eq!(from.len(), to.len(), "frames of {what}");
    for (before, after) in from.iter().zip(to) {
        let off = (before - from[0]) - (after - to[0]);
        assert!(off.abs() <= unit / 2.0 + 1e-4, "{what}: {off} s off");
    }
}

#[test]
fn animations_have_the_frames_and_times_of_their_source() {
    let (_dir, file) = folder();
    // A frame duration that is not a multiple of any unit, and a variable rate.
    let thirty = "-f lavfi -i testsrc2=s=64x48:r=30:d=1 -f lavfi -i sine=d=1 -pix_fmt yuv420p";
    let changing = format!("{PICTURE} -vf select='gt(mod(n,3),0)' -vsync vfr -pix_fmt yuv420p");
    for (line, from) in [(thirty, "in.mp4"), (&changing, "in.mkv")] {
        let from = file(from);
        ffmpeg(line, &from);
        let shown = times(&from);
        for (to, unit) in [("out.gif", 0.01), ("out.apng", 0.001), ("out.png", 0.001)] {
            let said = paint(&from, &file(to), &["--force"]);
            same(&shown, &times(&file(to)), unit, to);
            assert_eq!(said.contains("audio"), line == thirty, "{to}: {said}");
        }
        let to = file("out.webp");
        let output = stylize(&from, &to).arg("--force").output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", text(&output));
        same(&shown, &webp_times(&to), 0.001, "out.webp");
    }
}

#[test]
fn transparency_is_kept() {
    let (_dir, file) = folder();
    // The left half is transparent, and the right one moves.
    let clear = "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*gte(X,32)'";
    ffmpeg(
        &format!("{PICTURE} -vf {clear} -c:v ffv1 -pix_fmt bgra"),
        &file("in.mkv"),
    );
    let shown = times(&file("in.mkv"));
    for (from, to) in [
        ("in.mkv", "out.gif"),
        ("in.mkv", "out.apng"),
        ("out.gif", "again.apng"),
        ("out.apng", "again.gif"),
    ] {
        paint(&file(from), &file(to), &[]);
        same(&shown, &times(&file(to)), 0.01, to);
        let pixels = file(&format!("{to}.raw"));
        ffmpeg(
            &format!(
                "-i {} -vf format=rgba,select=eq(n\\,5) -frames:v 1 -f rawvideo",
                file(to).display()
            ),
            &pixels,
        );
        let pixels = std::fs::read(pixels).expect("a frame");
        let alpha = |x: usize| pixels[(20 * 64 + x) * 4 + 3];
        assert_eq!((alpha(5), alpha(60)), (0, 255), "{to}");
    }
}

#[test]
fn a_gif_becomes_a_gif() {
    let (_dir, file) = folder();
    ffmpeg("-f lavfi -i testsrc2=s=64x48:r=25:d=2", &file("in.gif"));
    paint(&file("in.gif"), &file("out.gif"), &[]);
    same(
        &times(&file("in.gif")),
        &times(&file("out.gif")),
        0.01,
        "in.gif",
    );
}

#[test]
fn frames_that_players_of_gif_slow_down_are_left_out() {
    let (_dir, file) = folder();
    ffmpeg(
        "-f lavfi -i testsrc2=s=64x48:r=100:d=0.5 -pix_fmt yuv420p",
        &file("in.mp4"),
    );
    let said = paint(&file("in.mp4"), &file("out.gif"), &[]);
    assert!(said.contains("25 frames are left out"), "{said}");
    let shown: Vec<_> = (0..25).map(|n| f64::from(n) / 50.0).collect();
    same(&shown, &times(&file("out.gif")), 0.01, "every second frame");
}

#[test]
fn a_single_picture_stays_one() {
    let (_dir, file) = folder();
    ffmpeg(&format!("{PICTURE} -frames:v 1"), &file("in.png"));
    for (to, begins) in [
        ("out.gif", &b"GIF89a"[..]),
        ("out.apng", b"\x89PNG"),
        ("out.webp", b"RIFF"),
    ] {
        paint(&file("in.png"), &file(to), &[]);
        check(&file(to));
        let bytes = std::fs::read(file(to)).expect("a file");
        assert!(bytes.starts_with(begins), "{to}");
        let animated = [&b"NETSCAPE"[..], b"acTL", b"ANIM"];
        assert!(
            !animated
                .iter()
                .any(|mark| bytes.windows(mark.len()).any(|part| part == *mark)),
            "{to}"
        );
    }
}

#[test]
fn animations_are_read_with_their_times() {
    let (_dir, file) = folder();
    // Short ones, and some with variable durations.
    let short = "-f lavfi -i testsrc2=s=64x48:r=10:d=0.5";
    let changing = format!("{PICTURE} -vf select='gt(mod(n,3),0)' -vsync vfr");
    for (line, from, more) in [
        (short, "short.gif", ""),
        (&changing, "changing.gif", ""),
        (short, "in.png", "-f apng -plays 0"),
        (&changing, "in.apng", "-plays 0"),
        (short, "in.webp", "-loop 0"),
    ] {
        let from = file(from);
        ffmpeg(&format!("{line} {more}"), &from);
        let is_webp = from.extension().is_some_and(|name| name == "webp");
        let shown = if is_webp {
            webp_times(&from)
        } else {
            times(&from)
        };
        assert!(shown.len() > 4, "{}", from.display());
        for (to, unit) in [("out.mp4", 0.001), ("out.gif", 0.01), ("out.apng", 0.001)] {
            paint(&from, &file(to), &["--force"]);
            let what = format!("{} to {to}", from.display());
            same(&shown, &times(&file(to)), unit, &what);
        }
    }
}

#[test]
fn the_last_frame_lasts_as_long_as_it_is_said_to() {
    let (_dir, file) = folder();
    let slow = "-f lavfi -i testsrc2=s=64x48:r=10:d=0.5 -final_delay 150";
    ffmpeg(slow, &file("in.gif"));
    for (encoder, to) in [
        ("h264", "out.mp4"),
        ("hevc", "out.mkv"),
        ("vp9", "out.webm"),
    ] {
        paint(&file("in.gif"), &file(to), &["--encoder", encoder]);
        let seconds = values(&file(to), "-show_entries format=duration");
        assert_eq!(seconds, ["1.900000"], "{to}");
    }
}

#[test]
fn animations_that_are_broken_are_one_sentence() {
    let (dir, file) = folder();
    ffmpeg(&format!("{PICTURE} -f apng"), &file("in.png"));
    ffmpeg(&format!("{PICTURE} -loop 0"), &file("in.webp"));
    ffmpeg(PICTURE, &file("in.gif"));
    // Its header declares a huge size.
    let mut huge = std::fs::read(file("in.gif")).expect("a file");
    huge[6..10].fill(0xff);
    std::fs::write(file("huge.gif"), huge).expect("written");
    for from in ["in.png", "in.webp", "in.gif"] {
        let whole = std::fs::read(file(from)).expect("a file");
        std::fs::write(file(from), &whole[..whole.len() / 2]).expect("written");
    }
    for (from, words) in [
        ("in.png", "cannot be decoded"),
        ("in.webp", "cannot be decoded"),
        ("in.gif", "cannot be decoded"),
        ("huge.gif", "65535x65535 pixels, more than 8K video"),
    ] {
        let output = stylize(&file(from), &file("out.mp4")).output();
        let output = output.expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{from}: {said}");
        assert!(
            said.contains(words) && said.contains(from) && said.lines().count() == 1,
            "{from}: {said}"
        );
    }
    let left = std::fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(left, 4, "something half-written is left");
}

#[cfg(unix)]
#[test]
fn an_interrupted_animation_ends_early() {
    let (_dir, file) = folder();
    let line = "-f lavfi -i testsrc2=s=64x48:r=25:d=200";
    ffmpeg(line, &file("in.gif"));
    let mut command = stylize(&file("in.gif"), &file("out.mkv"));
    command.stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("it runs");
    // Waits until something has been written.
    let begin = std::time::Instant::now();
    while std::fs::metadata(file("out.mkv.part")).map_or(0, |part| part.len()) < 10_000 {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing comes");
        std::thread::sleep(Duration::from_millis(10));
    }
    let sent = std::process::Command::new("kill")
        .args(["-s", "INT", &child.id().to_string()])
        .status();
    assert!(sent.expect("kill").success());
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended));
    let frames = times(&file("out.mkv")).len();
    assert!((1..5000).contains(&frames), "{frames} frames");
}
