// SPDX-License-Identifier: MPL-2.0
//! Helpers of the tests: set-up, tiny generators, buffers, errors from the bus.

#![allow(dead_code)] // Every test file uses its own part.

pub mod conventions;
pub mod fixture;
pub mod generators;
pub mod memory;
pub mod picture;
pub mod play;
pub mod styled;

use std::path::PathBuf;
use std::sync::Once;

use gst::prelude::*;

/// Initializes GStreamer and registers the element, once per process.
pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().expect("GStreamer");
        gststylize::plugin_register_static().expect("the element");
    });
}

/// Writes a model to a file that lives as long as the returned folder.
pub fn model_file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("model.onnx");
    std::fs::write(&file, bytes).expect("a file");
    (dir, file)
}

/// Providers that `make setup` installs on this machine; each compiles graphs in its own way.
pub const PROVIDERS: &[&str] = if cfg!(target_arch = "x86_64") {
    &["cpu", "openvino"]
} else {
    &["cpu"]
};

/// Whether this machine has no bfloat16 for OpenVINO, so that the element must refuse it. Detected from the processor's
/// flags and the variable by which `make test-older` emulates an older one, independently of the code under test.
#[track_caller]
pub fn lacks_bf16(element: &gst::Element) -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    if has && std::env::var_os("ONEDNN_MAX_CPU_ISA").is_none() {
        return false;
    }
    eprintln!("skipped: OpenVINO in bf16, which this processor does not have");
    let text = refused(element).error.message().to_string();
    assert!(text.contains("bf16") && text.contains("fp32"), "{text}");
    element.set_bus(None);
    true
}

/// A `stylize` element on the CPU provider with this model.
pub fn element(bytes: &[u8]) -> (tempfile::TempDir, gst::Element) {
    element_on("cpu", bytes)
}

/// A `stylize` element on any provider, in full precision.
pub fn element_on(provider: &str, bytes: &[u8]) -> (tempfile::TempDir, gst::Element) {
    init();
    let (dir, file) = model_file(bytes);
    let element = gst::ElementFactory::make("stylize")
        .property("model-file", file.to_str().expect("UTF-8"))
        .property_from_str("execution-provider", provider)
        .property_from_str("precision", "fp32")
        .property("threads", 1_u32)
        .build()
        .expect("stylize");
    (dir, element)
}

/// An error message as an application sees it.
#[derive(Debug)]
pub struct Report {
    /// Name of the element that posted it.
    pub source: String,
    pub error: gst::glib::Error,
    pub debug: String,
}

/// All errors that are on the bus now.
pub fn errors(bus: &gst::Bus) -> Vec<Report> {
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Error]))
        .filter_map(|message| match message.view() {
            gst::MessageView::Error(error) => Some(Report {
                source: error.src().map(|src| src.name().into()).unwrap_or_default(),
                error: error.error(),
                debug: error.debug().map(Into::into).unwrap_or_default(),
            }),
            _ => None,
        })
        .collect()
}

/// Starts an element that must fail; returns its only error.
#[track_caller]
pub fn refused(element: &gst::Element) -> Report {
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    element.set_state(gst::State::Null).expect("stopped");
    let mut errors = errors(&bus);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

/// An element with these properties, its bus, and a harness around it that has these caps.
pub fn stream(
    provider: &str,
    model: &[u8],
    properties: &[(&str, &str)],
    caps: &str,
) -> (
    tempfile::TempDir,
    gst::Element,
    gst::Bus,
    gst_check::Harness,
) {
    let (dir, element) = element_on(provider, model);
    for (name, value) in properties {
        element.set_property_from_str(name, value);
    }
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str(caps);
    (dir, element, bus, harness)
}
