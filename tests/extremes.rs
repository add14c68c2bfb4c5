// SPDX-License-Identifier: MPL-2.0
//! Every property at its extremes, in READY, PAUSED and PLAYING: a mistake of an application must not crash the process
//! or, while it plays, end the stream.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::generators;
use gst::glib;
use gst::glib::gobject_ffi;
use gst::glib::translate::{ToGlibPtr, ToGlibPtrMut};
use gst::prelude::*;

/// Sets a property as an application in C does. The Rust bindings check ranges before GObject does.
fn set(element: &gst::Element, name: &str, value: &glib::Value) {
    // SAFETY: element, name and value live until the call returns, and the value is initialized.
    unsafe {
        let object: *mut gst::ffi::GstElement = element.to_glib_none().0;
        let name = name.to_glib_none();
        gobject_ffi::g_object_set_property(object.cast(), name.0, value.to_glib_none().0);
    }
}

/// A string value that may be invalid UTF-8, as in C.
fn bytes(text: &[u8]) -> glib::Value {
    let text = std::ffi::CString::new(text).expect("no zero byte");
    let mut value = glib::Value::for_value_type::<String>();
    // SAFETY: the value was made for a string, and the text is copied.
    unsafe { gobject_ffi::g_value_set_string(value.to_glib_none_mut().0, text.as_ptr()) };
    value
}

/// An enum value that may be undefined.
fn enum_value(kind: glib::Type, number: i32) -> glib::Value {
    // SAFETY: the caller gives an enum's type.
    unsafe {
        let mut value = glib::Value::from_type_unchecked(kind);
        assert!(kind.is_a(glib::Type::ENUM));
        gobject_ffi::g_value_set_enum(value.to_glib_none_mut().0, number);
        value
    }
}

/// For messages.
fn shown(name: &str, value: &glib::Value) -> String {
    match value.get::<Option<gst::Structure>>() {
        // GLib does not print one that is NULL.
        Ok(structure) => format!("{name}={structure:?}"),
        Err(_) => format!("{name}={value:.80?}"),
    }
}

/// The values to be tried for a property: of its type, at and beyond the ends of its range.
fn extremes(pspec: &glib::ParamSpec, folder: &std::path::Path) -> Vec<glib::Value> {
    let file = folder.join("x").display().to_string();
    let kind = pspec.value_type();
    match kind {
        glib::Type::U64 => [0, 1, i64::MAX as u64, u64::MAX - 1, u64::MAX]
            .map(|v| v.to_value())
            .into(),
        glib::Type::U32 => {
            let spec = pspec.downcast_ref::<glib::ParamSpecUInt>().expect("its");
            // Creating a pool with the largest number of threads takes seconds.
            let most = match pspec.name() {
                "threads" => 64,
                _ => spec.maximum(),
            };
            [spec.minimum(), most, u32::MAX]
                .map(|v| v.to_value())
                .into()
        }
        glib::Type::F64 => [
            0.0,
            1.0,
            -0.0,
            -1.0,
            f64::MIN_POSITIVE,
            f64::MAX,
            f64::NEG_INFINITY,
            f64::INFINITY,
            f64::NAN,
        ]
        .map(|v| v.to_value())
        .into(),
        glib::Type::BOOL => [false, true].map(|v| v.to_value()).into(),
        glib::Type::STRING => {
            let mut values = vec![
                None::<String>.to_value(),
                "".to_value(),
                format!("{file} ").to_value(),
                format!("{file},:,").to_value(),
                format!("{file}\n\u{202e}\u{1f58c}").to_value(),
                format!("{file}{}", "9".repeat(64 << 10)).to_value(),
                folder.to_str().to_value(),
                bytes(format!("{file}\u{7f}").as_bytes()),
                bytes(&[file.as_bytes(), b"\xff\xfe"].concat()),
            ];
            if cfg!(unix) {
                values.push("/dev/zero".to_value());
                values.push(folder.join("fifo").to_str().to_value());
            }
            values
        }
        kind if kind.is_a(glib::Type::ENUM) => {
            let class = glib::EnumClass::with_type(kind).expect("an enum");
            let values = class.values().iter().map(glib::EnumValue::value);
            values
                .chain([-1, i32::MAX])
                .map(|number| enum_value(kind, number))
                .collect()
        }
        _ => {
            let structure = gst::Structure::builder("options")
                .field("none", None::<String>)
                .field("caps", gst::Caps::new_any())
                .build();
            [None, Some(gst::Structure::new_empty("x")), Some(structure)]
                .map(|v| v.to_value())
                .into()
        }
    }
}

