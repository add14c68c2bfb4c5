// SPDX-License-Identifier: MPL-2.0
//! All containers with generated sounds and videos. By default each container with each sound and with each video; all
//! combinations with `STYLIZE_MATRIX=all` (`make matrix`).

use super::probe::{check, compare, ffmpeg, folder, stylize, text};

const SOUNDS: [&str; 7] = ["none", "early", "late", "short", "long", "two", "cue"];
const KINDS: [&str; 7] = [
    "progressive",
    "interlaced",
    "10-bit",
    "4:2:2",
    "rotated",
    "odd",
    "vfr",
];
const FROM: [&str; 8] = ["mp4", "mov", "mkv", "webm", "avi", "flv", "ts", "gif"];
const TO: [&str; 4] = ["mp4", "mov", "mkv", "webm"];

/// FFmpeg's arguments; `None` if the container does not support it.
fn line(container: &str, sound: &str, kind: &str, cue: &str) -> Option<String> {
    let audio = match container {
        "webm" => "-c:a libopus",
        "avi" | "flv" => "-c:a libmp3lame -ar 44100",
        _ => "-c:a aac",
    };
    let allows = match (container, sound) {
        ("gif", sound) => sound == "none",
        ("flv", "two" | "cue") | ("avi" | "ts", "cue") => false,
        // In these containers all streams begin together.
        ("avi", "early" | "late") => false,
        _ => true,
    };
    let h264 = matches!(container, "mp4" | "mov" | "mkv" | "ts");
    let codec = match (container, kind) {
        ("gif", "progressive" | "vfr") => "",
        (_, "interlaced") if h264 => "-c:v libx264 -pix_fmt yuv420p -flags +ildct+ilme",
        ("webm", "10-bit") => "-c:v libvpx-vp9 -pix_fmt yuv420p10le",
        (_, "10-bit") if h264 => "-c:v libx264 -pix_fmt yuv420p10le",
        ("webm", "4:2:2") => "-c:v libvpx-vp9 -pix_fmt yuv422p",
        (_, "4:2:2") if h264 => "-c:v libx264 -pix_fmt yuv422p",
        ("mp4" | "mov", "rotated") => "-c:v libx264 -pix_fmt yuv420p -metadata:s:v rotate=90",
        ("webm", "odd") => "-c:v libvpx-vp9 -pix_fmt yuv420p",
        ("mp4" | "mov" | "mkv", "odd") => "-c:v libx264 -pix_fmt yuv444p",
        ("webm", "progressive" | "vfr") => "-c:v libvpx-vp9 -pix_fmt yuv420p",
        ("avi", "progressive") => "-c:v mpeg4 -pix_fmt yuv420p",
        ("flv", "progressive" | "vfr") => "-c:v libx264 -bf 0 -pix_fmt yuv420p",
        (_, "progressive" | "vfr") if h264 => "-c:v libx264 -pix_fmt yuv420p",
        _ => return None,
    };
    let (size, filter) = match kind {
        "odd" => ("65x49", ""),
        "interlaced" => ("64x48", "-vf setfield=tff"),
        "vfr" => ("64x48", "-vf select='gt(mod(n,3),0)' -vsync vfr"),
        _ => ("64x48", ""),
    };
    let input = |offset: &str, length: f64| format!("{offset} -f lavfi -i sine=d={length}");
    let (inputs, maps) = match sound {
        "none" => (String::new(), ""),
        "early" => (input("", 1.2), ""),
        "late" => (input("-itsoffset 0.7", 0.5), ""),
        "short" => (input("", 0.4), ""),
        "long" => (input("", 2.5), ""),
        "two" => (
            format!("{} {}", input("", 1.2), input("", 0.3)),
            "-map 0 -map 1 -map 2",
        ),
        _ => (
            format!("{} -i {cue}", input("", 1.2)),
            "-map 0 -map 1 -map 2",
        ),
    };
    let text = match (sound, container) {
        ("cue", "mp4" | "mov") => "-c:s mov_text",
        ("cue", "webm") => "-c:s webvtt",
        ("cue", _) => "-c:s srt",
        _ => "",
    };
    let late = if sound == "early" {
        "-itsoffset 0.3"
    } else {
        ""
    };
    let picture = format!("{late} -f lavfi -i testsrc2=s={size}:r=25:d=1.2");
    let audio = if sound == "none" { "" } else { audio };
    allows.then(|| format!("{picture} {inputs} {maps} {filter} {codec} {audio} {text}"))
}

#[test]
fn containers_sounds_and_kinds() {
    let all = std::env::var("STYLIZE_MATRIX").is_ok_and(|value| value == "all");
    let (_dir, file) = folder();
    std::fs::write(file("cue.srt"), "1\n00:00:00,300 --> 00:00:00,800\nhello\n").expect("written");
    let cue = file("cue.srt").display().to_string();
    let (mut count, mut bad) = (0, Vec::new());
    for (c, container) in FROM.iter().enumerate() {
        for (s, sound) in SOUNDS.iter().enumerate() {
            for (k, kind) in KINDS.iter().enumerate() {
                // Each container with each sound, and with each kind.
                if !all && ![0, 3].map(|more| (s + c + more) % KINDS.len()).contains(&k) {
                    continue;
                }
                let Some(line) = line(container, sound, kind, &cue) else {
                    continue;
                };
                let from = file(&format!("in.{container}"));
                ffmpeg(&line, &from);
                for (t, to) in TO.iter().enumerate() {
                    if !all && t != (c + s + k) % TO.len() {
                        continue;
                    }
                    count += 1;
                    let to = file(&format!("out.{to}"));
                    let what = format!(
                        "{container} with sound {sound}, {kind}, to {}",
                        to.display()
                    );
                    let begin = std::time::Instant::now();
                    let output = stylize(&from, &to)
                        .arg("--force")
                        .output()
                        .expect("it runs");
                    println!("{what}: {:.1} s", begin.elapsed().as_secs_f64());
                    let compared = std::panic::catch_unwind(|| {
                        assert!(output.status.success(), "{}", text(&output));
                        check(&to);
                        compare(&from, &to);
                    });
                    if compared.is_err() {
                        bad.push(format!("{what}: {line}"));
                    }
                }
            }
        }
    }
    println!("{count} combinations");
    assert!(count >= 40, "{count} combinations");
    assert!(
        bad.is_empty(),
        "{} of {count} are wrong:\n{}",
        bad.len(),
        bad.join("\n")
    );
}
