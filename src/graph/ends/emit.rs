// SPDX-License-Identifier: MPL-2.0
//! Emit: the subgraph from the generator's output tensor to the bytes of a frame.

use super::ingest::{SourceFormat, SourceView};
use super::packed::{PackedOutput, Stylized};
use super::route::Route;
use crate::graph::effect::colour;
use crate::graph::effect::effects::{Colour, Effects};
use crate::graph::effect::guided;
use crate::graph::effect::stability::TemporalBlend;
use crate::graph::frame::components::{from_blocks, from_rgb};
use crate::graph::frame::format::{Components, Frame, Planar};
use crate::graph::frame::interleaved::channels;
use crate::graph::frame::planes;
use crate::graph::frame::sizes::Sizes;
use crate::graph::lowering::{Blend, Scaling};
use crate::graph::names::{SOURCE, STRENGTH};
use crate::graph::ops::mix;
use crate::graph::ops::range::{of_byte_range, to_byte_range};
use crate::graph::ops::resample::resample;
use crate::graph::ops::scale::enlarge;
use crate::graph::rewrite::late_shuffle::LateShuffle;
use crate::graph::write::builder::{Builder, Name};
use crate::model::{ElementType, Extent, Layout, Range, Signature};

/// Parameters of the output subgraph.
pub(crate) struct EmitParams<'a> {
    pub signature: &'a Signature,
    pub frame: &'a Frame,
    pub sizes: &'a Sizes,
    pub route: &'a Route<'a>,
    pub effects: &'a Effects,
    /// Tensors of the source as it is shown to the generator; present if an effect needs them.
    pub seen: Option<&'a SourceView>,
    /// The generator's final `DepthToSpace`, if it was removed and is computed here.
    pub shuffle: Option<&'a LateShuffle>,
    pub blend: Blend,
    pub scaling: Scaling,
}

/// Builds the subgraph from `signature.output` to `out_name` (u8).
pub(crate) fn build(
    b: &mut Builder,
    params: &EmitParams,
    source_format: &SourceFormat,
    out_name: &str,
) {
    let picture = picture(b, params);
    let past = params.effects.stability;
    let past = past.then(|| TemporalBlend::new(b, params.frame, params.scaling));
    let out = match source_format {
        SourceFormat::Packed(packed, planes) => {
            let channels = channels(packed, params.signature.order);
            let (stylized, range) = stylized(b, params, picture, &channels);
            let tail = PackedOutput {
                range: &range,
                frame: params.frame,
                packed,
                channels,
                planes: planes.as_deref(),
                stylized,
                scaling: params.scaling,
                effects: params.effects,
                past,
            };
            tail.built(b, params.blend)
        }
        SourceFormat::Planar(planar) => {
            let components = components(b, params, planar, picture);
            planar_bytes(b, params, planar, components, past.as_ref())
        }
    };
    b.name_output(&out, out_name);
    let states = params.effects.states(params.frame);
    let outputs = states.iter().map(|state| state.output).chain([out_name]);
    b.drop_unread(outputs);
}

