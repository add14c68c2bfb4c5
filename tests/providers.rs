// SPDX-License-Identifier: MPL-2.0
//! Execution providers: devices, options and libraries, and the properties and messages about them.

mod common;

use std::path::Path;

use common::picture::Picture;
use common::play::play;
use gst::prelude::*;

fn stylize(properties: &[(&str, &str)]) -> gst::Element {
    common::init();
    let mut builder = gst::ElementFactory::make("stylize");
    for (name, value) in properties {
        builder = builder.property_from_str(name, value);
    }
    builder.build().expect("stylize")
}

/// The message of the only error of an element that does not start.
#[track_caller]
fn refused(element: &gst::Element) -> String {
    common::refused(element).error.message().to_string()
}

/// The error of an element that plays until caps are known.
#[track_caller]
fn refused_with_caps(properties: &str) -> String {
    common::init();
    let line = format!(
        "videotestsrc num-buffers=3 ! video/x-raw,format=RGB,width=64,height=48 \
         ! stylize {properties} ! fakesink"
    );
    let pipeline = gst::parse::launch(&line).expect("a pipeline");
    let bus = pipeline.bus().expect("a bus");
    // May fail immediately.
    let _ = pipeline.set_state(gst::State::Playing);
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends);
    let message = message.expect("an end");
    let gst::MessageView::Error(error) = message.view() else {
        panic!("no error");
    };
    let text = error.error().message().to_string();
    pipeline.set_state(gst::State::Null).expect("stopped");
    text
}

fn stat(element: &gst::Element, name: &str) -> String {
    let stats = element.property::<gst::Structure>("stats");
    stats.get(name).expect("a text")
}

/// Plays one frame; returns the picture and the bus.
fn paint(element: &gst::Element) -> (Picture, gst::Bus) {
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let (picture, _) = play(element, &Picture::varied(96, 64));
    // Messages hold their element, so the bus must not be the last to hold them.
    element.set_bus(None);
    (picture, bus)
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    let text = refused(&stylize(&[("execution-provider", "cpu"), ("device", "3")]));
    assert!(text.contains("cpu has no device \"3\""), "{text}");
    let text = refused(&stylize(&[
        ("execution-provider", "cpu"),
        ("device", "big"),
    ]));
    assert!(text.contains("numbers its devices from 0"), "{text}");
    paint(&stylize(&[("execution-provider", "cpu"), ("device", "0")]));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_provider_that_would_leave_all_to_the_cpu_is_an_error() {
    for properties in [
        "device=XPU",
        "provider-options=\"options,device_type=(string)XPU\"",
    ] {
        let text = refused_with_caps(&format!("execution-provider=openvino {properties}"));
        assert!(
            text.contains("leaves all of the graph to the CPU"),
            "{properties}: {text}"
        );
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn auto_skips_providers_that_cannot_run_the_graph() {
    let options = "options,device_type=(string)XPU";
    let element = stylize(&[("precision", "fp32"), ("provider-options", options)]);
    let (picture, bus) = paint(&element);
    assert_eq!(stat(&element, "provider"), "cpu");
    assert_eq!(picture, paint(&stylize(&[("execution-provider", "cpu")])).0);
    let told = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Element]))
        .filter_map(|message| message.structure().map(ToOwned::to_owned))
        .filter(|structure| structure.name() == "stylize-provider");
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].get::<&str>("provider"), Ok("cpu"));
    assert_eq!(told[0].get::<&str>("precision"), Ok("fp32"));
    assert!(
        told[0].get::<u32>("nodes").is_ok_and(|n| n > 10),
        "{told:?}"
    );
    assert_eq!(told[0].get::<u32>("nodes-on-cpu"), Ok(0));
}

#[test]
fn every_optimization_level_paints_the_same() {
    let reference = paint(&stylize(&[("execution-provider", "cpu")])).0;
    for level in ["disable-all", "enable-basic", "enable-extended"] {
        let properties = [("execution-provider", "cpu"), ("optimization-level", level)];
        let picture = paint(&stylize(&properties)).0;
        let difference = picture.max_difference(&reference);
        assert!(difference <= 1, "{level}: off by {difference}");
    }
}

#[test]
fn a_provider_library_that_is_none_is_an_error() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    for library in ["/nowhere/lib.so", readme.to_str().expect("UTF-8")] {
        let element = stylize(&[
            ("execution-provider", "nv-tensorrt-rtx"),
            ("provider-library", library),
        ]);
        let text = refused(&element);
        assert!(text.contains(library), "{text}");
        assert!(text.contains("cannot be used"), "{text}");
        // The same element works on another provider.
        element.set_property("provider-library", None::<&str>);
        element.set_property_from_str("execution-provider", "cpu");
        paint(&element);
    }
}

#[test]
fn options_change_while_playing() {
    let element = stylize(&[("execution-provider", "cpu")]);
    let before = paint(&element).0;
    element.set_property_from_str("optimization-level", "enable-basic");
    element.set_property_from_str("provider-options", "options,x=1");
    let options = element.property::<Option<gst::Structure>>("provider-options");
    assert_eq!(options.expect("options").get::<i32>("x"), Ok(1));
    let after = paint(&element).0;
    assert!(after.max_difference(&before) <= 1);
}
