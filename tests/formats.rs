// SPDX-License-Identifier: MPL-2.0
//! Every format, stride and odd size against scalar references, on generators whose result is known.

mod common;

use common::generators::{self, Net};
use common::picture::{FORMATS, Picture};
use gst::prelude::*;
use gst_check::Harness;

/// Pushes one frame through the element and returns the output.
fn play(
    element: &gst::Element,
    picture: &Picture,
    (format, name): (gst_video::VideoFormat, &str),
    padding: usize,
) -> Picture {
    let info = gst_video::VideoInfo::builder(format, picture.width as u32, picture.height as u32)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .expect("video info");
    let mut harness = Harness::with_element(element, Some("sink"), Some("src"));
    let caps = info.to_caps().expect("caps");
    harness.set_src_caps(caps.clone());
    let row = picture.width * name.len();
    let stride = row.next_multiple_of(4) + padding;
    let mut buffer = picture.buffer(format, name, stride);
    buffer
        .get_mut()
        .expect("fresh")
        .set_pts(gst::ClockTime::ZERO);
    let out = harness.push_and_pull(buffer).expect("a frame");
    assert_eq!(
        harness.sinkpad().and_then(|pad| pad.current_caps()),
        Some(caps),
        "caps out are caps in"
    );
    Picture::read(&out, &info, name)
}

/// All providers × formats × strides × sizes; `reference` is the generator's effect on one pixel.
fn check(net: &Net, tolerance: u8, reference: impl Fn([u8; 3]) -> [u8; 3]) {
    for provider in common::PROVIDERS {
        let (_dir, element) = common::element_on(provider, &net.bytes());
        // OpenVINO compiles slowly, so it gets one odd size for all formats.
        let sizes = [(33, 17), (16, 16), (64, 48)];
        let sizes = if *provider == "cpu" {
            &sizes[..]
        } else {
            &sizes[..1]
        };
        for &(width, height) in sizes {
            let picture = Picture::varied(width, height);
            let wanted = picture.map(&reference);
            for (format, name) in FORMATS {
                for padding in [0, 20] {
                    let got = play(&element, &picture, (format, name), padding);
                    let context = format!("{provider} {name} {width}x{height} padding {padding}");
                    let difference = got.max_difference(&wanted);
                    assert!(difference <= tolerance, "{context}: off by {difference}");
                    if name.len() == 4 {
                        let same = |a: &Picture, b: &Picture| {
                            a.pixels.iter().zip(&b.pixels).all(|(a, b)| a[3] == b[3])
                        };
                        assert!(same(&got, &picture), "{context}: the fourth byte changed");
                    }
                }
            }
        }
    }
}

#[test]
fn identity_changes_nothing() {
    check(&generators::identity(17), 0, |rgb| rgb);
}

#[test]
fn identity_in_the_oldest_operator_set_changes_nothing() {
    check(&generators::identity(7), 0, |rgb| rgb);
}

#[test]
fn negative_is_exact() {
    check(&generators::negative(13), 1, |rgb| rgb.map(|v| 255 - v));
}

#[test]
fn channels_are_not_mixed_up() {
    check(&generators::rotate_channels(17), 0, |[r, g, b]| [g, b, r]);
}

#[test]
fn bgr_generators_get_bgr() {
    // In the generator's own order, (b, g, r) → (g, r, b).
    let net = generators::rotate_channels(11).meta("stylize.channel-order", "bgr");
    check(&net, 0, |[r, g, b]| [b, r, g]);
}

#[test]
fn mean_and_deviation_per_channel_are_undone() {
    let range = "-2.1179,2.2489;-2.0357,2.4286;-1.8044,2.64";
    let mut net = generators::identity(17);
    for entry in &mut net.model.metadata_props {
        if entry.key.ends_with("range") {
            entry.value = range.into();
        }
    }
    check(&net, 1, |rgb| rgb);
}

