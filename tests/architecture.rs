// SPDX-License-Identifier: MPL-2.0
//! Checks the architecture: direction of imports, no circular imports (also between a `mod.rs` and its children), ONNX
//! Runtime used by `engine` only, length of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folders of `src/`, and the folders that each may import.
const MAY_IMPORT: [(&str, &[&str]); 9] = [
    (
        "stylize",
        &[
            "gallery", "engine", "graph", "model", "files", "numbers", "planes",
        ],
    ),
    ("engine", &["model", "onnx", "files"]),
    ("graph", &["model", "onnx"]),
    ("gallery", &["model", "files", "numbers"]),
    ("model", &["onnx", "files"]),
    ("onnx", &[]),
    ("files", &[]),
    ("numbers", &[]),
    ("planes", &[]),
];

/// Folders within a folder, from the top layer down: each may import those below it, and all may import the files
/// beside them.
const FLOORS: [(&str, &[&str]); 3] = [
    (
        "stylize",
        &[
            "imp",
            "generator",
            "adapt",
            "stats",
            "stream",
            "mask",
            "style",
        ],
    ),
    (
        "graph",
        &[
            "compile", "ends", "effect", "frame", "ops", "rewrite", "write",
        ],
    ),
    ("engine", &["study", "run", "provider"]),
];

const MAX_LINES: usize = 500;

/// Most files of Rust code in one folder.
const MAX_FILES: usize = 12;

/// The program's sources, in which files may not name each other in a circle either.
fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cli/src")
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

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
    // The schema is generated, with modules inside.
    if file.ends_with("tests.rs") || file.ends_with("onnx/schema.rs") {
        return String::new();
    }
    let text = std::fs::read_to_string(file).expect("a source file");
    // Unit tests are the end of a file; `mod tests;` is one line.
    let tests = ["", "pub(super) "].map(|shown| format!("#[cfg(test)]\n{shown}mod tests {{"));
    let end = tests.iter().filter_map(|tests| text.find(tests)).min();
    let text = &text[..end.unwrap_or(text.len())];
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

/// Module path of a file: `[graph, ends, emit]`; for `mod.rs`, that of its folder.
fn module(file: &Path) -> Vec<String> {
    let roots = [src(), program()];
    let relative = roots.iter().find_map(|root| file.strip_prefix(root).ok());
    let relative = relative.expect("a source file").with_extension("");
    let mut names: Vec<String> = relative
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    names
}

/// Paths that a file imports with `crate::` or `super::`, absolute; groups in braces are expanded. Also paths of a
/// `mod.rs` to its children, such as `child::item`, except re-exports.
fn paths(file: &Path) -> Vec<Vec<String>> {
    let code = code(file);
    let own = module(file);
    let mut found = children(&code, &own);
    for (at, prefix) in code
        .match_indices("crate::")
        .chain(code.match_indices("super::"))
    {
        let before = &code[..at];
        if before.ends_with("super::")
            || before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        {
            continue;
        }
        let mut base = if prefix == "crate::" {
            Vec::new()
        } else {
            own.clone()
        };
        let mut rest = &code[at..];
        rest = rest.strip_prefix("crate::").unwrap_or(rest);
        while let Some(inner) = rest.strip_prefix("super::") {
            base.pop();
            rest = inner;
        }
        collect(base, rest, &mut found);
    }
    found
}

/// Paths of a `mod.rs` to the files that it declares.
fn children(code: &str, own: &[String]) -> Vec<Vec<String>> {
    let statements = code.split_inclusive(';');
    let own_code: String = statements
        .filter(|statement| !(statement.contains("pub") && statement.contains(" use ")))
        .collect();
    let mut found = Vec::new();
    for child in named_after(code, "mod ") {
        let prefix = format!("{child}::");
        for (at, _) in own_code.match_indices(&prefix) {
            let before = own_code[..at].trim_end_matches("self::");
            if !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                collect(own.to_vec(), &own_code[at..], &mut found);
            }
        }
    }
    found
}

