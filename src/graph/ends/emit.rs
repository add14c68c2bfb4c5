// SPDX-License-Identifier: MPL-2.0
//! Emit: from the generator's output tensor to the bytes of a frame.

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

/// What the output subgraph is built for.
pub(crate) struct Job<'a> {
    pub signature: &'a Signature,
    pub frame: &'a Frame,
    pub sizes: &'a Sizes,
    pub route: &'a Route<'a>,
    pub effects: &'a Effects,
    /// The source as the generator sees it; there wherever an effect needs it.
    pub seen: Option<&'a SourceView>,
    /// The generator's final `DepthToSpace`, where it was removed and is done here.
    pub shuffle: Option<&'a LateShuffle>,
    pub blend: Blend,
    pub scaling: Scaling,
}

/// Builds the way from `signature.output` to `out_name` (u8).
pub(crate) fn build(b: &mut Builder, job: &Job, source_format: &SourceFormat, out_name: &str) {
    let picture = picture(b, job);
    let past = job.effects.stability;
    let past = past.then(|| TemporalBlend::new(b, job.frame, job.scaling));
    let out = match source_format {
        SourceFormat::Packed(packed, planes) => {
            let channels = channels(packed, job.signature.order);
            let (stylized, range) = stylized(b, job, picture, &channels);
            let tail = PackedOutput {
                range: &range,
                frame: job.frame,
                packed,
                channels,
                planes: planes.as_deref(),
                stylized,
                scaling: job.scaling,
                effects: job.effects,
                past,
            };
            tail.built(b, job.blend)
        }
        SourceFormat::Planar(planar) => {
            let components = components(b, job, planar, picture);
            planar_bytes(b, job, planar, components, past.as_ref())
        }
    };
    b.name_output(&out, out_name);
    let states = job.effects.states(job.frame);
    let outputs = states.iter().map(|state| state.output).chain([out_name]);
    b.drop_unread(outputs);
}

/// A painting's components in codes, as [`from_rgb`] gives them. Limited to 0..255 before it is taken
/// apart, so that no component holds what red, green and blue cannot.
fn components(b: &mut Builder, job: &Job, planar: &Planar, picture: Name) -> (Name, Option<Name>) {
    let Job {
        signature, frame, ..
    } = *job;
    let limited = |b: &mut Builder, x: &str, range: &Range| {
        let (rgb, scale) = match range.plain_scale() {
            Some(scale) => (x.to_string(), scale),
            None => (to_byte_range(b, x, range), 1.0),
        };
        (b.clip(&rgb, 0.0, 255.0 * scale), scale)
    };
    let order = signature.order;
    let Route::Components(small) = job.route else {
        if let Some(shuffle) = job.shuffle {
            let (blocks, scale) = limited(b, &picture, &signature.output.range);
            return from_blocks(b, frame, planar, (&blocks, shuffle), order, scale);
        }
        let (x, range) = painting(b, job, picture);
        let (rgb, scale) = limited(b, &x, &range);
        return from_rgb(b, frame, planar, &rgb, order, scale);
    };
    let (rgb, scale) = limited(b, &picture, &signature.output.range);
    let (first, others) = match job.shuffle {
        Some(shuffle) => small.components_of_blocks(b, (&rgb, shuffle), order, scale),
        None => small.components_of(b, &rgb, order, scale),
    };
    let others = others.map(|others| small.others_enlarged(b, &others));
    let first = match job.seen {
        Some(SourceView::Luma(shown)) if job.effects.is_guided(job.sizes) => {
            let full = planes::read(b, frame, planar, SOURCE).first;
            small.first_enlarged(b, &first, Some((shown, &full)))
        }
        _ => small.first_enlarged(b, &first, None),
    };
    (first, others)
}

/// A frame of planes, `[1, size]`, from a painting's components.
fn planar_bytes(
    b: &mut Builder,
    job: &Job,
    planar: &Planar,
    (mut first, mut others): (Name, Option<Name>),
    past: Option<&TemporalBlend>,
) -> Name {
    let frame = job.frame;
    let yuv = matches!(planar.components, Components::Yuv { .. });
    let colour = job.effects.colour;
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
            let strength = source.filter(|_| mix).map(|_| strength(b, job, step));
            planes::mixed(b, depth, painted, source.zip(strength.as_deref()))
        };
        let first = mixed(b, &first, of.map(|(first, _)| first), [1, 1]);
        let others = others.as_ref().map(|painted| {
            match (of.and_then(|(_, others)| others), keeps_chroma) {
                // To the code.
                (Some(source), true) => planes::mixed(b, depth, source, None),
                (source, _) => mixed(b, painted, source, planar.subsampling),
            }
        });
        planes::write(b, frame, planar, &first, others.as_ref())
    };
    let all = match job.blend {
        Blend::Always => bytes(b, true),
        Blend::Branch => {
            let coverage = mix::coverage(b);
            b.if_below(&coverage, 1.0, |b| bytes(b, true), |b| bytes(b, false))
        }
    };
    // A node of the outer graph must make the output.
    b.reshape(&all, &[1, frame.size(&frame.target) as i64])
}