#[test]
fn overshoot_is_clamped_and_does_not_wrap() {
    // y = 3x − 1 leaves 0..1 on both sides.
    for opset in [7, 17] {
        let net = Net::new(opset)
            .input("x", generators::F32, &generators::NCHW)
            .output("y", generators::F32, &generators::NCHW)
            .floats("three", &[1], &[3.0])
            .floats("one", &[1], &[1.0])
            .node("Mul", &["x", "three"], "a", vec![])
            .node("Sub", &["a", "one"], "y", vec![])
            .meta("stylize.input-range", "0,1")
            .meta("stylize.output-range", "0,1")
            .meta("stylize.size-multiple", "1")
            .meta("stylize.size-minimum", "1");
        check(&net, 1, |rgb| {
            rgb.map(|v| (3.0 * f32::from(v) - 255.0).round().clamp(0.0, 255.0) as u8)
        });
    }
}

#[test]
fn strength_mixes_linearly_in_every_format() {
    for provider in common::PROVIDERS {
        let (_dir, element) = common::element_on(provider, &generators::negative(17).bytes());
        for strength in [0.0, 0.25, 0.5, 1.0] {
            element.set_property("strength", strength);
            let picture = Picture::varied(33, 17);
            let wanted = picture.map(|rgb| {
                rgb.map(|v| {
                    let source = f64::from(v);
                    (source + strength * (255.0 - 2.0 * source)).round() as u8
                })
            });
            for format in FORMATS {
                let got = play(&element, &picture, format, 0);
                let difference = got.max_difference(&wanted);
                let bound = u8::from(strength > 0.0);
                let context = format!("{provider} {} at {strength}", format.1);
                assert!(difference <= bound, "{context}: {difference}");
            }
        }
    }
}

#[test]
fn sizes_are_padded_by_reflection_and_cropped() {
    // A generator that halves and doubles needs even sizes; its means over 2x2 blocks at the right
    // and bottom edge of an odd picture see the reflected neighbours.
    let net = Net::new(17)
        .input("x", generators::F32, &generators::NCHW)
        .output("y", generators::F32, &generators::NCHW)
        .node(
            "AveragePool",
            &["x"],
            "small",
            vec![
                generators::ints("kernel_shape", &[2, 2]),
                generators::ints("strides", &[2, 2]),
            ],
        )
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("Resize", &["small", "", "scales"], "y", vec![])
        .meta("stylize.input-range", "0,255")
        .meta("stylize.output-range", "0,255")
        .meta("stylize.size-multiple", "2")
        .meta("stylize.size-minimum", "1");
    let (_dir, element) = common::element(&net.bytes());
    let picture = Picture::varied(33, 17);
    let got = play(&element, &picture, FORMATS[0], 0);
    let reflect = |i: usize, n: usize| if i < n { i } else { 2 * (n - 1) - i };
    for y in 0..picture.height {
        for x in 0..picture.width {
            for c in 0..3 {
                let mut sum = 0.0;
                for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let row = reflect(y / 2 * 2 + dy, picture.height);
                    let column = reflect(x / 2 * 2 + dx, picture.width);
                    sum += f64::from(picture.pixels[row * picture.width + column][c]);
                }
                let got = f64::from(got.pixels[y * picture.width + x][c]);
                assert!(
                    (got - sum / 4.0).abs() <= 1.0,
                    "{x},{y}: {got} {}",
                    sum / 4.0
                );
            }
        }
    }
}

#[test]
fn a_last_row_without_padding_is_read_and_a_short_buffer_is_an_error() {
    let (_dir, element) = common::element(&generators::identity(17).bytes());
    let picture = Picture::varied(20, 16);
    let (format, name) = FORMATS[0];
    let info = gst_video::VideoInfo::builder(format, 20, 16)
        .build()
        .expect("video info");
    let stride = 80;
    for (missing, works) in [(20, true), (21, false)] {
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        harness.set_src_caps(info.to_caps().expect("caps"));
        let mut buffer = picture.buffer(format, name, stride);
        let whole = buffer.size();
        buffer.get_mut().expect("fresh").set_size(whole - missing);
        let flow = harness.push(buffer);
        if works {
            flow.expect("pushed");
            let out = harness.pull().expect("a frame");
            assert_eq!(Picture::read(&out, &info, name).max_difference(&picture), 0);
        } else {
            assert_eq!(flow, Err(gst::FlowError::Error));
            assert!(
                harness.try_pull().is_none(),
                "nothing half-written is pushed"
            );
            assert_eq!(common::errors(&bus).len(), 1);
        }
    }
}
