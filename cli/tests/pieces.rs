// SPDX-License-Identifier: MPL-2.0
//! `stylize plan`, `piece` and `join`: the joined pieces are the film that a single run makes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const FRAMES: usize = 300;

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let said = text(&output);
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).to_string() + &String::from_utf8_lossy(err)
}

/// Standard error of a command that must fail with exit code 1 or 2.
fn refused(command: &mut Command, code: i32) -> String {
    let output = command.output().expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    assert_eq!(said.trim().lines().count(), 1, "one sentence: {said}");
    said
}

fn stylize(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stylize"));
    command.args(words);
    command
}

/// A film with moving and still parts, sound, and key frames that are not near a cut.
fn film(folder: &Path) -> PathBuf {
    film_of(folder, "in.mp4", 12)
}

/// In Matroska the sound begins before the video, whose packets come first in the file.
fn film_of(folder: &Path, name: &str, seconds: u32) -> PathBuf {
    let file = folder.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i"]);
    command.arg(format!("testsrc2=s=160x96:r=25:d={seconds}"));
    command.args(["-f", "lavfi", "-i", &format!("sine=d={seconds}")]);
    command.args(["-pix_fmt", "yuv420p", "-g", "70"]);
    command.args(["-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac"]);
    run(command.arg(&file));
    file
}

/// Timestamps of all packets; for sound also checksums.
fn packets(file: &Path) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(file);
    let said = run(command.args(["-map", "0", "-c", "copy", "-f", "framemd5", "-"]));
    let lines = said.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let columns = if line.starts_with('0') { 4 } else { 6 };
            line.split(',').take(columns).collect::<Vec<_>>().join(",")
        })
        .collect()
}

/// PSNR in dB of the frame that differs most, and the number of frames.
fn worst(one: &Path, other: &Path) -> (f64, usize) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(one);
    command.arg("-i").arg(other);
    let said = run(command.args(["-lavfi", "psnr=stats_file=-", "-f", "null", "-"]));
    let psnr = |line: &str| {
        let value = line.split("psnr_avg:").nth(1)?.split(' ').next()?;
        Some(value.parse().unwrap_or(f64::INFINITY))
    };
    let all: Vec<f64> = said.lines().filter_map(psnr).collect();
    (all.iter().copied().fold(f64::INFINITY, f64::min), all.len())
}

/// A plan, written to a file.
fn plan(folder: &Path, words: &[&str]) -> (PathBuf, Value) {
    let text = run(stylize(&["plan"]).args(words));
    let file = folder.join("plan.json");
    std::fs::write(&file, &text).expect("written");
    (file, serde_json::from_str(&text).expect("JSON"))
}

fn name(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn stability_playlists_and_transitions_cross_the_cuts() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let films = ["in.mp4", "in.mkv"].map(|name| film_of(dir.path(), name, 12));
    let list = path("list.txt");
    std::fs::write(
        &list,
        "0 great-wave\n2.5 scream 2\n7.0 starry-night:0.5,udnie:0.5 1\n",
    )
    .expect("written");
    let playlist = format!("playlist={}", name(&list));
    for (film, properties) in [
        (&films[0], vec!["stability=0.8"]),
        (&films[0], vec!["stability=0.5", &playlist]),
        (&films[1], vec!["stability=0.5", &playlist]),
    ] {
        let (one, many) = (path("one.mkv"), path("many.mkv"));
        let lossless = ["--encoder", "ffv1", "--force"];
        let mut command = stylize(&[name(film), name(&one), "--quiet"]);
        run(command.args(lossless).arg("--").args(&properties));
        let mut words = vec![
            name(film),
            name(&many),
            "--segments",
            "5",
            "--encoder",
            "ffv1",
            "--",
        ];
        words.extend(&properties);
        let (plan, document) = plan(dir.path(), &words);
        let pieces = path("pieces");
        let count = document["pieces"].as_array().expect("pieces").len();
        assert_eq!(count, 5);
        // In any order.
        for piece in (0..count).rev() {
            let piece = piece.to_string();
            run(&mut stylize(&[
                "piece",
                name(&plan),
                &piece,
                "--quiet",
                "--out",
                name(&pieces),
            ]));
        }
        run(&mut stylize(&[
            "join",
            name(&plan),
            name(&pieces),
            name(&many),
            "--force",
        ]));
        let (psnr, frames) = worst(&one, &many);
        assert!(
            frames == FRAMES && psnr >= 50.0,
            "{properties:?}: {psnr} dB in {frames} frames"
        );
        assert_eq!(packets(&one), packets(&many), "{properties:?}");
        // The timestamps of the film's first frames are kept.
        let times = |file: &Path| -> Vec<String> {
            let mut command = Command::new("ffprobe");
            command.args(["-v", "error", "-select_streams", "v"]);
            command.args(["-show_entries", "frame=pts_time", "-of", "csv=p=0"]);
            let said = run(command.arg(file));
            let lines = said.lines().map(|line| line.trim_end_matches(','));
            let lines = lines.filter(|line| !line.is_empty());
            lines.map(String::from).collect()
        };
        let first = |file: &Path| times(file)[..3].join(" ");
        assert_eq!(first(film), first(&one), "{film:?}");
        std::fs::remove_dir_all(&pieces).expect("removed");
    }
}