/// Parses the paths at the beginning of `text`: `a::b`, or `a::{b, c::d}`.
fn collect(mut base: Vec<String>, mut text: &str, found: &mut Vec<Vec<String>>) {
    loop {
        if let Some(group) = text.strip_prefix('{') {
            let mut depth = 0;
            let mut start = 0;
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth > 0 => depth -= 1,
                    ',' | '}' if depth == 0 => {
                        collect(base.clone(), group[start..at].trim(), found);
                        start = at + 1;
                        if c == '}' {
                            return;
                        }
                    }
                    _ => (),
                }
            }
            return;
        }
        let end = text
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(text.len());
        if end > 0 && &text[..end] != "self" {
            base.push(text[..end].to_string());
        } else if text.starts_with('*') {
            base.push("*".into());
        }
        match text[end..].strip_prefix("::") {
            Some(rest) => text = rest,
            None => {
                found.push(base);
                return;
            }
        }
    }
}

/// Re-exports of each `mod.rs`: the module that defines an item.
fn passed_on(file: &Path) -> BTreeMap<String, Vec<String>> {
    let own = module(file);
    let code = code(file);
    let mut items = BTreeMap::new();
    for part in code.split("pub").skip(1) {
        let part = part.trim_start_matches(|c: char| c != ' ' && c != '\n');
        let Some(path) = part.trim_start().strip_prefix("use ") else {
            continue;
        };
        let mut found = Vec::new();
        collect(own.clone(), path, &mut found);
        for path in found {
            if let Some(name) = path.last() {
                items.insert(name.clone(), path);
            }
        }
    }
    items
}

/// The module that a path refers to.
fn target(path: &[String], modules: &BTreeMap<Vec<String>, PathBuf>) -> Option<Vec<String>> {
    let known = (1..=path.len())
        .rev()
        .map(|len| &path[..len])
        .find(|path| modules.contains_key(*path))?;
    let door = modules.get(known)?;
    if door.ends_with("mod.rs")
        && let Some(item) = path.get(known.len())
    {
        let items = passed_on(door);
        // A glob re-export is the fallback for other names.
        let glob = items.get("*").map(|inner| {
            let inner = inner.iter().filter(|name| *name != "*");
            inner.chain([item]).cloned().collect()
        });
        if let Some(real) = items.get(item).cloned().or(glob)
            && real != path
        {
            return target(&real, modules);
        }
    }
    Some(known.to_vec())
}

/// All imports between the files below a crate's root.
fn arrows(root: &Path) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let files = sources(root);
    let modules: BTreeMap<_, _> = files
        .iter()
        .map(|file| (module(file), file.clone()))
        .collect();
    let mut arrows = BTreeMap::<_, BTreeSet<_>>::new();
    for (from, file) in &modules {
        let to = paths(file)
            .into_iter()
            .filter_map(|path| target(&path, &modules))
            .filter(|to| to != from)
            .collect();
        arrows.insert(from.clone(), to);
    }
    arrows
}

#[test]
fn imports_run_one_way() {
    let src = src();
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
fn rooms_name_only_those_below_them() {
    let arrows = arrows(&src());
    let mut seen = 0;
    for (room, floors) in FLOORS {
        let floor = |module: &[String]| {
            let inner = module.get(1).filter(|_| module[0] == room)?;
            floors.iter().position(|floor| floor == inner)
        };
        for (from, to) in &arrows {
            for to in to {
                let names = || (from.join("::"), to.join("::"));
                if let (Some(from), Some(to)) = (floor(from), floor(to)) {
                    seen += 1;
                    assert!(from <= to, "{:?}: against the floors of {room}", names());
                }
            }
        }
        for entry in std::fs::read_dir(src().join(room))
            .expect("a room")
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(
                !entry.path().is_dir() || floors.contains(&name.as_str()),
                "{room}/{name} has no floor"
            );
        }
    }
    assert!(seen > 100, "the test reads the arrows");
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let mut arrows = arrows(&src());
    // Every element's GObject wrapper and implementation refer to each other.
    let wrapper = vec!["stylize".to_string()];
    for to in arrows.values_mut() {
        to.remove(&wrapper);
    }
    check_for_circles(arrows);
}

