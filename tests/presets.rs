// SPDX-License-Identifier: MPL-2.0
//! Presets: every style of the gallery, and some settings, for applications that list presets.

mod common;

use gst::prelude::*;

#[test]
fn every_style_and_some_settings_can_be_had_by_name() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/presets");
    // SAFETY: no other thread of this process reads the environment yet.
    unsafe { std::env::set_var("GST_PRESET_PATH", folder) };
    common::init();
    let element = gst::ElementFactory::make("stylize").build().expect("one");
    let preset = element
        .clone()
        .dynamic_cast::<gst::Preset>()
        .expect("presets");
    let names: Vec<String> = preset
        .preset_names()
        .iter()
        .map(ToString::to_string)
        .collect();
    let styles = element.property::<Vec<String>>("styles");
    assert!(styles.len() >= 24);
    for name in styles
        .iter()
        .map(String::as_str)
        .chain(["fast", "steady", "broad"])
    {
        assert!(
            names.iter().any(|known| known == name),
            "{name} is no preset"
        );
        assert!(preset.load_preset(name).is_ok(), "{name}");
        let comment = preset.meta(name, "comment");
        assert!(comment.is_some(), "{name} says nothing of itself");
    }
    assert_eq!(element.property::<u32>("inference-height"), 240);
    assert_eq!(element.property::<f64>("stability"), 0.8);
    assert_eq!(
        element.property::<Option<String>>("style"),
        styles.last().cloned()
    );
}