struct Stream {
    pipeline: gst::Pipeline,
    element: gst::Element,
    frames: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

impl Stream {
    fn new() -> Self {
        let (folder, element) = common::element(&generators::negative(17).bytes());
        #[cfg(unix)]
        {
            let fifo = std::process::Command::new("mkfifo")
                .arg(folder.path().join("fifo"))
                .status();
            assert!(fifo.expect("mkfifo").success());
        }
        let pipeline = gst::Pipeline::new();
        let source = gst::ElementFactory::make("videotestsrc");
        let source = source.property("is-live", true).build().expect("a source");
        let caps = "video/x-raw,format=RGB,width=32,height=16,framerate=100/1";
        let filter = gst::ElementFactory::make("capsfilter");
        let filter = filter.property("caps", caps.parse::<gst::Caps>().expect("caps"));
        let filter = filter.build().expect("a filter");
        let sink = gst::ElementFactory::make("fakesink");
        let sink = sink.property("sync", false).build().expect("a sink");
        let chain = [&source, &filter, &element, &sink];
        pipeline.add_many(chain).expect("a pipeline");
        gst::Element::link_many(chain).expect("linked");
        let frames = Arc::new(AtomicU64::new(0));
        let count = frames.clone();
        let pad = sink.static_pad("sink").expect("a pad");
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
        Self {
            pipeline,
            element,
            frames,
            folder,
        }
    }

    /// Properties of `stylize` itself that can be written.
    fn properties(&self) -> Vec<glib::ParamSpec> {
        let properties = self.element.list_properties().into_iter();
        let own = properties.filter(|pspec| pspec.owner_type().name() == "GstStylize");
        own.filter(|pspec| pspec.flags().contains(glib::ParamFlags::WRITABLE))
            .collect()
    }

    fn errors(&self) -> Vec<common::Report> {
        common::errors(&self.pipeline.bus().expect("a bus"))
    }