/// The output does not depend on the number of cores.
#[test]
fn every_encoder_makes_the_same_on_other_machines() {
    let dir = tempfile::tempdir().expect("a folder");
    let film = film_of(dir.path(), "in.mp4", 2);
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .expect("cores");
    let core = allowed.trim().split([',', '-']).next().expect("a core");
    let mut tried = 0;
    for (element, container) in [
        ("x264enc", "mp4"),
        ("openh264enc", "mp4"),
        ("x265enc", "mkv"),
        ("av1enc", "mkv"),
        ("svtav1enc", "mkv"),
        ("vp9enc", "webm"),
        ("vp8enc", "webm"),
        ("avenc_prores_ks", "mov"),
        ("avenc_ffv1", "mkv"),
    ] {
        let there = Command::new("gst-inspect-1.0")
            .args(["--exists", element])
            .status();
        if !there.expect("gst-inspect-1.0").success() {
            println!("{element} is not here");
            continue;
        }
        tried += 1;
        for rate in [None, Some("--bitrate=300")] {
            let output = format!("painted.{container}");
            let mut words = vec![name(&film), &output, "--segments=1", "--encoder", element];
            if container == "mov" || element == "avenc_ffv1" {
                // These encoders have no such setting.
                if rate.is_some() {
                    continue;
                }
            }
            words.extend(rate);
            words.extend(["--", "strength=0.5"]);
            let (plan, _) = plan(dir.path(), &words);
            let painted = [vec!["taskset", "-c", core], vec!["env"]].map(|before| {
                let (pieces, output) = (dir.path().join("pieces"), dir.path().join(&output));
                let mut command = Command::new(before[0]);
                command
                    .args(&before[1..])
                    .arg(env!("CARGO_BIN_EXE_stylize"));
                // A provider may round differently with another number of threads.
                command.args(["piece", name(&plan), "0", "--threads=1", "--quiet"]);
                run(command.arg("--out").arg(&pieces));
                let (pieces, output) = (name(&pieces), name(&output));
                run(&mut stylize(&[
                    "join",
                    name(&plan),
                    pieces,
                    output,
                    "--force",
                ]));
                std::fs::remove_dir_all(pieces).expect("removed");
                let mut command = Command::new("ffmpeg");
                command.args(["-v", "error", "-nostdin", "-i", output]);
                command.args(["-map", "0:v", "-c", "copy", "-f", "framemd5", "-"]);
                let said = run(&mut command);
                let packets = said.lines().filter(|line| !line.starts_with('#'));
                packets.map(String::from).collect::<Vec<_>>()
            });
            assert_eq!(painted[0].len(), 50, "{element}");
            assert!(painted[0] == painted[1], "{element} {rate:?}");
        }
    }
    assert!(tried > 0);
}

