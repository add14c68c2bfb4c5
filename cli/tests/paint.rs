// SPDX-License-Identifier: MPL-2.0
//! `stylize paint` with the real clip: in pieces, interrupted, shared between processes, and
//! on a folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const FRAMES: usize = 132;

/// A program's output, if it is installed and succeeds.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|err| {
        panic!(
            "{:?}: {err}; scripts/setup.sh tests installs it",
            command.get_program()
        )
    });
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// The demo clip in a small size with its original sound, and key frames that are not near a seam.
fn clip(folder: &Path, name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/fetch-clip.sh");
    let clip = text(&run(&mut Command::new(script)));
    let file = folder.join(name);
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-nostdin",
        "-i",
        clip.trim(),
        "-vf",
        "scale=320:180",
    ]);
    command.args([
        "-c:v", "libx264", "-g", "50", "-preset", "veryfast", "-c:a", "copy",
    ]);
    run(command.arg(&file));
    file
}

fn stylize_file(from: &Path, to: &Path) -> Command {
    let generator = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/starry-night.onnx");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stylize"));
    command
        .arg(from)
        .arg(to)
        .arg("--quiet")
        .arg("--model-file")
        .arg(generator);
    command
}

/// All packets of a kind, a line each: stream, times, duration; of sound also size and checksum.
fn packets(file: &Path, kind: &str) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(file);
    command.args([
        "-map",
        &format!("0:{kind}"),
        "-c",
        "copy",
        "-f",
        "framemd5",
        "-",
    ]);
    let said = text(&run(&mut command));
    let columns = if kind == "v" { 4 } else { 6 };
    let lines = said.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split(',').take(columns).collect::<Vec<_>>().join(","));
    fields.collect()
}

/// The same times, the same sound to the byte, and pictures that differ as two encodings do.
#[track_caller]
fn check_same(one: &Path, other: &Path) {
    let video = packets(one, "v");
    assert_eq!(video.len(), FRAMES);
    assert_eq!(packets(other, "v"), video);
    let sound = packets(one, "a");
    assert!(sound.len() > 200, "{} packets of sound", sound.len());
    assert_eq!(packets(other, "a"), sound);
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(one)
        .arg("-i")
        .arg(other);
    let stats = text(&run(command.args([
        "-lavfi",
        "psnr=stats_file=-",
        "-f",
        "null",
        "-",
    ])));
    let psnr = |line: &str| {
        line.split("psnr_avg:")
            .nth(1)?
            .split(' ')
            .next()?
            .parse()
            .ok()
    };
    let all: Vec<f64> = stats.lines().filter_map(psnr).collect();
    let worst = all.iter().copied().fold(f64::MAX, f64::min);
    assert!(
        all.len() == FRAMES && worst > 28.0,
        "{} frames, {worst} dB",
        all.len()
    );
}

fn pieces(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut pieces: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .filter(|path| !path.ends_with("plan.json"))
        .collect();
    pieces.sort();
    pieces
}

#[test]
fn pieces_make_the_same_film_in_every_container() {
    let dir = tempfile::tempdir().expect("a folder");
    let clip = clip(dir.path(), "in.mp4");
    for extension in ["mp4", "mkv", "webm", "ts"] {
        let [one, many] =
            ["one", "many"].map(|name| dir.path().join(format!("{name}.{extension}")));
        run(&mut stylize_file(&clip, &one));
        run(stylize_file(&clip, &many).args(["--segments", "4"]));
        check_same(&one, &many);
        assert!(!dir.path().join(format!("many.{extension}.pieces")).exists());
    }
}