    /// Waits until frames have come, and nothing is being loaded.
    fn goes_on(&self, what: &str) {
        let begin = Instant::now();
        let seen = self.frames.load(Ordering::Relaxed);
        while self.frames.load(Ordering::Relaxed) < seen + 3 {
            let errors = self.errors();
            assert!(errors.is_empty(), "{what}: {errors:?}");
            assert!(
                begin.elapsed() < Duration::from_secs(120),
                "{what}: no frames"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let errors = self.errors();
        assert!(errors.is_empty(), "{what}: {errors:?}");
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A failed test has printed its own message.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Calls `f` for each property and value that is to be tried, and sets the property back.
fn each(stream: &Stream, mut f: impl FnMut(&str, &glib::Value, &dyn Fn())) {
    let mut tried = 0;
    for pspec in stream.properties() {
        let name = pspec.name();
        let before = stream.element.property_value(name);
        for value in extremes(&pspec, stream.folder.path()) {
            f(name, &value, &|| set(&stream.element, name, &before));
            set(&stream.element, name, &before);
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried}");
}

#[test]
fn every_value_can_be_set_while_playing() {
    let stream = Stream::new();
    stream
        .pipeline
        .set_state(gst::State::Playing)
        .expect("plays");
    stream.goes_on("before");
    each(&stream, |name, value, _| {
        set(&stream.element, name, value);
        stream.goes_on(&shown(name, value));
    });
    // The restored values are in use at the end.
    std::thread::sleep(Duration::from_millis(300));
    stream.goes_on("after");
}

#[test]
fn every_value_can_be_set_before_the_start_and_is_played_or_refused() {
    let stream = Stream::new();
    stream.pipeline.set_state(gst::State::Ready).expect("ready");
    each(&stream, |name, value, back| {
        let what = shown(name, value);
        set(&stream.element, name, value);
        let began = stream.pipeline.set_state(gst::State::Playing);
        match began {
            Ok(_) => {
                let begin = Instant::now();
                let seen = stream.frames.load(Ordering::Relaxed);
                let mut errors = Vec::new();
                while stream.frames.load(Ordering::Relaxed) == seen && errors.is_empty() {
                    assert!(
                        begin.elapsed() < Duration::from_secs(120),
                        "{what}: no frames"
                    );
                    std::thread::sleep(Duration::from_millis(2));
                    errors = stream.errors();
                }
                assert!(errors.len() <= 1, "{what}: {errors:?}");
            }
            Err(_) => {
                let errors = stream.errors();
                assert_eq!(errors.len(), 1, "{what}: {errors:?}");
            }
        }
        stream.pipeline.set_state(gst::State::Ready).expect("ready");
        back();
        stream.errors();
    });
}

#[test]
fn every_value_can_be_set_in_pause() {
    let stream = Stream::new();
    stream
        .pipeline
        .set_state(gst::State::Playing)
        .expect("plays");
    stream.goes_on("before");
    stream
        .pipeline
        .set_state(gst::State::Paused)
        .expect("pause");
    each(&stream, |name, value, _| set(&stream.element, name, value));
    stream
        .pipeline
        .set_state(gst::State::Playing)
        .expect("plays");
    stream.goes_on("after");
}

#[test]
fn a_number_that_is_none_is_not_taken() {
    let stream = Stream::new();
    for name in ["strength", "stability", "split", "style-mix"] {
        set(&stream.element, name, &0.5.to_value());
        set(&stream.element, name, &f64::NAN.to_value());
        assert_eq!(stream.element.property::<f64>(name), 0.5, "{name}");
    }
    for name in ["transition", "target-latency"] {
        let before = stream.element.property::<u64>(name);
        set(&stream.element, name, &u64::MAX.to_value());
        assert_eq!(stream.element.property::<u64>(name), before, "{name}");
    }
}

/// The event's fields at their extremes: each that cannot be used is a warning, and the stream goes on.
#[test]
fn every_style_event_is_taken_or_warned_of() {
    let stream = Stream::new();
    stream
        .pipeline
        .set_state(gst::State::Playing)
        .expect("plays");
    stream.goes_on("before");
    let events = [
        ("", vec![]),
        ("style", vec![("style", "9".repeat(4096).to_send_value())]),
        ("style", vec![("style", None::<String>.to_send_value())]),
        ("style", vec![("style", 7_i32.to_send_value())]),
        ("transition", vec![("transition", u64::MAX.to_send_value())]),
        (
            "transition",
            vec![("transition", (u64::MAX - 1).to_send_value())],
        ),
        ("transition", vec![("transition", (-1_i32).to_send_value())]),
        (
            "transition",
            vec![("transition", gst::ClockTime::NONE.to_send_value())],
        ),
    ];
    let pad = stream.element.static_pad("sink").expect("a pad");
    for (what, fields) in events {
        let mut structure = gst::Structure::new_empty("stylize-style");
        for (name, value) in fields {
            structure.set_value(name, value);
        }
        pad.send_event(gst::event::CustomDownstream::new(structure));
        stream.goes_on(what);
    }
    let transition = stream.element.property::<u64>("transition");
    assert_eq!(transition, 500_000_000, "it stays");
}

/// GObject's own conversion, as `gst_parse_launch` and `gst_util_set_object_arg` use it.
#[test]
fn texts_out_of_range_are_refused_and_nothing_ends() {
    let stream = Stream::new();
    for (name, text) in [
        ("transition", c"18446744073709551615"),
        ("target-latency", c"18446744073709551615"),
        ("strength", c"nan"),
        ("seed", c"-1"),
        ("quality", c"best"),
    ] {
        let before = stream.element.property_value(name);
        let name_c = std::ffi::CString::new(name).expect("a name");
        // SAFETY: the object and both strings live until the call returns.
        unsafe {
            let object: *mut gst::ffi::GstElement = stream.element.to_glib_none().0;
            gst::ffi::gst_util_set_object_arg(object.cast(), name_c.as_ptr(), text.as_ptr());
        }
        let after = stream.element.property_value(name);
        // SAFETY: both values are of the property's type.
        let same = unsafe {
            let pspec = stream.element.find_property(name).expect("a property");
            let (a, b) = (before.to_glib_none(), after.to_glib_none());
            gobject_ffi::g_param_values_cmp(pspec.to_glib_none().0, a.0, b.0) == 0
        };
        assert!(same || name == "seed", "{name}={text:?}: {after:?}");
    }
}
