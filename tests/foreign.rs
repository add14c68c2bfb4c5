// SPDX-License-Identifier: MPL-2.0
//! Generators in the conventions of other exporters: the signature that the element finds, and outputs that are right
//! to one code.

mod common;

use common::conventions::{self, Convention, clamp};
use common::generators::{F16, F32, Net, U8, ints};
use common::picture::Picture;
use common::play::{check, play};
use gst::prelude::*;

#[test]
fn every_operator_set_from_7() {
    // Below 9 with IR version 3, where initializers are listed as inputs.
    for opset in [7, 8, 9, 10, 11, 12, 13, 15, 17, 18, 20, 21] {
        let convention = Convention {
            opset,
            ..Convention::default()
        };
        check(
            &convention.pixelwise(),
            &["F32 0,255 -> y Nchw F32 0,255", "multiple of 1"],
            |picture| convention.reference(picture),
        );
    }
}

#[test]
fn ranges_are_told_from_the_output() {
    for (range, words) in [
        ((0.0, 1.0), "F32 0,1 -> y Nchw F32 0,1"),
        ((0.0, 255.0), "F32 0,255 -> y Nchw F32 0,255"),
        ((-1.0, 1.0), "F32 -1,1 -> y Nchw F32 -1,1"),
    ] {
        let convention = Convention {
            range,
            ..Convention::default()
        };
        check(&convention.pixelwise(), &[words], |picture| {
            convention.reference(picture)
        });
    }
}

#[test]
fn element_types_and_layouts() {
    for nhwc in [false, true] {
        for (element, opset, name) in [(F32, 11, "F32"), (F16, 13, "F16"), (U8, 13, "U8")] {
            let convention = Convention {
                opset,
                element,
                nhwc,
                ..Convention::default()
            };
            let layout = if nhwc { "Nhwc" } else { "Nchw" };
            check(&convention.pixelwise(), &[layout, name], |picture| {
                convention.reference(picture)
            });
        }
    }
}

#[test]
fn a_shape_of_open_axes_is_tried_in_both_layouts() {
    let convention = Convention {
        nhwc: true,
        ..Convention::default()
    };
    let open = [1, -1, -1, -1];
    // Only outputs of three channels are accepted.
    let net = Net::new(13)
        .input("x", F32, &open)
        .output("y", F32, &open)
        .floats(
            "one",
            &[1, 1, 3, 3],
            &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        )
        .node("MatMul", &["x", "one"], "same", vec![]);
    let net = convention.gains(net, "same", "y");
    check(&net, &["Nhwc"], |picture| convention.reference(picture));
}

#[test]
fn channel_order_is_read_from_the_inputs_description() {
    let convention = Convention {
        opset: 7,
        bgr: true,
        ..Convention::default()
    };
    let mut net = convention.pixelwise();
    net.model.graph.get_or_insert_default().input[0].doc_string =
        "Image to stylize. Image(s) in BGR format. It is a [N, C, H, W]-tensor.".into();
    check(&net, &["Bgr"], |picture| convention.reference(picture));
}

#[test]
fn image_metadata_are_read() {
    let convention = Convention {
        bgr: true,
        range: (-1.0, 1.0),
        ..Convention::default()
    };
    let net = convention
        .pixelwise()
        .meta("Image.BitmapPixelFormat", "Bgr8")
        .meta("Image.NominalPixelRange", "Normalized_1_1");
    check(&net, &["Bgr", "F32 -1,1 -> "], |picture| {
        convention.reference(picture)
    });
}

#[test]
fn a_size_in_shapes_only_does_not_bind() {
    let convention = Convention {
        fixed: Some((40, 56)),
        ..Convention::default()
    };
    check(&convention.pixelwise(), &["any size"], |picture| {
        convention.reference(picture)
    });
}

#[test]
fn frames_are_scaled_for_a_size_that_binds() {
    let (width, height) = (40, 56);
    let convention = Convention {
        fixed: Some((width, height)),
        ..Convention::default()
    };
    let net = convention
        .chain("picture", "y")
        .integers("row", &[1, 3, width * height])
        .integers("shape", &[1, 3, height, width]);
    let mut net = net.node("Reshape", &["x", "row"], "pixels", vec![]).node(
        "Reshape",
        &["pixels", "shape"],
        "picture",
        vec![],
    );
    // The two nodes come first.
    net.model.graph.get_or_insert_default().node.rotate_right(2);
    check(&net, &["40x56 only"], |picture| {
        let native = (width as usize, height as usize);
        let frame = (picture.width, picture.height);
        let mut result = picture.clone();
        for c in 0..3 {
            let plane: Vec<f64> = picture.pixels.iter().map(|p| f64::from(p[c])).collect();
            let mut plane = conventions::scaled(&plane, frame, native);
            plane.iter_mut().for_each(|v| *v = convention.value(*v, c));
            let plane = conventions::scaled(&plane, native, frame);
            for (pixel, value) in result.pixels.iter_mut().zip(plane) {
                pixel[c] = clamp(value);
            }
        }
        result
    });
}

#[test]
fn a_transposed_convolution_that_states_its_size_is_freed_from_it() {
    check(
        &conventions::transposed(720, false),
        &["any size", "multiple of 2"],
        |picture| conventions::blocky(picture, 2),
    );
}

