// SPDX-License-Identifier: MPL-2.0
//! The command line: exit codes, progress for programs, and the files that packages install.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn stylize(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stylize"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    stylize(arguments).output().expect("it runs")
}

fn film(file: &Path, seconds: f64) {
    let source = format!("testsrc2=s=64x48:r=25:d={seconds}");
    let made = Command::new("ffmpeg")
        .args([
            "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p",
        ])
        .arg(file)
        .status();
    assert!(made.expect("ffmpeg").success());
}

#[test]
fn wrong_arguments_end_with_2_before_anything_starts() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("in.mp4");
    film(&file, 1.0);
    let (file, out) = (file.to_str().expect("UTF-8"), dir.path().join("out.mp4"));
    let out = out.to_str().expect("UTF-8");
    let cases: [(&[&str], &str); 11] = [
        (&[file], "required"),
        (&[file, out, "--nonsense"], "--nonsense"),
        (&[file, "out.xyz"], "the extension says the container"),
        (&[file, out, "--", "stabilty=1"], "stability is one"),
        (&[file, out, "--", "stability=2"], "stability=2"),
        (&[file, out, "--", "stability"], "property=value"),
        (&[file, out, "--strength", "1.5"], "strength=1.5"),
        (&[file, out, "--quality", "great"], "use one of auto"),
        (
            &[file, out, "--encoder", "nothing"],
            "there is no such encoder",
        ),
        (&[file, out, "--encoder", "ffv1"], ".mp4 does not hold ffv1"),
        (
            &[file, "out.mov", "--encoder", "prores", "--crf", "20"],
            "--crf",
        ),
    ];
    for (arguments, words) in cases {
        let output = run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert!(!Path::new(out).exists());
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    assert_eq!(run(&["nothere.mp4", out]).status.code(), Some(1));
}

#[test]
fn programs_get_a_json_object_a_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("in.mp4");
    film(&file, 20.0);
    let out = dir.path().join("out.mp4");
    let arguments = [file.to_str(), out.to_str()].map(|path| path.expect("UTF-8"));
    let mut command = stylize(&arguments);
    let output = command
        .args(["--json", "--quality", "lite"])
        .output()
        .expect("it runs");
    assert!(output.status.success());
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let objects: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let last = objects.last().expect("a line");
    assert_eq!(
        (last["event"].as_str(), last["frames"].as_u64()),
        (Some("done"), Some(500))
    );
    assert!(
        objects
            .iter()
            .filter(|object| object["event"] == "progress")
            .all(|object| object["frames"].is_u64())
    );
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let object: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(
        object["event"] == "error"
            && object["message"]
                .as_str()
                .is_some_and(|text| text.contains("--force"))
    );
}

#[test]
fn packages_get_man_pages_and_completions() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = run(&["install", dir.path().to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{output:?}");
    let read =
        |name: &str| std::fs::read_to_string(dir.path().join("share").join(name)).expect(name);
    // Hyphens are escaped in man pages.
    assert!(read("man/man1/stylize.1").contains("encoder"));
    assert!(
        read("man/man1/stylize-live.1").contains("--listen")
            || read("man/man1/stylize-live.1").contains("listen")
    );
    assert!(read("bash-completion/completions/stylize").contains("restream"));
    assert!(read("zsh/vendor-completions/_stylize").contains("restream"));
    assert!(read("fish/vendor_completions.d/stylize.fish").contains("restream"));
}

#[test]
fn styles_models_and_speeds_are_told() {
    let output = run(&["styles"]);
    let styles = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        styles.lines().count() >= 17 && styles.contains("great-wave"),
        "{styles}"
    );
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/starry-night.onnx");
    let output = run(&["info", model.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("signature: ") && said.contains("styles: starry-night"),
        "{said}"
    );
    let output = run(&[
        "bench",
        "--size",
        "64x48",
        "--seconds",
        "0.2",
        "--",
        "execution-provider=cpu",
    ]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("| 64x48 | ") && said.contains("| cpu |"),
        "{said}"
    );
}

#[test]
fn a_sheet_takes_the_place_of_no_picture_and_is_complete_or_not_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str| dir.path().join(name);
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/frame.png");
    std::fs::copy(picture, file("photo.png")).expect("a picture");
    std::fs::write(file("broken.png"), "no picture").expect("a file");
    std::fs::write(file("sheet.png"), "an older sheet").expect("a file");
    let sheet = |picture: &str, sheet: &str| {
        let mut command = stylize(&["styles"]);
        command.arg(file(picture)).arg("--sheet").arg(file(sheet));
        command.output().expect("it runs")
    };
    let before = std::fs::read(file("photo.png")).expect("a picture");
    let output = sheet("photo.png", "photo.png");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is the input itself"));
    assert_eq!(std::fs::read(file("photo.png")).expect("a picture"), before);
    let output = sheet("broken.png", "sheet.png");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let kept = std::fs::read_to_string(file("sheet.png")).expect("a file");
    assert_eq!(kept, "an older sheet");
    let left = std::fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(left, 3, "nothing is left over");
}

/// A film that is shorter than the clip is repeated, without a gap at the seams.
#[test]
fn a_short_film_is_repeated_without_a_gap() {
    let dir = tempfile::tempdir().expect("a folder");
    let (short, clip) = (dir.path().join("in.mp4"), dir.path().join("clip.mp4"));
    film(&short, 1.32);
    let output = stylize(&["styles", "--seconds", "3", "--film"])
        .arg(&short)
        .arg("--clip")
        .arg(&clip)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-of", "csv=p=0"])
        .args(["-show_entries", "packet=pts_time"])
        .arg(&clip)
        .output()
        .expect("ffprobe");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let times = said.lines().map(|line| line.trim_end_matches(','));
    let mut times: Vec<f64> = times.filter_map(|time| time.parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    assert_eq!(times.len(), 75, "{said}");
    for (number, time) in times.iter().enumerate() {
        // A seam may move the frames after it by one.
        let off = (time - number as f64 / 25.0).abs();
        assert!(off < 0.05, "frame {number} at {time}");
    }
}

/// Programs that start the server wait for this line on standard output.
#[test]
fn a_live_server_says_where_it_is() {
    let mut child = stylize(&[
        "live",
        "--listen",
        "127.0.0.1:0",
        "--width",
        "64",
        "--height",
        "48",
    ])
    .stdout(Stdio::piped())
    .spawn()
    .expect("it runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("a line");
    // Fails only if the process has ended already.
    let _ = child.kill();
    let _ = child.wait();
    assert!(line.starts_with("listening on http://127.0.0.1:"), "{line}");
}
