// SPDX-License-Identifier: MPL-2.0
//! Compiles generator, frame format and effects into one graph: ingest, generator, emit, then rewrites for the
//! provider.

use super::effect::effects::{Colour, Effects};
use super::ends::route::Route;
use super::ends::{emit, ingest};
use super::error::GraphError;
use super::frame::format::{Components, Format, Frame};
use super::frame::sizes::Sizes;
use super::lowering::{Blend, FrameInputs, Kernels, Lowering};
use super::names::{FRAME, MASK, OUT, SOURCE, SPLIT, STABILITY, STRENGTH, STYLE};
use super::rewrite::late_shuffle::SIDE;
use super::rewrite::{bus, early_pad, half, kernels, late_shuffle};
use super::write::builder::Builder;
use crate::model::edit::{serialize, value_info};
use crate::model::{ElementType, Extent, Model, ModelError, Signature};

/// Oldest operator set that the builder has forms for.
const OLDEST_OPSET: i64 = 7;

/// Compiles a graph that stylizes one frame. The result is a serialized ONNX model with the inputs [`FRAME`],
/// [`SOURCE`], [`STRENGTH`], [`SPLIT`], [`STYLE`], the generator's noise inputs and those of `effects`, and the
/// output [`OUT`].
///
/// # Errors
/// [`GraphError::Half`] for a generator that cannot be converted to float16, [`ModelError::OldOpset`], and
/// [`ModelError::Onnx`] for a graph that is too large.
pub fn compile(
    model: &Model,
    signature: &Signature,
    frame: &Frame,
    effects: Effects,
    lowering: Lowering,
) -> Result<Vec<u8>, GraphError> {
    let opset = model.opset();
    if opset < OLDEST_OPSET {
        return Err(ModelError::OldOpset(opset).into());
    }
    let mut proto = model.open();
    let graph = proto.graph.get_or_insert_default();
    let mut signature = signature.clone();
    if lowering.half && signature.input.element == ElementType::F32 {
        let noise = model.noise().iter().map(|noise| noise.name.clone());
        let style = model.style().map(|style| style.name.clone());
        let given: Vec<String> = noise.chain(style).collect();
        signature.output.element = half::convert(graph, &signature, &given)?;
        signature.input.element = ElementType::F16;
    }
    let signature = &signature;
    let packed = matches!(frame.format, Format::Packed(_));
    let sizes = effects.sizes(signature, frame.width, frame.height);
    // The u8 routes exist at the frame's own size only: scaling needs floats.
    let bytes = packed && sizes.shown == sizes.frame;
    let early_pad = match lowering.early_pad && bytes {
        true => early_pad::take(graph, signature, opset),
        false => None,
    };
    let route = Route::of(
        frame,
        signature,
        &sizes,
        lowering.scaling,
        early_pad.as_ref(),
    );
    // No branch for quantized generators: ONNX Runtime's `QDQPropagationTransformer` (1.24 to 1.32) writes past the
    // inputs of an `If` that captures the output of a `DequantizeLinear`. Nor where a tensor is needed at every
    // strength (the source for colour, the state for the next frame), because a branch returns one tensor only.
    let everywhere = effects.stability || effects.colour != Colour::Style;
    // A branch returns u8, for which providers with `Kernels::Floats` and `Kernels::WebGpu` have no kernels.
    let floats = lowering.kernels != Kernels::All;
    let blend = match model.is_quantized() || effects.mask || everywhere || floats {
        true => Blend::Always,
        false => lowering.blend,
    };
    let shuffle = match takes_blocks(signature, frame, &sizes) {
        true => late_shuffle::take(graph, signature),
        false => None,
    };
    let mut ingest = Builder::new(opset);
    if let Some(style) = model.style() {
        ingest::style(&mut ingest, style, STYLE);
    }
    let (source_format, seen) = ingest::build(
        &mut ingest,
        signature,
        frame,
        &sizes,
        &route,
        lowering.scaling,
    );
    let mut emit = ingest.continued();
    let params = emit::EmitParams {
        signature,
        frame,
        sizes: &sizes,
        route: &route,
        effects: &effects,
        seen: seen.as_ref(),
        shuffle: shuffle.as_ref(),
        blend,
        scaling: lowering.scaling,
    };
    emit::build(&mut emit, &params, &source_format, OUT);
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
    if lowering.frame == FrameInputs::One && !effects.mask {
        bus::one_frame(graph);
    }
    kernels::rewrite(lowering.kernels, graph, signature, free);
    serialize(&proto).map_err(GraphError::Model)
}

/// Whether emit can write the frame from the input of a final 2x2 `DepthToSpace`, which is faster.
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
