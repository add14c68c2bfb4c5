// SPDX-License-Identifier: MPL-2.0
//! Sidecar files `.modelinfo`, and the priority of sources of conventions.

mod common;

use common::conventions::Convention;
use common::generators::{F32, Net};
use common::play::check_element;
use gst::prelude::*;

/// A convention that cannot be measured: linear, over −1..1, BGR.
const UNTOLD: Convention = Convention {
    opset: 13,
    element: F32,
    nhwc: false,
    bgr: true,
    range: (-1.0, 1.0),
    fixed: None,
};

const SIDECAR: &str = include_str!("fixtures/signed-bgr.onnx.modelinfo");

/// An element whose model lies beside files with these names and contents.
fn with_files(net: &Net, files: &[(&str, &str)]) -> (tempfile::TempDir, gst::Element) {
    let (dir, element) = common::element(&net.bytes());
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).expect("a file");
    }
    (dir, element)
}

#[test]
fn a_sidecar_is_read_in_both_places() {
    let net = UNTOLD.pixelwise();
    let nonsense = "[modelinfo]\nversion=1.0\n[x]\nranges=warm\n";
    for files in [
        &[("model.onnx.modelinfo", SIDECAR)][..],
        &[("model.modelinfo", SIDECAR)],
        // The longer name has priority.
        &[
            ("model.onnx.modelinfo", SIDECAR),
            ("model.modelinfo", nonsense),
        ],
    ] {
        let (_dir, element) = with_files(&net, files);
        check_element(
            &element,
            &["F32 -1,1 -> y Nchw F32 -1,1", "Bgr"],
            |picture| UNTOLD.reference(picture),
        );
    }
}

#[test]
fn properties_go_before_the_sidecar_and_the_sidecar_before_metadata() {
    let rgb = Convention {
        bgr: false,
        ..UNTOLD
    };
    let net = rgb.pixelwise().meta("stylize.input-range", "0,1");
    let (_dir, element) = with_files(&net, &[("model.modelinfo", SIDECAR)]);
    element.set_property_from_str("channel-order", "rgb");
    check_element(&element, &["F32 -1,1 -> ", "Rgb"], |picture| {
        rgb.reference(picture)
    });
}

#[test]
fn a_sidecar_that_makes_no_sense_is_one_error() {
    common::init();
    for (content, words) in [
        ("[modelinfo]\nversion=2.0\n", ["version=2.0", "1.x"]),
        ("[x]\nranges=0,1\n", ["version=", "1.x"]),
        ("ranges\n", ["key file", "[modelinfo]"]),
        (
            "[modelinfo]\nversion=1.0\n[x]\nranges=0;255\n",
            ["[x] ranges=0;255", "min,max"],
        ),
        (
            "[modelinfo]\nversion=1.0\n[stylize]\nchannel-order=rbg\n",
            ["channel-order=rbg", "rgb or bgr"],
        ),
        (
            "[modelinfo]\nversion=1.0\n[stylize]\nsize-multiple=0\n",
            ["size-multiple=0", "1 to 256"],
        ),
    ] {
        let (dir, element) = with_files(&UNTOLD.pixelwise(), &[("model.modelinfo", content)]);
        let error = common::refused(&element);
        assert_eq!(error.error.kind(), Some(gst::ResourceError::Settings));
        let text = error.error.message();
        let file = dir.path().join("model.modelinfo");
        assert!(text.contains(file.to_str().expect("UTF-8")), "{text}");
        for word in words {
            assert!(text.contains(word), "\"{word}\" in: {text}");
        }
        drop(dir);
    }
}

/// The example in docs/models.md is a sidecar that loads, for a model whose input has its name.
#[test]
fn the_sidecar_in_the_docs_loads() {
    let page = include_str!("../docs/models.md");
    let (_, rest) = page.split_once("```ini\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let sidecar = example.replace("[input]", "[x]");
    assert_ne!(sidecar, example);
    let told = Convention {
        range: (0.0, 255.0),
        ..UNTOLD
    };
    let (_dir, element) = with_files(&told.pixelwise(), &[("model.modelinfo", &sidecar)]);
    check_element(
        &element,
        &["F32 0,255 -> y Nchw F32 0,255", "Bgr"],
        |picture| told.reference(picture),
    );
}
