// SPDX-License-Identifier: MPL-2.0
//! The documentation: docs/properties.md matches the element's properties, and links have targets.
//!
//! `STYLIZE_UPDATE_DOCS=1 cargo test --test docs` rewrites the table.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use gst::glib;
use gst::glib::types::Type;
use gst::prelude::*;

const BEGIN: &str = "<!-- made from the element: begin -->\n";
const END: &str = "<!-- made from the element: end -->\n";

#[test]
fn the_table_of_properties_is_that_of_the_element() {
    common::init();
    let element = gst::ElementFactory::make("stylize")
        .build()
        .expect("stylize");
    let table = table(&element);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/properties.md");
    let page = std::fs::read_to_string(&path).expect("docs/properties.md");
    let (before, rest) = page.split_once(BEGIN).expect("the table's begin");
    let (written, after) = rest.split_once(END).expect("the table's end");
    if std::env::var_os("STYLIZE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("written");
        return;
    }
    assert_eq!(
        written, table,
        "docs/properties.md is out of date: STYLIZE_UPDATE_DOCS=1 cargo test --test docs"
    );
}

/// One row for each property of the element's own class, by name.
fn table(element: &gst::Element) -> String {
    let mut properties: Vec<_> = element
        .list_properties()
        .iter()
        .filter(|property| {
            let owner = property.owner_type();
            owner == element.type_() || property.name() == "qos"
        })
        .cloned()
        .collect();
    properties.sort_by(|a, b| a.name().cmp(b.name()));
    let mut table =
        String::from("| property | values | default | changes | what |\n|---|---|---|---|---|\n");
    for property in properties {
        let blurb = property.blurb().unwrap_or_default().replace('|', "\\|");
        writeln!(
            table,
            "| `{}` | {} | {} | {} | {blurb} |",
            property.name(),
            values(&property),
            default(&property),
            changes(&property),
        )
        .expect("a string");
    }
    table
}

/// Type and range of a property.
fn values(property: &glib::ParamSpec) -> String {
    if let Some(class) = glib::EnumClass::with_type(property.value_type()) {
        let nicks: Vec<_> = class
            .values()
            .iter()
            .map(|value| format!("`{}`", value.nick()))
            .collect();
        return nicks.join(" ");
    }
    if let Some(spec) = property.downcast_ref::<glib::ParamSpecUInt>() {
        return format!("{} to {}", spec.minimum(), spec.maximum());
    }
    if let Some(spec) = property.downcast_ref::<glib::ParamSpecUInt64>() {
        let most = match spec.maximum() {
            u64::MAX => "2^64 - 1".into(),
            most => most.to_string(),
        };
        return format!("{} to {most}", spec.minimum());
    }
    if let Some(spec) = property.downcast_ref::<glib::ParamSpecDouble>() {
        return format!("{:?} to {:?}", spec.minimum(), spec.maximum());
    }
    match property.value_type() {
        Type::BOOL => "`false` `true`".into(),
        Type::STRING => "text".into(),
        kind if kind == gst::Structure::static_type() => "structure".into(),
        kind if kind == <Vec<String>>::static_type() => "list of text".into(),
        kind => panic!("{}: no words for {kind}", property.name()),
    }
}

/// Default: the value of a new element.
fn default(property: &glib::ParamSpec) -> String {
    if !property.flags().contains(glib::ParamFlags::WRITABLE) {
        return String::new();
    }
    let value = property.default_value();
    if let Some((_, entry)) = glib::EnumValue::from_value(value) {
        return format!("`{}`", entry.nick());
    }
    if value.type_() == gst::Structure::static_type() {
        return "NULL".into();
    }
    match value.serialize() {
        Ok(text) if value.type_() == Type::STRING && text == "NULL" => "NULL".into(),
        Ok(text) => text.to_string(),
        Err(_) => "NULL".into(),
    }
}

/// When a property may be changed, and how.
fn changes(property: &glib::ParamSpec) -> &'static str {
    let flags = property.flags();
    let has = |flag: u32| flags.bits() & flag != 0;
    // gst_param_spec flags: GST_PARAM_CONTROLLABLE, GST_PARAM_MUTABLE_READY, ..._PLAYING.
    let (controllable, ready, playing) = (has(1 << 9), has(1 << 10), has(1 << 12));
    match (
        flags.contains(glib::ParamFlags::WRITABLE),
        controllable,
        playing,
        ready,
    ) {
        (false, ..) => "read-only",
        (_, true, ..) => "any time, controllable",
        (_, _, true, _) => "any time",
        (_, _, _, true) => "takes effect at the next start",
        _ => "any time",
    }
}

/// Folders whose Markdown is checked.
const FOLDERS: [&str; 6] = [".", "docs", "models", "training", "cli", "cluster"];

#[test]
fn relative_links_lead_to_files_and_headings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    let mut broken = Vec::new();
    for folder in FOLDERS {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
            continue;
        };
        for entry in entries {
            let file = entry.expect("an entry").path();
            if file.extension().is_some_and(|ending| ending == "md") {
                for link in links(&file) {
                    checked += 1;
                    if !leads_somewhere(&file, &link) {
                        broken.push(format!("{}: {link}", file.display()));
                    }
                }
            }
        }
    }
    assert!(checked > 30, "{checked} links found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Targets of a page's Markdown links, but for those with a scheme.
fn links(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("a page");
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
        .filter(|link| !link.contains("://"))
        .map(String::from)
        .collect()
}

fn leads_somewhere(page: &Path, link: &str) -> bool {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => page.to_path_buf(),
        _ => page.with_file_name(file),
    };
    if heading.is_empty() || target.extension().is_none_or(|ending| ending != "md") {
        return target.exists();
    }
    let text = std::fs::read_to_string(target).unwrap_or_default();
    let mut headings = text.lines().filter(|line| line.starts_with('#'));
    headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading)
}

/// A heading's name in links: lower case, words joined by hyphens, other characters left out.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
