// SPDX-License-Identifier: MPL-2.0
//! `.modelinfo` files, beside a generator with a style input.
#![no_main]

use std::sync::LazyLock;

use gststylize::model::{Model, modelinfo};
use libfuzzer_sys::fuzz_target;

mod shared;

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    Model::parse(gststylize::gallery::LITE.onnx).expect("the built-in generator")
});

fuzz_target!(|data: &[u8]| {
    let file = shared::file("model.onnx.modelinfo", data);
    let model_file = file.with_extension("");
    let mut model = MODEL.clone();
    let _ = modelinfo::conventions(&mut model, &model_file);
    if let Ok(Some(predictor)) = modelinfo::predictor(&model_file) {
        assert!(predictor.starts_with(file.parent().expect("a folder")));
    }
});
