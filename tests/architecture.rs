// SPDX-License-Identifier: MPL-2.0
//! The module map holds: imports run one way, only `engine` names ONNX Runtime, files stay short.

use std::path::{Path, PathBuf};

/// Which rooms of `src/` may name which others.
const MAY_IMPORT: [(&str, &[&str]); 5] = [
    ("stylize", &["gallery", "engine", "graph", "model"]),
    ("engine", &["model"]),
    ("graph", &["model"]),
    ("gallery", &["model"]),
    ("model", &[]),
];

const MAX_LINES: usize = 500;

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file up to its unit tests, without comments.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("a source file");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

/// Words that follow `prefix` in the code, such as `engine` in `crate::engine::Session`.
fn named_after(code: &str, prefix: &str) -> Vec<String> {
    code.split(prefix)
        .skip(1)
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            rest[..end.unwrap_or(rest.len())].to_string()
        })
        .collect()
}

#[test]
fn imports_run_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for (room, allowed) in MAY_IMPORT {
        for file in sources(&src.join(room)) {
            let code = code(&file);
            assert!(
                !code.contains("crate::{"),
                "{file:?}: write one `use` per room"
            );
            for other in named_after(&code, "crate::") {
                seen += 1;
                assert!(
                    other == room || allowed.contains(&other.as_str()),
                    "{file:?}: {room} may not import {other}"
                );
            }
        }
    }
    assert!(seen > 20, "the test reads the imports");
}

#[test]
fn every_room_is_on_the_map() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(src).expect("src").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let known = MAY_IMPORT.iter().any(|(room, _)| *room == name);
        assert!(known || name == "lib.rs", "{name} is not on the module map");
    }
}

#[test]
fn only_the_engine_names_onnx_runtime() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&src) {
        let in_engine = file.starts_with(src.join("engine"));
        // As a word of its own, unlike the end of `report::`.
        let names = format!(" {}", code(&file))
            .split("ort::")
            .collect::<Vec<_>>()
            .split_last()
            .is_some_and(|(_, before)| {
                before
                    .iter()
                    .any(|text| !text.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
            });
        assert!(in_engine || !names, "{file:?} names ort");
    }
}

#[test]
fn files_are_short_and_do_not_unwrap() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for dir in ["src", "tests", "benches", "examples"] {
        for file in sources(&root.join(dir)) {
            let lines = std::fs::read_to_string(&file)
                .expect("text")
                .lines()
                .count();
            assert!(lines <= MAX_LINES, "{file:?} has {lines} lines");
        }
    }
    for file in sources(&root.join("src")) {
        let code = code(&file);
        assert!(!code.contains(".unwrap()"), "{file:?} unwraps");
        // Pad templates are static tables.
        let allowed = usize::from(file.ends_with("stylize/imp.rs"));
        assert!(
            code.matches(".expect(").count() <= allowed,
            "{file:?} expects"
        );
    }
}