/// The strength of the mix for each sample of a plane, of which there is one for so many pixels across
/// and down.
fn strength(b: &mut Builder, job: &Job, [across, down]: [usize; 2]) -> Name {
    let size = [job.frame.height, job.frame.width];
    let right = mix::right(b, size[1].div_ceil(across), across, None);
    if !job.effects.mask {
        return b.mul(&right, STRENGTH);
    }
    let mut masked = mix::masked_strength(b);
    if [across, down] != [1, 1] {
        masked = b.mean_of_blocks(&masked, [down, across], size);
    }
    b.mul(&masked, &right)
}

/// The generator's picture as float planes in its own range, not yet clamped: of the size of what it
/// was shown, or in blocks.
fn picture(b: &mut Builder, job: &Job) -> Name {
    let output = &job.signature.output;
    let mut x = match job.shuffle {
        Some(shuffle) => shuffle.blocks.clone(),
        None => output.name.clone(),
    };
    if output.element != ElementType::F32 {
        x = b.cast(&x, ElementType::F32);
    }
    if output.layout == Layout::Nhwc {
        x = b.transpose(&x, &[0, 3, 1, 2]);
    }
    let (shown, picture) = (job.sizes.shown, job.sizes.picture);
    if picture.0 != shown.0 {
        x = b.slice(&x, 2, 0, shown.0 as i64);
    }
    if picture.1 != shown.1 {
        x = b.slice(&x, 3, 0, shown.1 as i64);
    }
    x
}

/// The picture at the frame's size, and the range of its values.
fn painting(b: &mut Builder, job: &Job, picture: Name) -> (Name, Range) {
    let Job {
        signature,
        sizes,
        effects,
        ..
    } = *job;
    let (mut x, mut in_range) = (picture, signature.output.range);
    match (job.seen, signature.extent) {
        (
            Some(SourceView::Rgb {
                full: Some(full),
                shown,
            }),
            _,
        ) if effects.is_guided(sizes) => {
            x = to_byte_range(b, &x, &in_range);
            in_range = Range::BYTE;
            let luma = colour::luma(job.frame, signature.order);
            let small = guide(b, job, shown, &luma);
            let full = b.weighted(full, &[luma], sizes.frame);
            let guides = (small.as_str(), full.as_str());
            x = guided::enlarge_along(b, &x, guides, &luma, sizes, job.scaling);
        }
        (_, Extent::Fixed { .. }) => x = resample(b, &x, sizes.shown, sizes.frame),
        (_, Extent::Any { .. }) => x = enlarge(b, &x, 3, sizes.shown, sizes.frame, job.scaling),
    }
    (x, in_range)
}

/// Luma of 0..255, of this weighting, of what the generator is shown.
fn guide(b: &mut Builder, job: &Job, shown: &str, luma: &[f32; 3]) -> Name {
    let (weights, offset) = of_byte_range(&job.signature.input.range, luma);
    let guide = b.weighted(shown, &[weights], job.sizes.shown);
    if offset == 0.0 {
        return guide;
    }
    b.plus(&guide, offset)
}

/// The generator's picture on its way to a packed frame, and the range of its values.
fn stylized<'a>(
    b: &mut Builder,
    job: &Job<'a>,
    picture: Name,
    channels: &[Option<i64>],
) -> (Stylized<'a>, Range) {
    let Job {
        signature, sizes, ..
    } = *job;
    let range = signature.output.range;
    match (job.shuffle, job.seen, job.route) {
        (Some(shuffle), ..) => (Stylized::Blocks(picture, shuffle), range),
        (_, Some(SourceView::Tiles { rows, shown }), Route::Tiles(tiles)) => {
            let guided = job.effects.is_guided(sizes);
            let (picture, range) = match range.plain_scale() {
                Some(_) if !guided => (picture, range),
                _ => (to_byte_range(b, &picture, &range), Range::BYTE),
            };
            let pixels = match guided {
                true => {
                    let luma = colour::luma(job.frame, signature.order);
                    let small = guide(b, job, shown, &luma);
                    let full = tiles.luma(b, rows, signature.order, &luma);
                    let guides = (small.as_str(), full.as_str());
                    let size = (sizes.shown, job.scaling);
                    guided::tiles_along(b, &picture, guides, &luma, (tiles, channels), size)
                }
                false => tiles.enlarged(b, &picture, channels, None),
            };
            (Stylized::Pixels(pixels), range)
        }
        _ => {
            let (planes, range) = painting(b, job, picture);
            (Stylized::Planes(planes), range)
        }
    }
}
