// SPDX-License-Identifier: MPL-2.0
//! The graph compiler: a generator, a frame format and effects become one ONNX graph.
//!
//! `frame (u8) → planes → range → scale, pad → generator → crop → colour, scale back → range → mix,
//! split → clamp → frame (u8)`. Pure functions over protobuf: the result is handed to a runtime as bytes.
//! The pixel work then runs on the same execution provider as the network, fused by its compiler,
//! and only bytes cross a bus.

mod attribute;
mod builder;
mod bus;
mod codes;
mod colour;
mod components;
mod early_pad;
mod effects;
mod emit;
mod format;
mod guided;
mod half;
mod ingest;
mod interleaved;
mod kernels;
mod late_shuffle;
mod mix;
mod packed;
mod planes;
mod range;
mod resample;
mod scale;
mod small;
mod stability;
mod tiles;

pub use effects::{Colour, Effects, Sizes, Upscale};
pub use format::{Components, Depth, Format, Frame, Matrix, Memory, PLANES, Packed, Planar, Plane};

use crate::model::edit::{serialize, value_info};
use crate::model::{ElementType, Extent, Model, ModelError, Signature};
use builder::Builder;
use ingest::How;
use late_shuffle::SIDE;

/// Name of the graph input that takes the frame's bytes, u8 `[H, stride]`, of a frame of planes
/// `[1, size]`.
pub const FRAME: &str = "stylize/frame";
/// Name of the graph input that takes the same bytes once more, for the mix. With one input for
/// both uses, compilers share the conversion to float between the generator and the mix, and keep
/// it in full precision and memory in between: 10 % of the time with OpenVINO. Not there with
/// [`Given::Once`].
pub const SOURCE: &str = "stylize/source";
/// Name of the graph input that takes the strength, f32 `[1]` in 0..1.
pub const STRENGTH: &str = "stylize/strength";
/// Name of the graph input that takes the first column of pixels that is painted, f32 `[1]`, a whole
/// number: those left of it show the source.
pub const SPLIT: &str = "stylize/split";
/// Name of the graph input that takes the values of a style input, f32 `[N]`; not there for a
/// generator without one.
pub const STYLE: &str = "stylize/style";
/// Name of the graph input that takes the weight of the past where nothing moved, f32 `[1]` in 0..1;
/// only there with [`Effects::stability`].
pub const STABILITY: &str = "stylize/stability";
/// Name of the graph input that takes the mask, u8 `[1, 1, H, W]`, 255 for all of the painting; only
/// there with [`Effects::mask`].
pub const MASK: &str = "stylize/mask";
/// Name of the graph output, shaped like the input in the memory of the frame that is written.
pub const OUT: &str = "stylize/out";

/// How the mix with the source frame is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blend {
    /// On every frame: free where the provider fuses elementwise operators.
    Always,
    /// In a branch that is only taken below full strength: for providers that do not fuse.
    Branch,
}

/// How pictures are scaled and their parts put in place; they come out alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// By `AveragePool` and `Resize`, where they can, and by copies.
    Kernels,
    /// By products with small matrices and by transposition: for providers that are slow at the
    /// others.
    Products,
}

/// How many inputs have the frame's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// [`FRAME`] and [`SOURCE`]: what a compiler does not see to be one, it does not keep in between.
    Twice,
    /// [`FRAME`] alone, which crosses a bus once. With a mask they are two all the same, because
    /// there may be two styles, and then the second is mixed with what the first made.
    Once,
}

/// Which kernels a provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// Those for all that the compiler writes.
    All,
    /// None for bytes but conversions of inputs and outputs, as TensorRT has them.
    Floats,
    /// Those of WebGPU, which knows no bytes: they come and go as u32, four in each, in one row.
    WebGpu,
}

/// Which of several forms of the same job a provider executes fastest; the pictures are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forms {
    pub blend: Blend,
    pub scaling: Scaling,
    /// Whether a padding that the generator begins with is done on the frame's bytes: saves a
    /// twentieth of the time where the provider is a compiler that orders tensors by itself.
    pub early_pad: bool,
    /// Whether a float32 generator is converted to float16, because the provider computes in what
    /// the graph says.
    pub half: bool,
    /// How many times a frame is given.
    pub frame: Given,
    /// For which operators and types there are kernels.
    pub kernels: Kernels,
}

/// A float32 tensor that the graph makes for the next frame: its name as an input and as an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Zeros before the first frame.
    pub input: &'static str,
    /// What the next frame gets.
    pub output: &'static str,
    /// Sizes of its axes.
    pub shape: [usize; 4],
}

/// Why no graph could be compiled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // Each variant's message documents it.
pub enum GraphError {
    #[error(
        "The model uses operator set {0}, which is too old. Export it with operator set 7 or newer."
    )]
    OldOpset(i64),
    #[error(
        "The model cannot be converted to 16-bit floats, because of its operator {0}. Set precision=fp32."
    )]
    Half(String),
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Oldest operator set that the builder has forms for.
const OLDEST_OPSET: i64 = 7;

