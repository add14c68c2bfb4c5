// SPDX-License-Identifier: MPL-2.0
//! The way in: bytes of a frame to the generator's input tensor.

use super::small::Small;
use crate::graph::forms::Scaling;
use crate::graph::frame::components::to_rgb;
use crate::graph::frame::format::{Format, Frame, Packed, Planar};
use crate::graph::frame::interleaved::{colour_indices, pixels, rows};
use crate::graph::frame::planes;
use crate::graph::frame::sizes::Sizes;
use crate::graph::frame::tiles::Tiles;
use crate::graph::names::FRAME;
use crate::graph::ops::range::{ranged, scaled};
use crate::graph::ops::resample::resample;
use crate::graph::ops::scale::reduce;
use crate::graph::rewrite::early_pad::EarlyPad;
use crate::graph::write::builder::{Builder, Name};
use crate::model::{ChannelOrder, ElementType, Extent, Layout, Range, Signature, StyleInput};

/// What the way out needs from the way in.
pub(crate) enum Ingested {
    /// All bytes of a packed frame as planes, `[1, 3 or 4, H, W]` u8, in the frame's own channel
    /// order; not there for one of tiles.
    Packed(Packed, Option<Name>),
    /// A frame of planes.
    Planar(Planar),
}

/// How a packed frame goes in.
pub(crate) enum How<'a> {
    /// As floats: always possible.
    Floats,
    /// With the generator's first padding done on bytes.
    EarlyPad(&'a EarlyPad),
    /// As the bytes that the generator takes.
    Bytes,
}

/// The source frame as it is shown to the generator.
pub(crate) enum Seen {
    /// Float planes in the generator's order of channels.
    Rgb {
        /// `[1, 3, H, W]` of 0..255, where it is scaled.
        full: Option<Name>,
        /// In the range of the generator's input, without padding.
        shown: Name,
    },
    /// A frame of tiles.
    Tiles {
        tiles: Tiles,
        /// As of [`Tiles::rows`].
        rows: Name,
        /// As of [`Seen::Rgb`].
        shown: Name,
    },
    /// Luma in codes of the frame, `[1, 1, h, w]`, of a frame that is scaled by components.
    Luma(Name),
}

/// Builds the way from [`FRAME`] to `signature.input`, or, with the generator's first
/// padding done early, to that padding's output. The frame as it was `Seen` is not there where the
/// generator is given its bytes.
pub(crate) fn build(
    b: &mut Builder,
    signature: &Signature,
    frame: &Frame,
    sizes: &Sizes,
    how: How,
    scaling: Scaling,
) -> (Ingested, Option<Seen>) {
    let packed = match &frame.format {
        Format::Packed(packed) => packed,
        Format::Planar(planar) => {
            let samples = planes::read(b, frame, planar, FRAME);
            let range = &signature.input.range;
            let scale = range.plain_scale();
            let order = signature.order;
            let factor = scale.unwrap_or(1.0);
            let in_range = |b: &mut Builder, rgb: Name| match scale {
                Some(_) => rgb,
                None => scaled(b, &rgb, range, 1),
            };
            let seen = match Small::of(frame, signature, sizes, scaling) {
                Some(small) => {
                    let samples = small.reduced(b, &samples);
                    let x = small.rgb_of(b, &samples, order, factor);
                    let x = in_range(b, x);
                    given(b, signature, sizes, &x);
                    Seen::Luma(samples.first)
                }
                None if sizes.shown == sizes.frame => {
                    let x = to_rgb(b, frame, planar, &samples, order, factor);
                    let shown = in_range(b, x);
                    given(b, signature, sizes, &shown);
                    Seen::Rgb { full: None, shown }
                }
                None => {
                    let x = to_rgb(b, frame, planar, &samples, order, 1.0);
                    fitted(b, signature, sizes, x, scaling)
                }
            };
            return (Ingested::Planar(*planar), Some(seen));
        }
    };
    if let Some(tiles) = Tiles::of(packed, signature, sizes, scaling) {
        let rows = rows(b, frame, FRAME);
        let rows = tiles.rows(b, &rows);
        let means = tiles.means(b, &rows, signature.order);
        let shown = ranged(b, means, &signature.input.range, 1);
        given(b, signature, sizes, &shown);
        let seen = Seen::Tiles { tiles, rows, shown };
        return (Ingested::Packed(*packed, None), Some(seen));
    }
    let pixels = pixels(b, frame, packed, FRAME);
    let planes = b.transpose(&pixels, &[0, 3, 1, 2]);
    let seen = match how {
        How::EarlyPad(pad) => {
            through_pixels(b, signature, sizes, packed, &pixels, pad);
            b.rename_last(&pad.output);
            None
        }
        How::Bytes => {
            let x = colours(b, packed, signature.order, &planes, 1);
            arranged(b, signature, sizes.picture, &x);
            None
        }
        How::Floats => {
            let x = colours(b, packed, signature.order, &planes, 1);
            let x = b.cast(&x, ElementType::F32);
            Some(fitted(b, signature, sizes, x, scaling))
        }
    };
    (Ingested::Packed(*packed, Some(planes)), seen)
}

