// SPDX-License-Identifier: MPL-2.0
//! The files for packages exist. `make deb`

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The metadata of both packages, as cargo reads it.
fn metadata(package: &str) -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .expect("cargo");
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = all["packages"].as_array().expect("packages");
    let found = packages.iter().find(|found| found["name"] == package);
    found.expect("the package").clone()
}

fn files_like(pattern: &str) -> usize {
    let path = Path::new(pattern);
    let (folder, name) = (
        path.parent().expect("a folder"),
        path.file_name().expect("a name"),
    );
    let (begin, end) = name
        .to_str()
        .expect("UTF-8")
        .split_once('*')
        .expect("a star");
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let names = entries
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_str().expect("UTF-8").to_string());
    names
        .filter(|name| name.starts_with(begin) && name.ends_with(end))
        .count()
}

#[test]
fn files_of_the_debian_package_exist() {
    let package = metadata("stylize-cli");
    let assets = package["metadata"]["deb"]["assets"]
        .as_array()
        .expect("assets")
        .clone();
    let mut there = 0;
    for asset in &assets {
        let source = asset["source"]
            .as_str()
            .or(asset[0].as_str())
            .expect("a source");
        // Made by scripts/stage.sh and cargo.
        if source.contains("target/") {
            continue;
        }
        there += 1;
        let found = match source.contains('*') {
            true => files_like(source) > 0,
            false => Path::new(env!("CARGO_MANIFEST_DIR")).join(source).is_file(),
        };
        assert!(found, "there is no {source}");
    }
    assert!(there > 7, "{there} of {} assets", assets.len());
}

#[test]
fn published_packages_hold_models_and_sources_and_little_else() {
    for (package, needed, most) in [
        (
            "gst-plugin-stylize",
            &[
                "models/gallery-lite.onnx",
                "src/lib.rs",
                "build.rs",
                "LICENSE",
            ][..],
            200,
        ),
        (
            "stylize-cli",
            &["src/main.rs", "src/live/page/index.html"][..],
            120,
        ),
    ] {
        let output = Command::new(env!("CARGO"))
            .args([
                "package",
                "--list",
                "--allow-dirty",
                "--offline",
                "-p",
                package,
            ])
            .current_dir(root())
            .output()
            .expect("cargo");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let list = String::from_utf8(output.stdout).expect("UTF-8");
        let files: Vec<_> = list.lines().collect();
        for needed in needed {
            assert!(files.contains(needed), "{package} has no {needed}");
        }
        assert!(files.len() <= most, "{package} has {} files", files.len());
        for folder in ["tests/", "training/", "docs/", "target/"] {
            assert!(
                !files.iter().any(|file| file.starts_with(folder)),
                "{package} has {folder}"
            );
        }
    }
}

#[test]
fn the_python_package_says_where_the_plugin_lies() {
    let folder = root().join("packaging/python");
    let output = Command::new("python3")
        .args(["-m", "gst_plugin_stylize", "--path"])
        .env("PYTHONPATH", &folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("Python");
    let path = String::from_utf8(output.stdout).expect("UTF-8");
    let wanted = folder.canonicalize().expect("a folder");
    let wanted = wanted.join("gst_plugin_stylize/gstreamer-1.0");
    let found = Path::new(path.trim())
        .parent()
        .and_then(|path| path.canonicalize().ok());
    assert_eq!(found.as_deref(), wanted.parent(), "{path}");
    let registered = "import os, gst_plugin_stylize as p; p.register(); p.register(); print(os.environ['GST_PLUGIN_PATH'])";
    let output = Command::new("python3")
        .args(["-c", registered])
        .env("PYTHONPATH", &folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("GST_PLUGIN_PATH", "/elsewhere")
        .output()
        .expect("Python");
    let paths = String::from_utf8(output.stdout).expect("UTF-8");
    let paths: Vec<_> = paths.trim().split(':').collect();
    assert_eq!(paths.len(), 2, "{paths:?}");
    assert!(paths[0].ends_with("gst_plugin_stylize/gstreamer-1.0") && paths[1] == "/elsewhere");
}
