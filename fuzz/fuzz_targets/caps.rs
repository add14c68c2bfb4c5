// SPDX-License-Identifier: MPL-2.0
//! Caps with memory layouts, and the graphs that are compiled for them.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use gststylize::graph::{self, Blend, Colour, Effects, Lowering, FrameInputs, Kernels, Scaling, Upscale};
use gststylize::model::{Conventions, Model, Signature};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    format: u8,
    width: i16,
    height: i16,
    colorimetry: u8,
    site: u8,
    interlaced: u8,
    /// Of planes; none: the usual ones.
    planes: Vec<(Place, Place)>,
    switches: u8,
    effects: u8,
    inference_height: u16,
}

/// Numbers near the interesting ones.
#[derive(Debug, Arbitrary)]
enum Place {
    Row(i8),
    Plane(i8),
    Any(i32),
    Huge(u64),
}

impl Place {
    fn number(&self, width: i64, height: i64) -> i64 {
        match self {
            Self::Row(more) => width * 4 + i64::from(*more),
            Self::Plane(more) => width * height + i64::from(*more),
            Self::Any(number) => (*number).into(),
            Self::Huge(number) => *number as i64,
        }
    }
}

const FORMATS: [&str; 26] = [
    "RGB", "BGR", "RGBx", "BGRx", "xRGB", "xBGR", "RGBA", "BGRA", "ARGB", "ABGR", "NV12", "NV21",
    "I420", "YV12", "Y42B", "Y444", "YUY2", "UYVY", "GBR", "RGBP", "GRAY8", "P010_10LE",
    "I420_10LE", "I422_10LE", "Y444_10LE", "v210",
];
const COLORIMETRIES: [&str; 8] = [
    "bt601", "bt709", "bt2020", "smpte240m", "sRGB", "bt2100-pq", "1:4:0:0", "2:0:0:0",
];
const SITES: [&str; 6] = ["mpeg2", "jpeg", "dv", "none", "cosited", "alt-line"];

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    gst::init().expect("GStreamer");
    Model::parse(&include_bytes!("../corpus/model/identity.onnx")[..]).expect("a generator")
});

fuzz_target!(|input: Input| {
    let model = &*MODEL;
    let one_of = |list: &[&'static str], index: u8| list[usize::from(index) % list.len()];
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", one_of(&FORMATS, input.format))
        .field("width", i32::from(input.width))
        .field("height", i32::from(input.height))
        .field("framerate", gst::Fraction::new(25, 1))
        .field("colorimetry", one_of(&COLORIMETRIES, input.colorimetry))
        .field("chroma-site", one_of(&SITES, input.site))
        .field("interlace-mode", one_of(&["progressive", "progressive", "interleaved"], input.interlaced))
        .build();
    let (width, height) = (i64::from(input.width), i64::from(input.height));
    let planes = input.planes.iter().take(4);
    let (offsets, strides): (Vec<usize>, Vec<i32>) = planes
        .map(|(offset, stride)| {
            let offset = offset.number(width, height) as usize;
            (offset, stride.number(width, height) as i32)
        })
        .unzip();
    let Ok(frame) = gststylize::stylize::fuzzing::layout(&caps, &offsets, &strides) else {
        return;
    };
    assert!(frame.is_sound(&frame.source) && frame.is_sound(&frame.target));
    // Larger ones are not other graphs, but they take long; what a frame's rows are padded with is part of
    // the graph, and takes as much memory as the frame that has it.
    let bytes = frame.size(&frame.source).max(frame.size(&frame.target));
    if width * height > 256 * 256 || bytes > 1 << 24 {
        return;
    }
    let bit = |bit: u8| input.switches >> bit & 1 == 1;
    let effects = Effects {
        inference_height: usize::from(input.inference_height % 512),
        upscale: [Upscale::Bilinear, Upscale::Guided][usize::from(input.effects & 1)],
        colour: [Colour::Style, Colour::Source, Colour::Match][usize::from(input.effects >> 1) % 3],
        stability: bit(0),
        mask: bit(1),
    };
    let forms = Lowering {
        blend: if bit(2) { Blend::Always } else { Blend::Branch },
        scaling: if bit(3) { Scaling::Kernels } else { Scaling::Products },
        early_pad: bit(4),
        half: bit(5),
        frame: if bit(6) { FrameInputs::One } else { FrameInputs::Two },
        kernels: [Kernels::All, Kernels::Floats, Kernels::WebGpu][usize::from(input.effects >> 4) % 3],
    };
    let signature = Signature::resolve(model, &Conventions::default());
    let _ = graph::compile(model, &signature, &frame, effects, forms);
});
