// SPDX-License-Identifier: MPL-2.0
//! Generators with a style input that paint everything in one colour.

use super::generators::{F32, NCHW, Net};

/// The colour of each style; each sums to 255, so that any mix does.
pub const COLOURS: [[f32; 3]; 4] = [
    [255.0, 0.0, 0.0],
    [0.0, 255.0, 0.0],
    [0.0, 0.0, 255.0],
    [85.0, 85.0, 85.0],
];
pub const NAMES: &str = "red,green,blue,grey";

/// Paints everything in the mixed colour of its styles.
pub fn net(dims: &[i64]) -> Net {
    let table: Vec<f32> = COLOURS.iter().flatten().map(|v| v / 255.0).collect();
    painter(dims)
        .meta("stylize.styles", NAMES)
        .integers("row", &[1, 4])
        .floats("table", &[4, 3], &table)
        .node("Reshape", &["mix", "row"], "weights", vec![])
        .node("MatMul", &["weights", "table"], "colour", vec![])
}

/// Paints everything in `colour`, which is made of the style input `mix`.
pub fn painter(dims: &[i64]) -> Net {
    Net::new(13)
        .input("x", F32, &NCHW)
        .input("mix", F32, dims)
        .output("y", F32, &NCHW)
        .meta("stylize.input-range", "0,1")
        .meta("stylize.output-range", "0,1")
        .meta("stylize.size-multiple", "1")
        .meta("stylize.size-minimum", "1")
        .floats("nothing", &[], &[0.0])
        .integers("pixel", &[1, 3, 1, 1])
        .node("Reshape", &["colour", "pixel"], "paint", vec![])
        .node("Mul", &["x", "nothing"], "canvas", vec![])
        .node("Add", &["canvas", "paint"], "y", vec![])
}

/// The graph in topological order.
pub fn bytes(mut net: Net) -> Vec<u8> {
    let graph = net.model.graph.get_or_insert_default();
    graph.node.rotate_left(3);
    net.bytes()
}

/// The colour for these weights.
pub fn mixed(weights: [f32; 4]) -> [f32; 3] {
    [0, 1, 2].map(|c| (0..4).map(|i| weights[i] * COLOURS[i][c]).sum())
}

#[track_caller]
pub fn close(got: [f32; 3], weights: [f32; 4]) {
    let wanted = mixed(weights);
    let near = got.iter().zip(wanted).all(|(a, b)| (a - b).abs() <= 1.0);
    assert!(near, "{got:?} is not {wanted:?}");
}
