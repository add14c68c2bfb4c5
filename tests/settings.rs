// SPDX-License-Identifier: MPL-2.0
//! Properties as applications and tools use them: set again, read again, watched.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::generators::{identity, negative};
use gst::prelude::*;

const CAPS: &str = "video/x-raw,format=RGB,width=32,height=16,framerate=25/1";

fn frame() -> gst::Buffer {
    gst::Buffer::from_slice([9; 32 * 16 * 3])
}

/// How many generators have begun to be loaded since this was asked last.
fn loads(bus: &gst::Bus) -> usize {
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Element]))
        .filter(|message| {
            let structure = message.structure();
            structure.is_some_and(|s| s.get::<&str>("state") == Ok("loading"))
        })
        .count()
}

#[test]
fn a_value_that_was_set_already_loads_nothing() {
    let (_dir, element, bus, mut harness) = common::stream("cpu", &negative(13).bytes(), &[], CAPS);
    let options = gst::Structure::builder("options").field("a", "1").build();
    harness.push_and_pull(frame()).expect("a painting");
    loads(&bus);
    for pspec in element.list_properties() {
        let writable = pspec.flags().contains(gst::glib::ParamFlags::WRITABLE);
        if pspec.owner_type() == element.type_() && writable {
            element.set_property_from_value(pspec.name(), &element.property_value(pspec.name()));
        }
    }
    for _ in 0..3 {
        harness.push_and_pull(frame()).expect("a painting");
    }
    assert_eq!(loads(&bus), 0);
    // Equal, and not the same object.
    element.set_property("provider-options", options.clone());
    harness.push_and_pull(frame()).expect("a painting");
    assert_eq!(loads(&bus), 1);
    while common::errors(&bus).len() + loads(&bus) > 0 {}
    element.set_property("provider-options", options.to_owned());
    harness.push_and_pull(frame()).expect("a painting");
    assert_eq!(loads(&bus), 0);
}

#[test]
fn styles_are_watched_and_read_once() {
    let (dir, element) = common::element(&identity(13).bytes());
    let told = Arc::<AtomicUsize>::default();
    let count = told.clone();
    element.connect_notify(Some("styles"), move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let styles = || element.property::<Vec<String>>("styles");
    let first = styles();
    assert_eq!(first.len(), 1);
    // The file is not opened again.
    std::fs::remove_file(dir.path().join("model.onnx")).expect("removed");
    assert_eq!(styles(), first);
    assert_eq!(told.load(Ordering::SeqCst), 0);
    element.set_property("model-file", None::<String>);
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert!(styles().len() > 10);
    element.set_property("strength", 0.5);
    element.set_property("model-file", None::<String>);
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn views_in_pictures_of_their_own_are_refused_in_words() {
    for (mode, refused) in [
        ("separated", true),
        ("frame-by-frame", true),
        ("side-by-side", false),
    ] {
        let caps = format!("{CAPS},multiview-mode={mode}");
        let (_dir, _element, bus, _harness) =
            common::stream("cpu", &negative(13).bytes(), &[], &caps);
        let errors = common::errors(&bus);
        assert_eq!(errors.len(), usize::from(refused), "{mode}: {errors:?}");
        let says = |report: &common::Report| report.error.message().contains("ultiview");
        assert!(errors.iter().all(says), "{errors:?}");
    }
}

#[test]
fn an_error_after_a_flush_is_told_again() {
    let (_dir, element, bus, mut harness) = common::stream("cpu", &negative(13).bytes(), &[], CAPS);
    harness.push_and_pull(frame()).expect("a painting");
    for _ in 0..2 {
        // Too small for its caps.
        let short = gst::Buffer::from_slice([9; 100]);
        assert_eq!(harness.push(short), Err(gst::FlowError::Error));
        assert_eq!(common::errors(&bus).len(), 1);
        let sink = element.static_pad("sink").expect("a pad");
        assert!(sink.send_event(gst::event::FlushStart::new()));
        assert!(sink.send_event(gst::event::FlushStop::new(true)));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        harness.push_event(gst::event::Segment::new(&segment));
    }
    harness.push_and_pull(frame()).expect("a painting");
}
