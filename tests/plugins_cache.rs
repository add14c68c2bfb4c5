// SPDX-License-Identifier: MPL-2.0
//! The plugin's description for GStreamer's documentation tool, hotdoc, as in `gst-plugins-rs`:
//! `docs/plugins/gst_plugins_cache.json`. `make docs` writes it; the test fails if it differs from the element, so that
//! names, ranges and defaults are reviewed as text.

mod common;

use std::path::Path;

use gst::glib;
use gst::prelude::*;
use serde_json::{Map, Value, json};

/// Set by `make docs`.
const WRITE: &str = "STYLIZE_UPDATE_DOCS";

fn hierarchy(mut kind: glib::Type) -> Vec<String> {
    let mut names = vec![kind.name().to_string()];
    while let Some(parent) = kind.parent() {
        names.push(parent.name().to_string());
        kind = parent;
    }
    names
}

fn mutable(flags: glib::ParamFlags) -> &'static str {
    if flags.contains(gst::PARAM_FLAG_MUTABLE_PLAYING) {
        "playing"
    } else if flags.contains(gst::PARAM_FLAG_MUTABLE_PAUSED) {
        "paused"
    } else if flags.contains(gst::PARAM_FLAG_MUTABLE_READY) {
        "ready"
    } else {
        "null"
    }
}

fn default(pspec: &glib::ParamSpec) -> Value {
    let value = pspec.default_value();
    if value.type_().is_a(glib::Type::BOXED) {
        return "NULL".into();
    }
    if let Some((_, value)) = glib::EnumValue::from_value(value) {
        return format!("{} ({})", value.nick(), value.value()).into();
    }
    match value.serialize() {
        Ok(text) => text.to_string().into(),
        Err(_) => "NULL".into(),
    }
}

fn range(pspec: &glib::ParamSpec) -> Option<(String, String)> {
    let number = |least: &dyn ToString, most: &dyn ToString| (least.to_string(), most.to_string());
    if let Some(p) = pspec.downcast_ref::<glib::ParamSpecUInt>() {
        return Some(number(&p.minimum(), &p.maximum()));
    }
    if let Some(p) = pspec.downcast_ref::<glib::ParamSpecUInt64>() {
        return Some(number(&p.minimum(), &p.maximum()));
    }
    let p = pspec.downcast_ref::<glib::ParamSpecDouble>()?;
    Some(number(&p.minimum(), &p.maximum()))
}

fn property(pspec: &glib::ParamSpec) -> Value {
    let flags = pspec.flags();
    let mut entry = json!({
        "blurb": pspec.blurb().unwrap_or_default(),
        "conditionally-available": false,
        "construct": flags.contains(glib::ParamFlags::CONSTRUCT),
        "construct-only": flags.contains(glib::ParamFlags::CONSTRUCT_ONLY),
        "controllable": flags.contains(gst::PARAM_FLAG_CONTROLLABLE),
        "default": default(pspec),
        "mutable": mutable(flags),
        "readable": flags.contains(glib::ParamFlags::READABLE),
        "type": pspec.value_type().name(),
        "writable": flags.contains(glib::ParamFlags::WRITABLE),
    });
    if let Some((least, most)) = range(pspec) {
        entry["min"] = least.into();
        entry["max"] = most.into();
    }
    entry
}

/// An enumeration of this plugin's.
fn enumeration(pspec: &glib::ParamSpec) -> Option<(String, Value)> {
    let class = glib::EnumClass::with_type(pspec.value_type())?;
    let values: Vec<Value> = class
        .values()
        .iter()
        .map(|value| {
            json!({
                "desc": value.name(),
                "name": value.nick(),
                "value": value.value().to_string(),
            })
        })
        .collect();
    Some((
        pspec.value_type().name().to_string(),
        json!({ "kind": "enum", "values": values }),
    ))
}

fn described() -> Value {
    let factory = gst::ElementFactory::find("stylize").expect("registered");
    let element = factory.create().build().expect("an element");
    let metadata = |key| factory.metadata(key).unwrap_or_default();
    let mut properties = Map::new();
    let mut types = Map::new();
    for pspec in element.list_properties() {
        if pspec.owner_type() != element.type_() {
            continue;
        }
        properties.insert(pspec.name().into(), property(&pspec));
        types.extend(enumeration(&pspec));
    }
    let mut templates = Map::new();
    for template in factory.static_pad_templates() {
        templates.insert(
            template.name_template().to_string(),
            json!({
                "caps": template.caps().to_string(),
                "direction": template.direction().to_value().transform::<String>().map(|v| v.get::<String>().unwrap_or_default()).unwrap_or_default().trim_start_matches("GST_PAD_").to_lowercase(),
                "presence": "always",
            }),
        );
    }
    let interfaces: Vec<String> = element
        .type_()
        .interfaces()
        .iter()
        .map(|kind| kind.name().to_string())
        .collect();
    json!({
        "stylize": {
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "elements": {
                "stylize": {
                    "author": metadata("author"),
                    "description": metadata("description"),
                    "hierarchy": hierarchy(element.type_()),
                    "interfaces": interfaces,
                    "klass": metadata("klass"),
                    "long-name": metadata("long-name"),
                    "pad-templates": templates,
                    "properties": properties,
                    "rank": "none",
                },
            },
            "filename": "gststylize",
            "license": "MPL-2.0",
            "other-types": types,
            "package": env!("CARGO_PKG_NAME"),
            "source": env!("CARGO_PKG_NAME"),
            "tracers": {},
            "url": env!("CARGO_PKG_REPOSITORY"),
        },
    })
}

#[test]
fn the_plugins_cache_says_what_the_element_says() {
    common::init();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/plugins/gst_plugins_cache.json");
    let text = serde_json::to_string_pretty(&described()).expect("JSON") + "\n";
    if std::env::var_os(WRITE).is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        return std::fs::write(file, text).expect("written");
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(known == text, "{file:?} is not up to date: run `make docs`");
}

#[test]
fn numbers_state_their_range_and_times_their_unit() {
    common::init();
    let element = gst::ElementFactory::make("stylize").build().expect("one");
    for pspec in element.list_properties() {
        if pspec.owner_type() != element.type_() {
            continue;
        }
        let (name, blurb) = (pspec.name(), pspec.blurb().unwrap_or_default());
        assert!(
            !blurb.is_empty() && !blurb.ends_with('.'),
            "{name}: {blurb}"
        );
        if pspec.value_type() == glib::Type::U64 {
            assert!(blurb.contains("nanoseconds"), "{name}: {blurb}");
        }
        if pspec.value_type() == glib::Type::F64 {
            assert!(
                blurb.contains('0') && blurb.contains('1'),
                "{name}: {blurb}"
            );
        }
    }
}