#[test]
fn operators_that_onnx_removed_are_understood() {
    for opset in [7, 9, 12] {
        check(&conventions::legacy(opset), &["any size"], |picture| {
            picture.map(|rgb| {
                std::array::from_fn(|c| {
                    let biased = f64::from(rgb[c]) * 0.5 + [-20.0, 0.0, 20.0][c];
                    clamp(biased * 0.5 + 60.0)
                })
            })
        });
    }
}

#[test]
fn size_multiples_are_found() {
    for (opset, step) in [(9, 2), (11, 4), (13, 8), (17, 16), (18, 32)] {
        let multiple = format!("multiple of {step}");
        check(&conventions::blocks(opset, step), &[&multiple], |picture| {
            conventions::blocky(picture, step as usize)
        });
    }
}

#[test]
fn statistics_with_the_size_baked_in_are_found_out() {
    let (_dir, element) = common::element(&conventions::normalized_for(120).bytes());
    let (_, signature) = play(&element, &Picture::varied(64, 48));
    assert!(signature.contains("120x120 only"), "{signature}");
}

#[test]
fn instance_normalization_gets_the_frames_own_statistics() {
    for opset in [7, 13, 22] {
        let (_dir, element) = common::element(&conventions::normalized(opset).bytes());
        let picture = Picture::varied(130, 99);
        let count = picture.pixels.len() as f64;
        let channel = |c: usize| picture.pixels.iter().map(move |p| f64::from(p[c]));
        let mean: [f64; 3] = std::array::from_fn(|c| channel(c).sum::<f64>() / count);
        let deviation: [f64; 3] = std::array::from_fn(|c| {
            let squares = channel(c).map(|v| (v - mean[c]).powi(2));
            (squares.sum::<f64>() / count).sqrt()
        });
        let wanted = picture.map(|rgb| {
            std::array::from_fn(|c| {
                clamp(128.0 + 50.0 * (f64::from(rgb[c]) - mean[c]) / deviation[c])
            })
        });
        let (got, signature) = play(&element, &picture);
        let difference = got.max_difference(&wanted);
        assert!(difference <= 1, "off by {difference} with {signature}");
    }
}

#[test]
fn the_image_among_several_outputs_is_played() {
    let convention = Convention::default();
    let mut net = convention
        .pixelwise()
        .output("score", F32, &[1, 3])
        .output("loss", F32, &[])
        .node("ReduceMean", &["x"], "score", vec![ints("axes", &[2, 3])])
        .node("ReduceMax", &["x"], "loss", vec![]);
    net.model
        .graph
        .get_or_insert_default()
        .output
        .rotate_left(1);
    check(&net, &["-> y"], |picture| convention.reference(picture));
}

#[test]
fn an_output_without_a_shape_takes_the_inputs() {
    for nhwc in [false, true] {
        let convention = Convention {
            nhwc,
            ..Convention::default()
        };
        let mut net = convention.pixelwise();
        let graph = net.model.graph.get_or_insert_default();
        if let Some(kind) = graph.output[0]
            .r#type
            .get_or_insert_default()
            .value
            .as_mut()
        {
            let gststylize::onnx::type_proto::Value::TensorType(tensor) = kind else {
                panic!("a tensor");
            };
            tensor.shape = None;
        }
        check(&net, &["-> y"], |picture| convention.reference(picture));
    }
}

/// Quantized to the end; ONNX Runtime's optimizer moves the scales.
#[test]
fn a_quantized_generator_plays() {
    for nhwc in [false, true] {
        let convention = Convention {
            nhwc,
            range: (0.0, 1.0),
            ..Convention::default()
        };
        let net = convention
            .chain("x", "plain")
            .floats("step", &[], &[1.0 / 255.0])
            .tensor("zero", U8, &[], vec![0])
            .node(
                "QuantizeLinear",
                &["plain", "step", "zero"],
                "bytes",
                vec![],
            )
            .node("DequantizeLinear", &["bytes", "step", "zero"], "y", vec![]);
        check(&net, &["0,1"], |picture| convention.reference(picture));
    }
}

#[test]
fn a_generator_that_shrinks_its_pictures_is_refused() {
    let open = Convention::default().dims();
    let net = Net::new(13)
        .input("x", F32, &open)
        .output("y", F32, &open)
        .node(
            "AveragePool",
            &["x"],
            "y",
            vec![ints("kernel_shape", &[3, 3])],
        );
    let error = refused(&net);
    assert_eq!(error.kind(), Some(gst::StreamError::Format));
    assert!(error.message().contains("keep the size"), "{error:?}");
}

#[test]
fn a_stated_size_behind_an_open_one_is_refused_and_never_run() {
    let error = refused(&conventions::transposed(720, true));
    assert_eq!(error.kind(), Some(gst::StreamError::WrongType));
    assert!(error.message().contains("ConvTranspose"), "{error:?}");
}

/// The one error with which the element does not start.
fn refused(net: &Net) -> gst::glib::Error {
    let (_dir, element) = common::element(&net.bytes());
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    element.set_state(gst::State::Null).expect("stopped");
    let mut errors = common::errors(&bus);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0).error
}