/// A painting's components in codes, as of [`from_rgb`]. RGB is clamped to 0..255 before the conversion, so that the
/// components are those of a valid colour.
fn components(
    b: &mut Builder,
    params: &EmitParams,
    planar: &Planar,
    picture: Name,
) -> (Name, Option<Name>) {
    let EmitParams {
        signature, frame, ..
    } = *params;
    let limited = |b: &mut Builder, x: &str, range: &Range| {
        let (rgb, scale) = match range.plain_scale() {
            Some(scale) => (x.to_string(), scale),
            None => (to_byte_range(b, x, range), 1.0),
        };
        (b.clip(&rgb, 0.0, 255.0 * scale), scale)
    };
    let order = signature.order;
    let Route::Components(small) = params.route else {
        if let Some(shuffle) = params.shuffle {
            let (blocks, scale) = limited(b, &picture, &signature.output.range);
            return from_blocks(b, frame, planar, (&blocks, shuffle), order, scale);
        }
        let (x, range) = painting(b, params, picture);
        let (rgb, scale) = limited(b, &x, &range);
        return from_rgb(b, frame, planar, &rgb, order, scale);
    };
    let (rgb, scale) = limited(b, &picture, &signature.output.range);
    let (first, others) = match params.shuffle {
        Some(shuffle) => small.components_of_blocks(b, (&rgb, shuffle), order, scale),
        None => small.components_of(b, &rgb, order, scale),
    };
    let others = others.map(|others| small.others_enlarged(b, &others));
    let first = match params.seen {
        Some(SourceView::Luma(shown)) if params.effects.is_guided(params.sizes) => {
            let full = planes::read(b, frame, planar, SOURCE).first;
            small.first_enlarged(b, &first, Some((shown, &full)))
        }
        _ => small.first_enlarged(b, &first, None),
    };
    (first, others)
}

/// The bytes of a planar frame, `[1, size]`, from a painting's components.
fn planar_bytes(
    b: &mut Builder,
    params: &EmitParams,
    planar: &Planar,
    (mut first, mut others): (Name, Option<Name>),
    past: Option<&TemporalBlend>,
) -> Name {
    let frame = params.frame;
    let yuv = matches!(planar.components, Components::Yuv { .. });
    let colour = params.effects.colour;
    let keeps_chroma = colour == Colour::Source && yuv;
    let mut source = None;
    if colour != Colour::Style {
        let samples = planes::read(b, frame, planar, SOURCE);
        (first, others) = colour::of_planes(b, frame, planar, colour, (first, others), &samples);
        source = Some(samples);
    }
    if let Some(past) = past {
        first = past.blend_first(b, &first);
        others = others.map(|others| past.blend_others(b, &others, planar.subsampling));
    }
    let depth = planar.depth;
    let bytes = |b: &mut Builder, mix: bool| {
        let read = (mix && source.is_none()).then(|| planes::read(b, frame, planar, SOURCE));
        let of = source
            .as_ref()
            .or(read.as_ref())
            .map(planes::Samples::names);
        let mixed = |b: &mut Builder, painted: &str, source: Option<&str>, step: [usize; 2]| {
            let strength = source.filter(|_| mix).map(|_| strength(b, params, step));
            planes::mixed(b, depth, painted, source.zip(strength.as_deref()))
        };
        let first = mixed(b, &first, of.map(|(first, _)| first), [1, 1]);
        let others = others.as_ref().map(|painted| {
            match (of.and_then(|(_, others)| others), keeps_chroma) {
                // Not mixed: the source's chroma is kept exactly.
                (Some(source), true) => planes::mixed(b, depth, source, None),
                (source, _) => mixed(b, painted, source, planar.subsampling),
            }
        });
        planes::write(b, frame, planar, &first, others.as_ref())
    };
    let all = match params.blend {
        Blend::Always => bytes(b, true),
        Blend::Branch => {
            let coverage = mix::coverage(b);
            b.if_below(&coverage, 1.0, |b| bytes(b, true), |b| bytes(b, false))
        }
    };
    // The graph's output must be that of a node outside the branch.
    b.reshape(&all, &[1, frame.size(&frame.target) as i64])
}

/// The strength of the mix for each sample of a plane with this subsampling (horizontal, vertical).
fn strength(b: &mut Builder, params: &EmitParams, [across, down]: [usize; 2]) -> Name {
    let size = [params.frame.height, params.frame.width];
    let right = mix::right(b, size[1].div_ceil(across), across, None);
    if !params.effects.mask {
        return b.mul(&right, STRENGTH);
    }
    let mut masked = mix::masked_strength(b);
    if [across, down] != [1, 1] {
        masked = b.mean_of_blocks(&masked, [down, across], size);
    }
    b.mul(&masked, &right)
}

