// SPDX-License-Identifier: MPL-2.0
//! Files as users have them, made by FFmpeg, stylized, and examined by FFmpeg. docs/files.md has the table.

#[path = "files/alpha.rs"]
mod alpha;
#[path = "files/animations.rs"]
mod animations;
#[path = "files/found.rs"]
mod found;
#[path = "files/matrix.rs"]
mod matrix;
#[path = "files/probe.rs"]
mod probe;
#[path = "files/turned.rs"]
mod turned;

use std::path::Path;
use std::time::{Duration, Instant};

use probe::{compare, ffmpeg, folder, paint, probe as values, stylize, text};

const PICTURE: &str = "-f lavfi -i testsrc2=s=64x48:r=25:d=2";

/// Makes a film with these FFmpeg arguments, stylizes it, and compares. Returns the output of the program.
#[track_caller]
fn painted(line: &str, from: &str, to: &str, more: &[&str]) -> (tempfile::TempDir, String) {
    let (dir, file) = folder();
    let (from, to) = (file(from), file(to));
    ffmpeg(line, &from);
    let said = paint(&from, &to, more);
    compare(&from, &to);
    (dir, said)
}

#[test]
fn sound_that_begins_late_begins_late() {
    let late = "-f lavfi -i testsrc2=s=64x48:r=25:d=12 -itsoffset 8 -f lavfi -i sine=d=4 -pix_fmt yuv420p -c:a aac";
    for (from, to) in [
        ("in.mp4", "out.mp4"),
        ("in.mkv", "out.mkv"),
        ("in.ts", "out.webm"),
    ] {
        painted(late, from, to, &[]);
    }
}

#[test]
fn two_sound_tracks_are_kept_with_their_languages() {
    let line = format!(
        "{PICTURE} -f lavfi -i sine=d=2 -f lavfi -i sine=d=0.5 -map 0 -map 1 -map 2 -pix_fmt yuv420p -c:a aac \
         -metadata:s:a:0 language=deu -metadata:s:a:1 language=fra"
    );
    for (from, to) in [
        ("in.mp4", "out.mkv"),
        ("in.mkv", "out.mp4"),
        ("in.ts", "out.mov"),
    ] {
        let (dir, _) = painted(&line, from, to, &[]);
        let languages = values(
            &dir.path().join(to),
            "-select_streams a -show_entries stream_tags=language",
        );
        assert!(
            matches!(languages[0].as_str(), "deu" | "ger")
                && matches!(languages[1].as_str(), "fra" | "fre"),
            "{languages:?}"
        );
    }
}

#[test]
fn pictures_in_a_container_are_video() {
    let cases = [
        ("-c:v mjpeg -pix_fmt yuvj422p", "in.avi"),
        ("-c:v mjpeg -pix_fmt yuvj422p", "in.mov"),
        ("-c:v png", "in.mov"),
        ("-c:v jpeg2000", "in.mov"),
        ("", "in.gif"),
    ];
    for (codec, from) in cases {
        painted(&format!("{PICTURE} {codec}"), from, "out.mp4", &[]);
    }
}

#[test]
fn vp9_of_rgb_pictures_is_written_to_mp4() {
    let line = format!("{PICTURE} -c:v png");
    painted(&line, "in.mov", "out.mp4", &["--encoder", "vp9"]);
}

#[test]
fn frames_that_change_their_size_are_fitted_into_the_first() {
    let (_dir, file) = folder();
    for (name, size) in [("a.ts", "64x48"), ("b.ts", "128x96")] {
        ffmpeg(
            &format!("-f lavfi -i testsrc2=s={size}:r=25:d=1 -pix_fmt yuv420p"),
            &file(name),
        );
    }
    let both = [std::fs::read(file("a.ts")), std::fs::read(file("b.ts"))]
        .map(|read| read.expect("a file"));
    std::fs::write(file("in.ts"), both.concat()).expect("written");
    let said = paint(&file("in.ts"), &file("out.mp4"), &[]);
    assert!(said.contains("128x96 are fitted into 64x48"), "{said}");
    assert_eq!(probe::times(&file("out.mp4")).len(), 50);
}

#[test]
fn interlaced_video_has_all_its_lines() {
    let fields = "-f lavfi -i testsrc2=s=64x48:r=50:d=2 -vf tinterlace=interleave_top,setfield=tff -flags +ildct+ilme";
    let cases = [
        ("-pix_fmt yuv422p10le -c:v prores_ks", "in.mov"),
        ("-c:v mpeg2video -aspect 4:3 -f mpegts", "in.ts"),
    ];
    for (codec, from) in cases {
        let (dir, said) = painted(&format!("{fields} {codec}"), from, "out.mp4", &[]);
        assert!(said.contains("deinterlaced"), "{said}");
        // GStreamer's deinterlacer supports 8 bits only.
        let deep = said.contains("interlaced video of more than 8 bits is painted with 8");
        assert_eq!(deep, from == "in.mov", "{said}");
        let shape = "-select_streams v -show_entries stream=height,display_aspect_ratio";
        assert_eq!(values(&dir.path().join("out.mp4"), shape), ["48,4:3"]);
    }
}

