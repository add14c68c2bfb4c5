// SPDX-License-Identifier: MPL-2.0
//! Loading of ONNX Runtime. It happens once in a process, so everything is one test in a process of its own, from a
//! missing library to one that loads.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use gst::prelude::*;

/// Starts an element and returns the errors on its bus.
fn start(runtime_library: Option<&Path>) -> Vec<common::Report> {
    let element = gst::ElementFactory::make("stylize")
        .property_from_str("execution-provider", "cpu")
        .build()
        .expect("stylize");
    let path = runtime_library.map(|path| path.to_str().expect("UTF-8"));
    element.set_property("runtime-library", path);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let started = element.set_state(gst::State::Paused).is_ok();
    let errors = common::errors(&bus);
    assert_eq!(started, errors.is_empty(), "{errors:?}");
    element.set_state(gst::State::Null).expect("stopped");
    errors
}

#[track_caller]
fn one_error(errors: &[common::Report], code: gst::LibraryError, words: &[&str]) {
    let [error] = errors else {
        panic!("one error, not {errors:?}");
    };
    assert_eq!(error.error.kind(), Some(code), "{error:?}");
    for word in words {
        assert!(
            error.error.message().contains(word),
            "\"{word}\" in {error:?}"
        );
    }
}

/// A library that reports the version 1.10.0 of ONNX Runtime.
fn old_library(dir: &Path) -> PathBuf {
    let source = dir.join("old.c");
    let library = dir.join("libonnxruntime.so.1.10.0");
    let code = "typedef struct { const void *(*get)(unsigned); const char *(*version)(void); } Base;\n\
                static const void *get(unsigned v) { return 0; }\n\
                static const char *version(void) { return \"1.10.0\"; }\n\
                static const Base base = { get, version };\n\
                const Base *OrtGetApiBase(void) { return &base; }\n";
    std::fs::write(&source, code).expect("a file");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .expect("a C compiler");
    assert!(status.success());
    library
}

#[test]
fn from_nothing_to_a_library_that_loads() {
    common::init();
    let dir = tempfile::tempdir().expect("a folder");
    let init = gst::LibraryError::Init;

    let missing = start(Some(Path::new("/nowhere/libonnxruntime.so")));
    one_error(
        &missing,
        init,
        &["/nowhere/libonnxruntime.so", "runtime-library"],
    );

    let empty = start(Some(dir.path()));
    one_error(
        &empty,
        init,
        &["holds no libonnxruntime", "runtime-library"],
    );

    let text = dir.path().join("text.so");
    std::fs::write(&text, "no library").expect("a file");
    one_error(
        &start(Some(&text)),
        init,
        &["cannot be loaded", "runtime-library"],
    );

    let old = old_library(dir.path());
    one_error(&start(Some(&old)), init, &["1.10.0", "at least 1.24"]);
    one_error(&start(Some(dir.path())), init, &["1.10.0", "newer"]);

    // SAFETY: this process has only this test, and its other threads do not read the environment.
    unsafe { std::env::set_var("ORT_DYLIB_PATH", "/nowhere/else.so") };
    one_error(&start(None), init, &["/nowhere/else.so", "ORT_DYLIB_PATH"]);
    // SAFETY: as above.
    unsafe { std::env::remove_var("ORT_DYLIB_PATH") };

    let found = start(None);
    assert!(found.is_empty(), "the build's own setup folder: {found:?}");

    let other = start(Some(&old));
    one_error(
        &other,
        gst::LibraryError::Settings,
        &["already loaded", "new process"],
    );
    assert!(start(None).is_empty());
}
