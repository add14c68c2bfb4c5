// SPDX-License-Identifier: MPL-2.0
//! Model files: bytes as they come, and models that are one but for some changes, read and compiled for
//! frames of several kinds.
#![no_main]

use gststylize::graph::{
    self, Blend, Colour, Effects, Format, Lowering, Frame, FrameInputs, Kernels, Memory, Packed, Scaling,
    Upscale,
};
use gststylize::model::{Conventions, Layout, Model, Signature, metadata};
use gststylize::onnx;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

mod mutate;

const WIDTH: usize = 64;
const HEIGHT: usize = 48;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = mutate::Random::new(seed);
    if random.one_in(4) {
        return fuzzer_mutate(data, size, max_size);
    }
    let Ok(mut model) = onnx::read(data[..size].to_vec()) else {
        return fuzzer_mutate(data, size, max_size);
    };
    for _ in 0..=random.below(3) {
        mutate::mutate(&mut model, &mut random);
    }
    match onnx::write(&model) {
        Ok(bytes) if bytes.len() <= max_size => {
            data[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});

fuzz_target!(|data: &[u8]| {
    let Ok(model) = Model::parse(data.to_vec()) else {
        return;
    };
    let Ok(conventions) = metadata::conventions(&model) else {
        return;
    };
    for resizable in [None, Some(true)] {
        let conventions = Conventions { resizable, ..conventions };
        let signature = Signature::resolve(&model, &conventions);
        let _ = signature.to_string();
        let _ = signature.picture_size(WIDTH, HEIGHT);
        for (effects, forms) in jobs() {
            // The parts of the compiler do not depend on the size; a size that is bound may be large.
            if let Ok(graph) = graph::compile(&model, &signature, &frame(), effects, forms) {
                names_no_file(&graph);
            }
        }
    }
    for layout in [Layout::Nchw, Layout::Nhwc] {
        if let Ok(graph) = model.at_size(layout, WIDTH, HEIGHT) {
            names_no_file(&graph);
        }
    }
});

/// A job for each kind of provider.
fn jobs() -> [(Effects, Lowering); 3] {
    let forms = Lowering {
        blend: Blend::Branch,
        scaling: Scaling::Kernels,
        early_pad: false,
        half: false,
        frame: FrameInputs::Two,
        kernels: Kernels::All,
    };
    let compiler = Lowering {
        blend: Blend::Always,
        scaling: Scaling::Products,
        early_pad: true,
        ..forms
    };
    let gpu = Lowering {
        half: true,
        frame: FrameInputs::One,
        kernels: Kernels::WebGpu,
        ..forms
    };
    let smaller = Effects {
        inference_height: 32,
        upscale: Upscale::Guided,
        colour: Colour::Match,
        stability: true,
        mask: true,
    };
    [
        (Effects::default(), forms),
        (Effects::default(), compiler),
        (smaller, gpu),
    ]
}

fn frame() -> Frame {
    let memory = Memory {
        strides: [WIDTH * 3, 0, 0],
        ..Memory::default()
    };
    Frame {
        format: Format::Packed(Packed {
            bytes: 3,
            rgb: [0, 1, 2],
        }),
        width: WIDTH,
        height: HEIGHT,
        source: memory,
        target: memory,
    }
}

/// What ONNX Runtime is given names no file.
fn names_no_file(graph: &[u8]) {
    let mut model = onnx::read(graph.to_vec()).expect("what was written can be read");
    let outside = onnx::walk::tensors(&mut model, &mut |tensor| {
        match tensor.external_data.is_empty() && tensor.data_location == 0 {
            true => Ok(()),
            false => Err(()),
        }
    });
    assert!(outside.is_ok());
}