#[test]
fn every_encoder_makes_a_film_that_plays() {
    let line = format!("{PICTURE} -pix_fmt yuv420p");
    let cases = [
        ("h264", "out.mp4", "h264"),
        ("hevc", "out.mp4", "hevc"),
        ("x265enc", "out.mkv", "hevc"),
        ("av1", "out.mkv", "av1"),
        ("vp9", "out.mp4", "vp9"),
        ("vp8", "out.webm", "vp8"),
        ("prores", "out.mov", "prores"),
        ("ffv1", "out.mkv", "ffv1"),
    ];
    for (encoder, to, codec) in cases {
        let (dir, _) = painted(&line, "in.mp4", to, &["--encoder", encoder]);
        let codecs = values(
            &dir.path().join(to),
            "-select_streams v -show_entries stream=codec_name",
        );
        assert_eq!(codecs, [codec]);
    }
}

#[test]
fn one_option_says_the_quality() {
    let (_dir, file) = folder();
    ffmpeg(&format!("{PICTURE} -pix_fmt yuv420p"), &file("in.mp4"));
    for (encoder, to) in [
        ("h264", "out.mp4"),
        ("hevc", "out.mkv"),
        ("av1", "out.mkv"),
        ("vp9", "out.webm"),
    ] {
        let sizes = ["10", "40"].map(|crf| {
            paint(
                &file("in.mp4"),
                &file(to),
                &["--force", "--encoder", encoder, "--crf", crf],
            );
            std::fs::metadata(file(to)).expect("a file").len()
        });
        assert!(sizes[0] > sizes[1] * 3 / 2, "{encoder}: {sizes:?} bytes");
    }
}

#[test]
fn ten_bits_and_alpha_are_kept_where_they_can_be() {
    let ten = format!("{PICTURE} -pix_fmt yuv420p10le -c:v libx265 -x265-params log-level=none");
    let format = |dir: &tempfile::TempDir, name: &str| {
        values(
            &dir.path().join(name),
            "-select_streams v -show_entries stream=pix_fmt",
        )
        .remove(0)
    };
    for (to, encoder) in [
        ("out.mp4", "hevc"),
        ("out.webm", "vp9"),
        ("out.mov", "prores"),
        ("out.mkv", "ffv1"),
    ] {
        let (dir, _) = painted(&ten, "in.mkv", to, &["--encoder", encoder]);
        assert!(
            format(&dir, to).contains("10le"),
            "{encoder}: {}",
            format(&dir, to)
        );
    }
    let (dir, said) = painted(&ten, "in.mkv", "out.mp4", &[]);
    assert!(
        said.contains("gets 8 of the 10 bits") && format(&dir, "out.mp4") == "yuv420p",
        "{said}"
    );

    let alpha = format!("{PICTURE} -vf format=yuva444p10le -c:v prores_ks -profile:v 4444");
    let (dir, _) = painted(&alpha, "in.mov", "out.mov", &["--encoder", "prores"]);
    assert!(
        format(&dir, "out.mov").starts_with("yuva444"),
        "{}",
        format(&dir, "out.mov")
    );
    let (_, said) = painted(&alpha, "in.mov", "out.mp4", &[]);
    assert!(said.contains("transparent is filled"), "{said}");
}

#[test]
fn hdr_becomes_sdr_or_an_error() {
    for curve in ["smpte2084", "arib-std-b67"] {
        let hdr = format!(
            "{PICTURE} -pix_fmt yuv420p10le -c:v libx265 -x265-params log-level=none -color_primaries bt2020 \
             -color_trc {curve} -colorspace bt2020nc"
        );
        let (dir, said) = painted(&hdr, "in.mp4", "out.mp4", &[]);
        assert!(said.contains("HDR is mapped to SDR"), "{said}");
        let out = dir.path().join("out.mp4");
        let curve = values(
            &out,
            "-select_streams v -show_entries stream=color_transfer",
        )
        .remove(0);
        assert!(
            !["smpte2084", "arib-std-b67"].contains(&curve.as_str()),
            "{curve}"
        );
        let from = dir.path().join("in.mp4");
        let refused = stylize(&from, &out)
            .args(["--force", "--hdr", "refuse"])
            .output()
            .expect("it runs");
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        assert!(
            text(&refused).contains("--hdr tone-map"),
            "{}",
            text(&refused)
        );
    }
}

