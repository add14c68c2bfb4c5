// SPDX-License-Identifier: MPL-2.0
//! Names of the inputs and outputs of a compiled graph.

/// Name of the graph input that takes the frame's bytes, u8: `[H, stride]` for packed formats, `[1, size]` for
/// planar ones.
pub const FRAME: &str = "stylize/frame";
/// Name of the graph input that takes the same bytes once more, for the mix. Two inputs, so that the
/// provider's compiler cannot share one u8 to f32 conversion between generator and mix and keep it
/// alive in full precision meanwhile, which took 10 % of the time with OpenVINO. Absent with
/// [`FrameInputs::One`](crate::graph::FrameInputs::One).
pub const SOURCE: &str = "stylize/source";
/// Name of the graph input that takes the strength, f32 `[1]` in 0..1.
pub const STRENGTH: &str = "stylize/strength";
/// Name of the graph input that takes the first painted column of pixels, f32 `[1]`, an integer: the columns left
/// of it show the source.
pub const SPLIT: &str = "stylize/split";
/// Name of the graph input that takes the values of the style input, f32 `[N]`; absent for a generator without one.
pub const STYLE: &str = "stylize/style";
/// Name of the graph input that takes the weight of the previous frame where nothing moved, f32 `[1]` in 0..1; only
/// with [`Effects::stability`](crate::graph::Effects::stability).
pub const STABILITY: &str = "stylize/stability";
/// Name of the graph input that takes the mask, u8 `[1, 1, H, W]`, 255 for the painting; only with
/// [`Effects::mask`](crate::graph::Effects::mask).
pub const MASK: &str = "stylize/mask";
/// Name of the graph output, u8, shaped as [`FRAME`] for the memory layout of the written frame.
pub const OUT: &str = "stylize/out";