#[test]
fn each_command_does_what_is_left_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let film = film(dir.path());
    let (out, pieces) = (path("out.mp4"), path("pieces"));
    let (file, document) = plan(dir.path(), &[name(&film), "--seconds", "4", "--key-frames"]);
    let (again, _) = plan(dir.path(), &[name(&film), "--seconds", "4", "--key-frames"]);
    assert_eq!(std::fs::read(&again).ok(), std::fs::read(&file).ok());
    for part in ["quality", "provider", "precision"] {
        assert_ne!(document[part], "auto", "{part}");
    }
    // The key frame at 5.6 s is frame 140, the one at 8.4 s frame 210.
    let starts: Vec<_> = document["pieces"]
        .as_array()
        .expect("pieces")
        .iter()
        .collect();
    let starts: Vec<_> = starts.iter().map(|piece| piece["start"].as_u64()).collect();
    assert_eq!(starts, [Some(0), Some(5_580_000_000), Some(8_380_000_000)]);

    let piece = |number: &str| stylize(&["piece", name(&file), number, "--out", name(&pieces)]);
    let join = || stylize(&["join", name(&file), name(&pieces), name(&out)]);
    assert!(run(&mut piece("0")).contains("piece 0 is painted: 140 frames"));
    assert!(run(&mut piece("0")).contains("piece 0 is there already"));
    let said = refused(&mut join(), 1);
    assert!(
        said.contains("2 of 3 pieces are missing") && said.contains(": 1, 2;"),
        "{said}"
    );
    assert!(refused(&mut piece("3"), 2).contains("there is no piece 3; the plan has 0 to 2"));
    run(&mut piece("1"));
    run(&mut piece("2"));

    // A piece with other content is stylized again.
    let gdp = |number: &str| {
        let entries = std::fs::read_dir(&pieces).expect("a folder").flatten();
        let mut paths = entries.map(|entry| entry.path());
        let found = paths.find(|path| {
            let name = name(path.file_name().expect("a name").as_ref()).to_string();
            name.starts_with(number) && name.ends_with(".gdp")
        });
        found.expect("a piece")
    };
    let mut bytes = std::fs::read(gdp("00001")).expect("read");
    bytes[100] ^= 1;
    std::fs::write(gdp("00001"), bytes).expect("written");
    assert!(refused(&mut join(), 1).contains("1 of 3 pieces are missing or damaged"));
    assert!(run(&mut piece("1")).contains("piece 1 is painted"));

    assert!(run(&mut join()).contains("300 frames of 3 pieces"));
    assert!(run(&mut join()).contains("is there already"));
    std::fs::write(&out, "another film").expect("written");
    assert!(refused(&mut join(), 1).contains("exists; say --force"));
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .expect("a folder")
        .flatten()
        .collect();
    assert!(
        left.iter()
            .all(|entry| !name(&entry.path()).ends_with(".part")),
        "{left:?}"
    );
}

/// The built-in generator as PyTorch's exporter writes one: its weights in a file beside it.
fn with_external_weights(folder: &Path) -> (PathBuf, PathBuf) {
    use gststylize::onnx::{Message, ModelProto, StringStringEntryProto, tensor_proto};
    let (file, data) = (folder.join("m.onnx"), folder.join("m.onnx.data"));
    let mut model = ModelProto::decode(gststylize::gallery::LITE.onnx).expect("a model");
    let mut weights = Vec::new();
    let graph = model.graph.as_mut().expect("a graph");
    for tensor in &mut graph.initializer {
        // Small tensors such as shapes stay in the model, as the exporter leaves them.
        if tensor.raw_data.len() < 1024 {
            continue;
        }
        let entries = [
            ("location", "m.onnx.data".to_string()),
            ("offset", weights.len().to_string()),
            ("length", tensor.raw_data.len().to_string()),
        ];
        let entry = |(key, value): (&str, String)| StringStringEntryProto {
            key: key.into(),
            value,
        };
        weights.extend_from_slice(&std::mem::take(&mut tensor.raw_data));
        tensor.external_data = entries.map(entry).into();
        tensor.data_location = tensor_proto::DataLocation::External.into();
    }
    assert!(weights.len() > 100_000, "{} bytes", weights.len());
    std::fs::write(&file, model.encode_to_vec()).expect("written");
    std::fs::write(&data, weights).expect("written");
    (file, data)
}