#[test]
fn chapters_titles_rates_and_shapes_are_kept() {
    let (_dir, file) = folder();
    let chapters = ";FFMETADATA1\ntitle=Film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n\
                    [CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\ntitle=Two\n";
    std::fs::write(file("chapters"), chapters).expect("written");
    let from = file("in.mkv");
    ffmpeg(
        &format!(
            "{PICTURE} -i {} -map_metadata 1 -pix_fmt yuv420p",
            file("chapters").display()
        ),
        &from,
    );
    paint(&from, &file("out.mkv"), &[]);
    let titles = values(
        &file("out.mkv"),
        "-show_chapters -show_entries chapter_tags=title",
    );
    let titles: Vec<_> = titles
        .iter()
        .filter_map(|line| line.rsplit(',').next())
        .collect();
    assert_eq!(titles, ["One", "Two"]);
    assert_eq!(
        values(&file("out.mkv"), "-show_entries format_tags=title"),
        ["Film"]
    );
    let said = paint(&from, &file("out.mp4"), &[]);
    assert!(said.contains("chapters are left out"), "{said}");

    painted(
        "-f lavfi -i testsrc2=s=64x48:r=120:d=0.5 -pix_fmt yuv420p",
        "in.mp4",
        "out.mkv",
        &[],
    );
    painted(
        "-f lavfi -i testsrc2=s=64x48:r=30:d=1 -pix_fmt yuv420p",
        "in.mkv",
        "out.mp4",
        &[],
    );
    let anamorphic = format!("{PICTURE} -vf setsar=16/11 -pix_fmt yuv420p");
    for to in ["out.mp4", "out.mkv", "out.webm"] {
        let (dir, _) = painted(&anamorphic, "in.mp4", to, &[]);
        let shape = values(
            &dir.path().join(to),
            "-select_streams v -show_entries stream=sample_aspect_ratio",
        );
        // Matroska stores the display width in whole pixels.
        let known = if to == "out.mp4" { "16:11" } else { "93:64" };
        assert_eq!(shape, [known], "{to}");
    }
}

#[test]
fn failures_are_one_sentence_and_leave_no_output() {
    let (dir, file) = folder();
    ffmpeg("-f lavfi -i sine=d=1", &file("sound.m4a"));
    ffmpeg(&format!("{PICTURE} -pix_fmt yuv420p"), &file("whole.mp4"));
    std::fs::write(file("text.mp4"), "no film").expect("written");
    std::fs::write(file("empty.mp4"), "").expect("written");
    let whole = std::fs::read(file("whole.mp4")).expect("a file");
    std::fs::write(file("cut.mp4"), &whole[..whole.len() / 2]).expect("written");
    for (name, words) in [
        ("sound.m4a", "it has no video"),
        ("text.mp4", "type"),
        ("empty.mp4", ""),
        ("cut.mp4", ""),
        ("missing.mp4", "is not a file"),
    ] {
        let begin = Instant::now();
        let output = stylize(&file(name), &file("out.mp4"))
            .output()
            .expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(
            said.contains(words) && said.contains(name) && said.lines().count() == 1,
            "{name}: {said}"
        );
        assert!(begin.elapsed() < Duration::from_secs(60), "{name}");
    }
    let names = std::fs::read_dir(dir.path()).expect("a folder").flatten();
    let left: Vec<_> = names
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().contains("out"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn pictures_and_folders_of_them() {
    let (_dir, file) = folder();
    let pictures = file("pictures");
    std::fs::create_dir(&pictures).expect("a folder");
    for (name, format) in [("a.jpg", "yuvj444p"), ("b.png", "rgba"), ("c.webp", "bgra")] {
        let line =
            format!("-f lavfi -i testsrc2=s=65x49,format={format} -frames:v 1 -pix_fmt {format}");
        ffmpeg(&line, &pictures.join(name));
    }
    let size = |file: &Path| values(file, "-show_entries stream=codec_name,width,height").remove(0);
    for (from, to, wanted) in [
        ("a.jpg", "a.png", "png,65,49"),
        ("b.png", "b.jpg", "mjpeg,65,49"),
        ("c.webp", "c.webp", "webp,65,49"),
    ] {
        paint(&pictures.join(from), &file(to), &[]);
        assert_eq!(size(&file(to)), wanted);
    }
    let output = stylize(&pictures, &file("paintings"))
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", text(&output));
    for name in ["a.jpg", "b.png", "c.webp"] {
        assert!(
            size(&file("paintings").join(name)).ends_with("65,49"),
            "{name}"
        );
    }
    ffmpeg(&format!("{PICTURE} -pix_fmt yuv420p"), &file("film.mp4"));
    let output = stylize(&file("film.mp4"), &file("film.jpg"))
        .output()
        .expect("it runs");
    assert!(
        text(&output).contains(".jpg holds one frame"),
        "{}",
        text(&output)
    );
}

#[test]
fn standard_input_and_output() {
    let (_dir, file) = folder();
    let line = format!("{PICTURE} -f lavfi -i sine=d=2 -pix_fmt yuv420p -c:a aac");
    ffmpeg(&line, &file("in.mp4"));
    let mut command = stylize(Path::new("-"), Path::new("-"));
    command.args(["--format", "mkv"]);
    command.stdin(std::fs::File::open(file("in.mp4")).expect("a file"));
    let output = command.output().expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(file("out.mkv"), &output.stdout).expect("written");
    probe::check(&file("out.mkv"));
    compare(&file("in.mp4"), &file("out.mkv"));
    let output = stylize(&file("in.mp4"), Path::new("-"))
        .output()
        .expect("it runs");
    assert!(
        output.status.code() == Some(2) && text(&output).contains("--format"),
        "{}",
        text(&output)
    );
}