#[test]
fn a_killed_run_goes_on_with_the_pieces_it_has() {
    let dir = tempfile::tempdir().expect("a folder");
    let clip = clip(dir.path(), "in.mp4");
    let [one, many] = ["one.mp4", "many.mp4"].map(|name| dir.path().join(name));
    run(&mut stylize_file(&clip, &one));
    let folder = dir.path().join("many.mp4.pieces");
    let in_pieces = |style: &[&str]| {
        let mut command = stylize_file(&clip, &many);
        command.args(["--segments", "8"]).args(style);
        command
    };
    let mut child = in_pieces(&[]).spawn().expect("it runs");
    let begin = Instant::now();
    while pieces(&folder).is_empty() {
        assert!(
            begin.elapsed() < Duration::from_secs(120),
            "a piece within two minutes"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    let there = pieces(&folder);
    assert!((1..8).contains(&there.len()) && !many.exists(), "{there:?}");

    let refused = in_pieces(&["--strength", "0.5"]).output().expect("it runs");
    assert!(
        !refused.status.success() && text(&refused).contains("other settings"),
        "{refused:?}"
    );
    let said = text(&run(&mut in_pieces(&[])));
    assert!(
        said.contains(&format!("of 8 pieces {} were there", there.len())),
        "{said}"
    );
    check_same(&one, &many);
}

#[test]
fn two_processes_share_a_film() {
    let dir = tempfile::tempdir().expect("a folder");
    let clip = clip(dir.path(), "in.mp4");
    let [one, many] = ["one.mp4", "many.mp4"].map(|name| dir.path().join(name));
    run(&mut stylize_file(&clip, &one));
    let both = [(); 2].map(|()| {
        let mut command = stylize_file(&clip, &many);
        command
            .args(["--segments", "6"])
            .stdout(std::process::Stdio::piped());
        command.spawn().expect("it runs")
    });
    let said = both.map(|child| {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        text(&output)
    });
    assert!(
        said.iter()
            .any(|text| text.contains("is being made elsewhere")),
        "{said:?}"
    );
    let joined = said
        .iter()
        .find(|text| text.contains("of 6 pieces"))
        .expect("one joins");
    let painted: usize = joined
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("frames");
    assert!(painted < FRAMES, "the other painted something: {joined}");
    check_same(&one, &many);
}

#[test]
fn a_folder_is_stylized_despite_failures() {
    let dir = tempfile::tempdir().expect("a folder");
    let [from, to] = ["films", "paintings"].map(|name| dir.path().join(name));
    std::fs::create_dir(&from).expect("a folder");
    clip(&from, "a.mp4");
    std::fs::write(from.join("b.mp4"), "no film").expect("a file");
    std::fs::write(from.join("c.txt"), "a text").expect("a file");
    clip(&from, "d.flv");
    let batch = || {
        let output = stylize_file(&from, &to).output().expect("it runs");
        (output.status.code(), text(&output))
    };
    let (code, said) = batch();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("3 films: 2 painted, 0 there already, 0 elsewhere, 1 failed"),
        "{said}"
    );
    let of = |name: &str| {
        said.lines()
            .find(|line| line.contains(name))
            .unwrap_or_default()
    };
    assert!(
        of("b.mp4").contains("error: ") && of("c.txt").contains("left out"),
        "{said}"
    );
    let places: Vec<_> = ["a.mp4", "b.mp4", "d.flv"]
        .iter()
        .map(|name| said.find(name))
        .collect();
    assert!(
        places.is_sorted() && places[0].is_some(),
        "in their order: {said}"
    );
    for painting in ["a.mp4", "d.mp4"] {
        assert_eq!(packets(&to.join(painting), "v").len(), FRAMES);
    }
    assert!(!to.join("b.mp4").exists() && !to.join("b.mp4.part").exists());

    // An interrupted film is stylized again; an existing one that is too short is reported.
    std::fs::rename(to.join("d.mp4"), to.join("d.mp4.part")).expect("renamed");
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-t", "2", "-i"])
        .arg(from.join("a.mp4"));
    run(command.args(["-c", "copy", "-y"]).arg(to.join("a.mp4")));
    std::fs::remove_file(from.join("b.mp4")).expect("removed");
    let (code, said) = batch();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("2 films: 1 painted, 0 there already, 0 elsewhere, 1 failed"),
        "{said}"
    );
    assert!(said.contains("of 5.3 seconds; remove it"), "{said}");
    std::fs::remove_file(to.join("a.mp4")).expect("removed");
    let (code, said) = batch();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("2 films: 1 painted, 1 there already, 0 elsewhere, 0 failed"),
        "{said}"
    );
}
