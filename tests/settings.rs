// SPDX-License-Identifier: MPL-2.0
//! Properties as applications and tools use them: set again, read back, notifications.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::generators::{F32, Net, identity, negative};
use gst::prelude::*;

const CAPS: &str = "video/x-raw,format=RGB,width=32,height=16,framerate=25/1";

fn frame() -> gst::Buffer {
    gst::Buffer::from_slice([9; 32 * 16 * 3])
}

/// Number of generators whose loading has begun since the last call.
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
    // Equal, but another object.
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
    // The file is read again only if it has changed.
    let file = dir.path().join("model.onnx");
    let metadata = std::fs::metadata(&file).expect("a file");
    let garbage = vec![0; usize::try_from(metadata.len()).expect("small")];
    std::fs::write(&file, garbage).expect("written");
    let opened = std::fs::File::options().write(true).open(&file);
    let time = metadata.modified().expect("a time");
    opened
        .and_then(|file| file.set_modified(time))
        .expect("set back");
    assert_eq!(styles(), first);
    std::fs::remove_file(&file).expect("removed");
    assert!(styles().is_empty());
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

#[test]
fn a_generator_of_a_huge_fixed_size_is_refused_before_it_takes_memory() {
    let dims = [1, 3, 100_000, 100_000];
    let net = Net::new(13)
        .input("x", F32, &dims)
        .output("y", F32, &dims)
        .floats("most", &[], &[1.0])
        .node("Add", &["x", "most"], "y", vec![])
        .meta("stylize.input-range", "0,255")
        .meta("stylize.output-range", "0,255");
    let (_dir, element) = common::element(&net.bytes());
    let report = common::refused(&element);
    let text = report.error.message();
    assert!(
        text.contains("100000x100000") && text.contains("8192"),
        "{text}"
    );
}
