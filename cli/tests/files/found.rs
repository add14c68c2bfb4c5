// SPDX-License-Identifier: MPL-2.0
//! Files from practice: from a DVD, with a cover, cut without transcoding; and some that cannot be stylized.

use super::probe::{
    compare, ffmpeg, folder, mean_difference, paint, probe as values, stylize, text, times,
};

const PICTURE: &str = "-f lavfi -i testsrc2=s=64x48:r=25:d=2";

#[test]
fn a_dvd_has_all_lines_and_its_shape() {
    let (_dir, file) = folder();
    // 50 fields per second, whose odd lines always differ from the even ones.
    ffmpeg(
        "-f lavfi -i testsrc2=s=720x576:r=50:d=0.4 -f lavfi -i sine=d=0.4 -vf tinterlace=interleave_top,setfield=tff \
         -flags +ildct+ilme -c:v mpeg2video -b:v 8M -aspect 16:9 -c:a ac3 -f vob",
        &file("in.mpg"),
    );
    let said = paint(&file("in.mpg"), &file("out.mp4"), &["--strength", "0"]);
    assert!(
        said.contains("interlaced video is deinterlaced") && said.contains("encoded anew"),
        "{said}"
    );
    let out = file("out.mp4");
    assert_eq!(times(&out).len(), times(&file("in.mpg")).len());
    let shape = "-select_streams v -show_entries stream=height,sample_aspect_ratio,field_order";
    assert_eq!(values(&out, shape), ["576,64:45,progressive"]);
}

#[test]
fn a_cover_is_kept_or_there_is_a_note() {
    let (_dir, file) = folder();
    ffmpeg(&format!("{PICTURE} -frames:v 1"), &file("cover.jpg"));
    let cover = file("cover.jpg").display().to_string();
    let from = file("in.mp4");
    ffmpeg(
        &format!(
            "{PICTURE} -f lavfi -i sine=d=2 -i {cover} -map 0 -map 1 -map 2 -pix_fmt yuv420p -c:a aac \
             -c:v:0 libx264 -c:v:1 mjpeg -disposition:v:1 attached_pic"
        ),
        &from,
    );
    let said = paint(&from, &file("out.mp4"), &[]);
    assert!(!said.contains("cover"), "{said}");
    compare(&from, &file("out.mp4"));
    let attached =
        "-select_streams v:1 -show_entries stream=codec_name:stream_disposition=attached_pic";
    assert_eq!(values(&file("out.mp4"), attached), ["mjpeg,1"]);
    let said = paint(&from, &file("out.mkv"), &[]);
    assert!(said.contains("cover picture is left out"), "{said}");

    // A song with a cover is not a film.
    let song = file("song.m4a");
    ffmpeg(
        &format!(
            "-f lavfi -i sine=d=1 -i {cover} -map 0 -map 1 -c:a aac -c:v mjpeg -disposition:v attached_pic"
        ),
        &song,
    );
    let output = stylize(&song, &file("song.mp4")).output().expect("it runs");
    assert!(
        text(&output).contains("it has no video"),
        "{}",
        text(&output)
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_film_that_was_cut_without_encoding_is_whole() {
    let (_dir, file) = folder();
    let sound = "-f lavfi -i sine=d=6 -pix_fmt yuv420p -g 50 -bf 2 -c:a aac";
    let end = |file: &std::path::Path, kind: &str| -> f64 {
        let frames =
            format!("-select_streams {kind} -show_entries frame=best_effort_timestamp_time");
        let last = values(file, &frames).pop().expect("a frame");
        last.trim_matches(',').parse().expect("seconds")
    };
    for name in ["in.mp4", "in.mov"] {
        let film = file(name);
        let picture = "-f lavfi -i testsrc2=s=64x48:r=25:d=6";
        ffmpeg(&format!("{picture} {sound}"), &film);
        // It begins and ends between key frames. There is a frame at 1.2 s, and the edit begins at 1.21 s.
        for (from, rest) in [("1.2", 0), ("1.21", 1)] {
            let cut = file(&format!("cut-{name}"));
            let line = format!("-ss {from} -t 3 -i {} -c copy", film.display());
            ffmpeg(&line, &cut);
            for to in [file("out.mp4"), file("out.mkv")] {
                paint(&cut, &to, &["--force"]);
                let what = format!("{name} from {from} s to {}", to.display());
                let frames = (times(&cut).len() + rest, times(&to).len());
                assert_eq!(frames.0, frames.1, "{what}");
                for kind in ["v", "a"] {
                    let off = end(&cut, kind) - end(&to, kind);
                    assert!(off.abs() < 0.05, "{what}: {kind} ends {off} s early");
                }
            }
        }
    }
}

#[test]
fn a_cut_film_keeps_its_new_sound() {
    let (_dir, file) = folder();
    ffmpeg(
        "-f lavfi -i testsrc2=s=64x48:r=25:d=20 -pix_fmt yuv420p -g 500",
        &file("film.mp4"),
    );
    // The edit list skips 17 s of the video and nothing of the sound.
    let film = file("film.mp4").display().to_string();
    let line = format!("-ss 17 -i {film} -f lavfi -i sine=d=3 -map 0 -map 1 -c:v copy -c:a aac");
    ffmpeg(&line, &file("in.mp4"));
    paint(&file("in.mp4"), &file("out.mp4"), &[]);
    compare(&file("in.mp4"), &file("out.mp4"));
}

#[test]
fn encrypted_or_without_a_decoder_is_one_sentence() {
    let (_dir, file) = folder();
    let encrypted = format!(
        "{PICTURE} -pix_fmt yuv420p -encryption_scheme cenc-aes-ctr -encryption_key 76a6c65c5ea762046bd749a2e632ccbb \
         -encryption_kid a7e61c373e219033c21091fa607bf3b8"
    );
    ffmpeg(&encrypted, &file("encrypted.mp4"));
    ffmpeg(
        &format!("{PICTURE} -c:v rawvideo -pix_fmt yuv420p -tag:v QZXW"),
        &file("unknown.avi"),
    );
    for (name, words) in [
        ("encrypted.mp4", "it is encrypted"),
        ("unknown.avi", "decoder is installed here"),
    ] {
        let output = stylize(&file(name), &file("out.mp4")).output();
        let output = output.expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(
            said.contains(words) && said.contains(name) && said.lines().count() == 1,
            "{name}: {said}"
        );
        assert!(
            !file("out.mp4").exists() && !file("out.mp4.part").exists(),
            "{name}"
        );
    }
}

/// Every chroma subsampling, as FFmpeg writes it: with unusual sampling factors.
#[test]
fn jpegs_of_every_subsampling_have_their_colours() {
    let (_dir, file) = folder();
    for format in ["yuvj420p", "yuvj422p", "yuvj440p", "yuvj444p", "gray"] {
        let line = format!("-f lavfi -i testsrc2=s=64x48:d=0.04 -frames:v 1 -pix_fmt {format}");
        ffmpeg(&line, &file("in.jpg"));
        paint(
            &file("in.jpg"),
            &file("out.png"),
            &["--force", "--strength", "0"],
        );
        ffmpeg(
            &format!("-i {}", file("in.jpg").display()),
            &file("wanted.png"),
        );
        let [got, wanted] = ["out.png", "wanted.png"].map(|name| {
            let picture = image::open(file(name)).expect("a picture");
            picture.into_rgb8()
        });
        let mean = mean_difference(&got, &wanted);
        // The decoders upsample chroma differently; a wrong subsampling differs by 20.
        assert!(mean < 10, "{format}: {mean} off");
    }
}