#[test]
fn a_generator_s_weights_in_another_file_belong_to_the_plan() {
    let dir = tempfile::tempdir().expect("a folder");
    let film = film_of(dir.path(), "in.mp4", 1);
    let (model, data) = with_external_weights(dir.path());
    let model = format!("model-file={}", name(&model));
    let words = [name(&film), "--segments", "2", "--", &model];
    let (file, _) = plan(dir.path(), &words);
    let pieces = dir.path().join("pieces");
    let piece = |number: &str| {
        let out = ["--quiet", "--out", name(&pieces)];
        let mut command = stylize(&["piece", name(&file), number]);
        command.args(out);
        command
    };
    run(&mut piece("0"));
    let whole = std::fs::read(&data).expect("read");
    let mut other = whole.clone();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    std::fs::write(&data, other).expect("written");
    let said = refused(&mut piece("1"), 1);
    assert!(
        said.contains("no file here is the plan's generator"),
        "{said}"
    );
    std::fs::write(&data, whole).expect("written");
    run(&mut piece("1"));
}

#[test]
fn a_machine_that_cannot_keep_to_a_plan_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let input = film(dir.path());
    let (file, document) = plan(dir.path(), &[name(&input), "--segments", "3"]);
    let pieces = path("pieces");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = document.clone();
        change(&mut document);
        std::fs::write(&file, document.to_string()).expect("written");
        let mut command = stylize(&["piece", name(&file), "1", "--quiet", "--out", name(&pieces)]);
        refused(&mut command, 1)
    };
    let said = with(&|plan| plan["provider"] = "dml".into());
    assert!(
        said.contains("piece 1 cannot be painted here") && said.contains("on dml in"),
        "{said}"
    );
    let said = with(&|plan| plan["provider"] = "none".into());
    assert!(
        said.contains("this machine cannot keep to the plan"),
        "{said}"
    );
    let said = with(&|plan| plan["generator"]["sha256"] = "0".into());
    assert!(
        said.contains("this program's gallery-lite is not the plan's"),
        "{said}"
    );
    let said = with(&|plan| plan["program"] = "9.9.9".into());
    assert!(said.contains("made by stylize 9.9.9"), "{said}");
    let said = with(&|plan| plan["properties"]["runtime-library"] = "/tmp/x.so".into());
    assert!(said.contains("runtime-library is not for a plan"), "{said}");
    let said = with(&|plan| plan["encoder"]["element"] = "fakesink ! filesink".into());
    assert!(said.contains("there is no such encoder"), "{said}");
    let said = with(&|plan| plan["pieces"][1]["start"] = 5.into());
    assert!(said.contains("piece 1 does not follow"), "{said}");
    let left: Vec<_> = std::fs::read_dir(&pieces).into_iter().flatten().collect();
    assert!(left.is_empty(), "{left:?} is left behind");

    // The input is in another folder, under another name.
    let moved = path("moved");
    std::fs::create_dir(&moved).expect("a folder");
    std::fs::rename(&input, moved.join("film.mp4")).expect("moved");
    let said = with(&|_| ());
    assert!(said.contains("no file here is the plan's"), "{said}");
    let out = name(&pieces);
    let mut command = stylize(&[
        "piece",
        name(&file),
        "1",
        "--out",
        out,
        "--input",
        name(&moved),
    ]);
    assert!(run(&mut command).contains("piece 1 is painted"));

    for (property, why) in [
        ("adapt=resolution", "a machine's speed"),
        ("interval=3", "which frame"),
        ("stability=1", "for too long"),
    ] {
        let film = moved.join("film.mp4");
        let output = stylize(&["plan", name(&film), "--", property])
            .output()
            .expect("it runs");
        assert!(
            !output.status.success() && text(&output).contains(why),
            "{output:?}"
        );
    }
}