/// Compiles the job of stylizing one frame. The result is a serialized ONNX model with the inputs
/// [`FRAME`], [`SOURCE`], [`STRENGTH`], [`SPLIT`], [`STYLE`], the generator's noise inputs and what
/// `effects` need, and the output [`OUT`].
pub fn compile(
    model: &Model,
    signature: &Signature,
    frame: &Frame,
    effects: Effects,
    forms: Forms,
) -> Result<Vec<u8>, GraphError> {
    let opset = model.opset();
    if opset < OLDEST_OPSET {
        return Err(GraphError::OldOpset(opset));
    }
    let mut proto = model.open();
    let graph = proto.graph.mut_or_insert_default();
    let mut signature = signature.clone();
    if forms.half && signature.input.element == ElementType::F32 {
        let noise = model.noise().iter().map(|noise| noise.name.clone());
        let style = model.style().map(|style| style.name.clone());
        let given: Vec<String> = noise.chain(style).collect();
        signature.output.element = half::convert(graph, &signature, &given)?;
        signature.input.element = ElementType::F16;
    }
    let signature = &signature;
    let packed = matches!(frame.format, Format::Packed(_));
    let sizes = effects.sizes(signature, frame.width, frame.height);
    // Bytes cannot be scaled well.
    let bytes = packed && sizes.shown == sizes.frame;
    let early_pad = match forms.early_pad && bytes {
        true => early_pad::take(graph, signature, opset),
        false => None,
    };
    let takes_bytes = signature.input.element == ElementType::U8 && sizes.picture == sizes.frame;
    let how = match &early_pad {
        Some(pad) => How::EarlyPad(pad),
        None if bytes && takes_bytes => How::Bytes,
        None => How::Floats,
    };
    // ONNX Runtime's `QDQPropagationTransformer` (1.24 to 1.32) writes past the inputs of an `If` that
    // captures what a `DequantizeLinear` made. And what every frame
    // needs of the source, and the next frame of this one, is made in no branch.
    let everywhere = effects.stability || effects.colour != Colour::Style;
    // Branches hold bytes.
    let floats = forms.kernels != Kernels::All;
    let blend = match model.is_quantized() || effects.mask || everywhere || floats {
        true => Blend::Always,
        false => forms.blend,
    };
    let shuffle = match takes_blocks(signature, frame, &sizes) {
        true => late_shuffle::take(graph, signature),
        false => None,
    };
    let mut ingest = Builder::new(opset);
    if let Some(style) = model.style() {
        ingest::style(&mut ingest, style, STYLE);
    }
    let (ingested, seen) = ingest::build(&mut ingest, signature, frame, &sizes, how, forms.scaling);
    let mut emit = ingest.continued();
    let job = emit::Job {
        signature,
        frame,
        sizes: &sizes,
        effects: &effects,
        seen: seen.as_ref(),
        shuffle: shuffle.as_ref(),
        blend,
        scaling: forms.scaling,
    };
    emit::build(&mut emit, &job, &ingested, OUT);
    let free = emit.continued();

    ingest.append_to(graph, true);
    emit.append_to(graph, false);
    let [source, target] =
        [frame.source, frame.target].map(|memory| frame.shape(&memory).map(|size| size as i64));
    graph.input = vec![
        value_info(FRAME, ElementType::U8, Some(&source)),
        value_info(SOURCE, ElementType::U8, Some(&source)),
        value_info(STRENGTH, ElementType::F32, Some(&[1])),
        value_info(SPLIT, ElementType::F32, Some(&[1])),
    ];
    if let Some(style) = model.style() {
        let len = style.size() as i64;
        let value = value_info(STYLE, ElementType::F32, Some(&[len]));
        graph.input.push(value);
    }
    let (height, width) = sizes.picture;
    graph.input.extend(model.noise_inputs(width, height));
    graph.output = vec![value_info(OUT, ElementType::U8, Some(&target))];
    if effects.stability {
        let value = value_info(STABILITY, ElementType::F32, Some(&[1]));
        graph.input.push(value);
    }
    if effects.mask {
        let shape = [1, 1, frame.height as i64, frame.width as i64];
        let value = value_info(MASK, ElementType::U8, Some(&shape));
        graph.input.push(value);
    }
    for state in effects.states(frame) {
        let shape = state.shape.map(|size| size as i64);
        let value = |name| value_info(name, ElementType::F32, Some(&shape));
        graph.input.push(value(state.input));
        graph.output.push(value(state.output));
    }
    if forms.frame == Given::Once && !effects.mask {
        bus::one_frame(graph);
    }
    kernels::rewrite(forms.kernels, graph, signature, free);
    serialize(&proto).map_err(GraphError::Model)
}

/// Whether the way out can make the frame of blocks of 2x2 pixels, and is quicker at it.
fn takes_blocks(signature: &Signature, frame: &Frame, sizes: &Sizes) -> bool {
    let (height, width) = sizes.shown;
    let whole = sizes.picture == sizes.shown && height % SIDE == 0 && width % SIDE == 0;
    let fits = match &frame.format {
        Format::Planar(planar) => planar.depth.bits == 8 && planar.components != Components::Rgb,
        Format::Packed(_) => sizes.shown == sizes.frame,
    };
    let open = matches!(signature.extent, Extent::Any { .. });
    fits && whole && open && signature.output.range.plain_scale().is_some()
}