#[test]
fn no_files_of_the_program_name_each_other_in_a_circle() {
    let mut arrows = arrows(&program());
    assert!(arrows.len() > 50, "the test reads the program's files");
    // A command's arguments are in its `mod.rs`, from which its files take them.
    for (from, to) in &mut arrows {
        to.retain(|to| !from.starts_with(to));
    }
    check_for_circles(arrows);
}

#[track_caller]
fn check_for_circles(mut arrows: BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) {
    // A file without remaining imports, or without remaining importers, is in no circle.
    loop {
        let named: BTreeSet<_> = arrows.values().flatten().cloned().collect();
        let free: Vec<_> = arrows
            .iter()
            .filter(|(from, to)| {
                to.iter().all(|to| !arrows.contains_key(to)) || !named.contains(*from)
            })
            .map(|(from, _)| from.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        for from in free {
            arrows.remove(&from);
        }
    }
    let left: Vec<String> = arrows
        .iter()
        .map(|(from, to)| {
            let to: Vec<_> = to.iter().filter(|to| arrows.contains_key(*to)).collect();
            format!("{from:?} -> {to:?}")
        })
        .collect();
    assert!(left.is_empty(), "circles among:\n{}", left.join("\n"));
}

#[test]
fn every_room_is_on_the_map() {
    for entry in std::fs::read_dir(src()).expect("src").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let known = MAY_IMPORT.iter().any(|(room, _)| *room == name);
        assert!(known || name == "lib.rs", "{name} is not on the module map");
    }
}

#[test]
fn folders_are_small_and_documented() {
    let mut folders = vec![src()];
    while let Some(folder) = folders.pop() {
        let mut files = 0;
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                files += 1;
            }
        }
        assert!(files <= MAX_FILES, "{folder:?} has {files} files");
        if folder != src() {
            let door = std::fs::read_to_string(folder.join("mod.rs")).expect("a mod.rs");
            assert!(
                door.lines()
                    .nth(1)
                    .is_some_and(|line| line.starts_with("//! ")),
                "{folder:?}: mod.rs does not say what may live there"
            );
        }
    }
}

#[test]
fn paths_in_the_documentation_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/architecture.md")).expect("the page");
    let mut seen = 0;
    for text in page.split('`').skip(1).step_by(2) {
        if text.starts_with("src/") || text.starts_with("tests/") {
            seen += 1;
            assert!(root.join(text).exists(), "docs/architecture.md: no {text}");
        }
    }
    assert!(seen > 15, "the test reads the paths");
}

#[test]
fn only_the_engine_names_onnx_runtime() {
    let src = src();
    for file in sources(&src) {
        let in_engine = file.starts_with(src.join("engine"));
        // As a whole word, unlike the end of `report::`.
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
    for dir in ["src", "tests", "benches", "cli"] {
        for file in sources(&root.join(dir)) {
            let lines = std::fs::read_to_string(&file)
                .expect("text")
                .lines()
                .count();
            // One generated schema.
            let made = file.ends_with("src/onnx/schema.rs");
            assert!(made || lines <= MAX_LINES, "{file:?} has {lines} lines");
        }
    }
    for file in sources(&root.join("src")) {
        let code = code(&file);
        assert!(!code.contains(".unwrap()"), "{file:?} unwraps");
        // Pad templates are static tables.
        let allowed = usize::from(file.ends_with("stylize/imp/mod.rs"));
        assert!(
            code.matches(".expect(").count() <= allowed,
            "{file:?} expects"
        );
    }
}
