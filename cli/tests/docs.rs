// SPDX-License-Identifier: MPL-2.0
//! Commands in the documentation: each is run here, or by a test that its block names, or the block says what it needs.
//!
//! A fenced block has a comment in the line above it:
//!
//! ```text
//! <!-- run -->                              here, in a folder with in.mp4, in.mpg and photo.jpg
//! <!-- run, except: stylize live (a camera) -->   all lines but those that begin so
//! <!-- run: cli/tests/live_server.rs -->    by this test
//! <!-- needs: a camera -->                  by nobody here
//! ```
//!
//! Windows and loudspeakers are replaced by `fakesink`, and test pictures end after a few frames.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Languages of blocks without commands.
const PROSE: [&str; 2] = ["mermaid", "text"];

/// Languages of blocks that can be run.
const RUN: [&str; 2] = ["sh", "python"];

const FOLDERS: [&str; 7] = [
    "",
    "docs",
    "models",
    "training",
    "cluster",
    "cli",
    "packaging/python",
];

struct Block {
    /// File and line.
    place: String,
    language: String,
    mark: String,
    lines: Vec<String>,
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the repository")
}

fn blocks() -> Vec<Block> {
    let mut all = Vec::new();
    for folder in FOLDERS {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
        let files = entries.map(|entry| entry.expect("an entry").path());
        for file in files.filter(|file| file.extension().is_some_and(|ending| ending == "md")) {
            let text = std::fs::read_to_string(&file).expect("a page");
            all.extend(read(
                &format!("{folder}/{}", file.file_name().expect("a name").display()),
                &text,
            ));
        }
    }
    all
}

fn read(page: &str, text: &str) -> Vec<Block> {
    let mut all: Vec<Block> = Vec::new();
    let (mut open, mut before) = (false, "");
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (fence, open) {
            (Some(language), false) => {
                open = true;
                let mark = before
                    .trim()
                    .strip_prefix("<!--")
                    .and_then(|mark| mark.strip_suffix("-->"));
                all.push(Block {
                    place: format!("{page}:{}", number + 1),
                    language: language.trim().into(),
                    mark: mark.unwrap_or_default().trim().into(),
                    lines: Vec::new(),
                });
            }
            (Some(_), true) => open = false,
            (None, true) => all.last_mut().expect("open").lines.push(line.into()),
            (None, false) => (),
        }
        before = line;
    }
    assert!(!open, "{page}: a block without an end");
    all
}

#[test]
fn every_block_is_run_or_says_what_it_needs() {
    let mut wrong = String::new();
    let (mut run, mut needs) = (0, 0);
    for block in blocks() {
        if PROSE.contains(&block.language.as_str()) {
            continue;
        }
        let (kind, what) = block.mark.split_once(':').unwrap_or((&block.mark, ""));
        let good = match (kind.trim(), what.trim()) {
            ("run" | "run, except", _) if what.is_empty() || kind != "run" => {
                RUN.contains(&block.language.as_str())
            }
            ("run", file) => {
                file.split('/').any(|part| part == "tests") && root().join(file).is_file()
            }
            ("needs", what) => {
                needs += 1;
                !what.is_empty()
            }
            _ => false,
        };
        run += usize::from(good && kind != "needs");
        if !good {
            writeln!(wrong, "{}: <!-- {} -->", block.place, block.mark).expect("text");
        }
    }
    assert!(
        wrong.is_empty(),
        "no test, and no word on what is needed:\n{wrong}"
    );
    assert!(
        run > 20 && needs > 5,
        "{run} are run, {needs} need something"
    );
}

/// The block's lines as a script: without those left out, without a window, and with an end.
fn script(block: &Block) -> String {
    let left_out = block.mark.strip_prefix("run, except:").unwrap_or_default();
    let left_out: Vec<_> = left_out
        .split(',')
        .map(|text| text.split('(').next().unwrap_or_default().trim())
        .filter(|text| !text.is_empty())
        .collect();
    for prefix in &left_out {
        let there = block.lines.iter().any(|line| line.starts_with(prefix));
        assert!(there, "{}: no line begins with \"{prefix}\"", block.place);
    }
    let lines = block
        .lines
        .iter()
        .filter(|line| !left_out.iter().any(|prefix| line.starts_with(prefix)));
    lines.fold(String::new(), |script, line| {
        let line = line
            .replace("file:///tmp/", "file://$PWD/")
            .replace("autovideosink", "fakesink");
        let line = match line.find("num-buffers") {
            Some(_) => line,
            None => line.replace("videotestsrc", "videotestsrc num-buffers=3"),
        };
        let line = if line.contains("playbin") {
            line + " video-sink=fakesink audio-sink=fakesink"
        } else {
            line
        };
        script + &line + "\n"
    })
}

/// A folder with the files that the commands read, and a folder `plugins` with only this plugin.
fn workshop() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let made = |arguments: &str, file: &str| {
        let arguments = arguments.split_whitespace();
        let made = Command::new("ffmpeg")
            .args([
                "-v",
                "error",
                "-nostdin",
                "-y",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=s=64x48:r=25:d=0.4",
            ])
            .args(arguments)
            .arg(dir.path().join(file))
            .status();
        assert!(made.expect("ffmpeg").success(), "{file}");
    };
    made("-f lavfi -i sine=d=0.4 -pix_fmt yuv420p -c:a aac", "in.mp4");
    made("-c:v mpeg2video -flags +ildct+ilme", "in.mpg");
    made("-frames:v 1", "photo.jpg");
    let plugins = dir.path().join("plugins");
    std::fs::create_dir(&plugins).expect("a folder");
    let built = Path::new(env!("CARGO_BIN_EXE_stylize"))
        .parent()
        .expect("a folder");
    let plugin = built.join("deps/libgststylize.so");
    std::os::unix::fs::symlink(plugin, plugins.join("libgststylize.so")).expect("a link");
    dir
}

#[test]
fn commands_that_say_so_run() {
    let dir = workshop();
    let built = Path::new(env!("CARGO_BIN_EXE_stylize"))
        .parent()
        .expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut count = 0;
    let mut wrong = String::new();
    for block in blocks() {
        if !(block.mark == "run" || block.mark.starts_with("run, except")) {
            continue;
        }
        count += 1;
        let program: &[&str] = match block.language.as_str() {
            // The Python version of Debian's GStreamer packages.
            "python" => &["/usr/bin/python3", "-c"],
            _ => &["bash", "-euo", "pipefail", "-c"],
        };
        let done = Command::new("timeout")
            .arg("300")
            .args(program)
            .arg(script(&block))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .env("PATH", format!("{}:{path}", built.display()))
            .env("GST_PLUGIN_PATH", dir.path().join("plugins"))
            .env("GST_REGISTRY", dir.path().join("registry.bin"))
            .env("REPOSITORY", root())
            .output()
            .expect("bash");
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            writeln!(
                wrong,
                "{}: {}\n{}\n{said}",
                block.place,
                done.status,
                script(&block)
            )
            .expect("text");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 10, "{count} blocks are run");
}