/// The generator's output as float planes in its own range, not clamped, cropped to the size shown; or the blocks
/// before its final `DepthToSpace`.
fn picture(b: &mut Builder, params: &EmitParams) -> Name {
    let output = &params.signature.output;
    let mut x = match params.shuffle {
        Some(shuffle) => shuffle.blocks.clone(),
        None => output.name.clone(),
    };
    if output.element != ElementType::F32 {
        x = b.cast(&x, ElementType::F32);
    }
    if output.layout == Layout::Nhwc {
        x = b.transpose(&x, &[0, 3, 1, 2]);
    }
    let (shown, picture) = (params.sizes.shown, params.sizes.picture);
    if picture.0 != shown.0 {
        x = b.slice(&x, 2, 0, shown.0 as i64);
    }
    if picture.1 != shown.1 {
        x = b.slice(&x, 3, 0, shown.1 as i64);
    }
    x
}

/// The painting at the frame's size, and the range of its values.
fn painting(b: &mut Builder, params: &EmitParams, picture: Name) -> (Name, Range) {
    let EmitParams {
        signature,
        sizes,
        effects,
        ..
    } = *params;
    let (mut x, mut in_range) = (picture, signature.output.range);
    match (params.seen, signature.extent) {
        (
            Some(SourceView::Rgb {
                full: Some(full),
                shown,
            }),
            _,
        ) if effects.is_guided(sizes) => {
            x = to_byte_range(b, &x, &in_range);
            in_range = Range::BYTE;
            let luma = colour::luma(params.frame, signature.order);
            let small = guide(b, params, shown, &luma);
            let full = b.weighted(full, &[luma], sizes.frame);
            let guides = (small.as_str(), full.as_str());
            x = guided::enlarge_along(b, &x, guides, &luma, sizes, params.scaling);
        }
        (_, Extent::Fixed { .. }) => x = resample(b, &x, sizes.shown, sizes.frame),
        (_, Extent::Any { .. }) => x = enlarge(b, &x, 3, sizes.shown, sizes.frame, params.scaling),
    }
    (x, in_range)
}

/// The guide at the small size: luma of 0..255 with these weights, of the picture shown to the generator.
fn guide(b: &mut Builder, params: &EmitParams, shown: &str, luma: &[f32; 3]) -> Name {
    let (weights, offset) = of_byte_range(&params.signature.input.range, luma);
    let guide = b.weighted(shown, &[weights], params.sizes.shown);
    if offset == 0.0 {
        return guide;
    }
    b.plus(&guide, offset)
}

/// The painting for a packed frame, and the range of its values.
fn stylized<'a>(
    b: &mut Builder,
    params: &EmitParams<'a>,
    picture: Name,
    channels: &[Option<i64>],
) -> (Stylized<'a>, Range) {
    let EmitParams {
        signature, sizes, ..
    } = *params;
    let range = signature.output.range;
    match (params.shuffle, params.seen, params.route) {
        (Some(shuffle), ..) => (Stylized::Blocks(picture, shuffle), range),
        (_, Some(SourceView::Tiles { rows, shown }), Route::Tiles(tiles)) => {
            let guided = params.effects.is_guided(sizes);
            let (picture, range) = match range.plain_scale() {
                Some(_) if !guided => (picture, range),
                _ => (to_byte_range(b, &picture, &range), Range::BYTE),
            };
            let pixels = match guided {
                true => {
                    let luma = colour::luma(params.frame, signature.order);
                    let small = guide(b, params, shown, &luma);
                    let full = tiles.luma(b, rows, signature.order, &luma);
                    let guides = (small.as_str(), full.as_str());
                    let size = (sizes.shown, params.scaling);
                    guided::tiles_along(b, &picture, guides, &luma, (tiles, channels), size)
                }
                false => tiles.enlarged(b, &picture, channels, None),
            };
            (Stylized::Pixels(pixels), range)
        }
        _ => {
            let (planes, range) = painting(b, params, picture);
            (Stylized::Planes(planes), range)
        }
    }
}
