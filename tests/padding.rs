// SPDX-License-Identifier: MPL-2.0
//! Generators that begin with padding, which is rewritten for some providers.

mod common;

use common::conventions::{Convention, clamp};
use common::generators::{F32, Net, ints, text};
use common::picture::Picture;
use common::play::check_element;

/// Rows and columns that are added at the top, left, bottom and right.
const BORDER: [i64; 4] = [2, 1, 3, 0];
/// Width and height must be multiples of it.
const MULTIPLE: usize = 4;

/// Pads, takes a maximum that includes the border, and applies pixelwise gains.
fn net(convention: &Convention, mode: &str) -> Net {
    let [top, left, bottom, right] = BORDER;
    let pads = [0, 0, top, left, 0, 0, bottom, right];
    let net = Net::new(convention.opset)
        .input("x", F32, &convention.dims())
        .output("y", F32, &convention.dims())
        .meta("stylize.size-multiple", &MULTIPLE.to_string())
        .meta("stylize.size-minimum", "16")
        .meta(
            "stylize.channel-order",
            if convention.bgr { "bgr" } else { "rgb" },
        );
    let mut attributes = vec![text("mode", mode)];
    let net = if convention.opset < 11 {
        attributes.push(ints("pads", &pads));
        net.node("Pad", &["x"], "padded", attributes)
    } else {
        net.integers("pads", &pads)
            .node("Pad", &["x", "pads"], "padded", attributes)
    };
    let reach = vec![ints("kernel_shape", &[top + bottom + 1, left + right + 1])];
    let net = net.node("MaxPool", &["padded"], "highest", reach);
    convention.gains(net, "highest", "y")
}

/// The expected output.
fn reference(convention: &Convention, mode: &str, picture: &Picture) -> Picture {
    let (width, height) = (picture.width, picture.height);
    // Maps an index outside the picture to a pixel.
    let reflect = |i: i64, n: i64| {
        let folded = if i < 0 { -i } else { i };
        if folded < n {
            folded
        } else {
            2 * (n - 1) - folded
        }
    };
    // First the element's padding at the right and bottom, then the generator's on all sides.
    let source = |i: i64, n: usize| {
        let n = n as i64;
        let whole = (n as usize).next_multiple_of(MULTIPLE) as i64;
        let inner = match mode {
            "edge" => i.clamp(0, whole - 1),
            _ => reflect(i, whole),
        };
        reflect(inner, n) as usize
    };
    let [top, left, bottom, right] = BORDER;
    let highest = |x: usize, y: usize, c: usize| {
        let rows = (y as i64 - top..=y as i64 + bottom).map(|i| source(i, height));
        let reached = rows.flat_map(|row| {
            let columns = (x as i64 - left..=x as i64 + right).map(|i| source(i, width));
            columns.map(move |column| picture.pixels[row * width + column][c])
        });
        reached.max().unwrap_or(0)
    };
    let pixel = |i: usize| {
        let [r, g, b] = [0, 1, 2].map(|c| {
            let value = f64::from(highest(i % width, i / width, c));
            clamp(convention.value(value, c))
        });
        [r, g, b, picture.pixels[i][3]]
    };
    Picture {
        pixels: (0..picture.pixels.len()).map(pixel).collect(),
        ..*picture
    }
}

#[test]
fn padding_at_the_beginning_is_the_same_on_every_provider() {
    for provider in common::PROVIDERS {
        for mode in ["reflect", "edge"] {
            for (opset, range, bgr) in [
                (9, (0.0, 255.0), false),
                (11, (0.0, 255.0), true),
                (13, (-1.0, 1.0), true),
                (17, (0.0, 1.0), false),
            ] {
                let convention = Convention {
                    opset,
                    range,
                    bgr,
                    ..Convention::default()
                };
                let bytes = net(&convention, mode).bytes();
                let (_dir, element) = common::element_on(provider, &bytes);
                check_element(&element, &["multiple of 4"], |picture| {
                    reference(&convention, mode, picture)
                });
            }
        }
    }
}