/// The values of a style input in the shape that the generator gives it.
pub(crate) fn style(b: &mut Builder, style: &StyleInput, name: &str) {
    b.reshape(name, &style.dims);
    b.rename_last(&style.name);
}

/// Padded as interleaved bytes, converted, and put into planes at last.
fn through_pixels(
    b: &mut Builder,
    signature: &Signature,
    sizes: &Sizes,
    packed: &Packed,
    pixels: &str,
    pad: &EarlyPad,
) {
    let mut x = colours(b, packed, signature.order, pixels, 3);
    x = b.pad_reflect(&x, 1, sizes.frame, sizes.picture);
    let [top, left, bottom, right] = pad.border;
    x = b.pad(&x, &pad.mode, &[0, top, left, 0, 0, bottom, right, 0]);
    x = to_range(b, &x, &signature.input.range, 3);
    b.transpose(&x, &[0, 3, 1, 2]);
}

/// Floats of 0..255, scaled, brought to the generator's range and padded as it needs them.
fn fitted(
    b: &mut Builder,
    signature: &Signature,
    sizes: &Sizes,
    full: Name,
    scaling: Scaling,
) -> Seen {
    // The range last, where there are fewer pixels.
    let small = match signature.extent {
        Extent::Any { .. } => reduce(b, &full, 3, sizes.frame, sizes.shown, scaling),
        Extent::Fixed { .. } => resample(b, &full, sizes.frame, sizes.shown),
    };
    let shown = ranged(b, small, &signature.input.range, 1);
    given(b, signature, sizes, &shown);
    let full = Some(full);
    Seen::Rgb { full, shown }
}

/// The generator's input from float planes in its range, of the size of what it is shown.
fn given(b: &mut Builder, signature: &Signature, sizes: &Sizes, shown: &str) {
    let x = b.pad_reflect(shown, 2, sizes.shown, sizes.picture);
    let x = match signature.input.element {
        ElementType::F32 => x,
        ElementType::F16 => b.cast(&x, ElementType::F16),
        ElementType::U8 => b.quantize(&x, 1.0),
    };
    arranged(b, signature, sizes.picture, &x);
}

/// The generator's input from planes of the right type and size. The last node must be one of ours,
/// to carry the input's name.
fn arranged(b: &mut Builder, signature: &Signature, (height, width): (usize, usize), x: &str) {
    match signature.input.layout {
        Layout::Nhwc => b.transpose(x, &[0, 2, 3, 1]),
        Layout::Nchw => b.reshape(x, &[1, 3, height as i64, width as i64]),
    };
    b.rename_last(&signature.input.name);
}

/// The colours in the generator's order, u8; `axis` is that of the channels.
fn colours(b: &mut Builder, packed: &Packed, order: ChannelOrder, x: &str, axis: i64) -> Name {
    let indices = colour_indices(packed, order);
    if packed.bytes == 3 && indices == [0, 1, 2] {
        return x.to_string();
    }
    b.gather(x, axis, &indices)
}

/// Bytes to the generator's values.
fn to_range(b: &mut Builder, x: &str, range: &Range, axis: usize) -> Name {
    let x = b.cast(x, ElementType::F32);
    ranged(b, x, range, axis)
}
