// SPDX-License-Identifier: MPL-2.0
//! Ingest: the subgraph from the bytes of a frame to the generator's input tensor.

use super::route::Route;
use crate::graph::frame::components::to_rgb;
use crate::graph::frame::format::{Format, Frame, Packed, Planar};
use crate::graph::frame::interleaved::{colour_indices, pixels, rows};
use crate::graph::frame::planes;
use crate::graph::frame::sizes::Sizes;
use crate::graph::lowering::Scaling;
use crate::graph::names::FRAME;
use crate::graph::ops::range::{ranged, scaled};
use crate::graph::ops::resample::resample;
use crate::graph::ops::scale::reduce;
use crate::graph::rewrite::early_pad::EarlyPad;
use crate::graph::write::builder::{Builder, Name};
use crate::model::{ChannelOrder, ElementType, Extent, Layout, Range, Signature, StyleInput};

/// The source frame's format, with the tensor of its bytes that [`super::emit`] uses.
pub(crate) enum SourceFormat {
    /// Packed: its bytes as planes, `[1, 3 or 4, H, W]` u8, in the frame's channel order; `None` with
    /// [`Route::Tiles`].
    Packed(Packed, Option<Name>),
    /// Planar.
    Planar(Planar),
}

/// Tensors of the source frame as it is shown to the generator.
pub(crate) enum SourceView {
    /// Float planes in the generator's channel order.
    Rgb {
        /// The frame at full size, `[1, 3, H, W]` of 0..255; `None` if it is not scaled.
        full: Option<Name>,
        /// The picture shown, in the range of the generator's input, without padding.
        shown: Name,
    },
    /// A frame of tiles.
    Tiles {
        /// Result of [`Tiles::rows`](crate::graph::frame::tiles::Tiles::rows).
        rows: Name,
        /// As in [`SourceView::Rgb`].
        shown: Name,
    },
    /// Luma of the picture shown, in codes, `[1, 1, h, w]`, with [`Route::Components`].
    Luma(Name),
}

/// Builds the subgraph from [`FRAME`] to `signature.input`, or with [`Route::EarlyPad`] to the output of the
/// generator's first padding. No [`SourceView`] is returned for routes that give bytes to the generator.
pub(crate) fn build(
    b: &mut Builder,
    signature: &Signature,
    frame: &Frame,
    sizes: &Sizes,
    route: &Route,
    scaling: Scaling,
) -> (SourceFormat, Option<SourceView>) {
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
            let seen = match route {
                Route::Components(small) => {
                    let samples = small.reduced(b, &samples);
                    let x = small.rgb_of(b, &samples, order, factor);
                    let x = in_range(b, x);
                    write_input(b, signature, sizes, &x);
                    SourceView::Luma(samples.first)
                }
                _ if sizes.shown == sizes.frame => {
                    let x = to_rgb(b, frame, planar, &samples, order, factor);
                    let shown = in_range(b, x);
                    write_input(b, signature, sizes, &shown);
                    SourceView::Rgb { full: None, shown }
                }
                _ => {
                    let x = to_rgb(b, frame, planar, &samples, order, 1.0);
                    fitted(b, signature, sizes, x, scaling)
                }
            };
            return (SourceFormat::Planar(*planar), Some(seen));
        }
    };
    if let Route::Tiles(tiles) = route {
        let rows = rows(b, frame, FRAME);
        let rows = tiles.rows(b, &rows);
        let means = tiles.means(b, &rows, signature.order);
        let shown = ranged(b, means, &signature.input.range, 1);
        write_input(b, signature, sizes, &shown);
        let seen = SourceView::Tiles { rows, shown };
        return (SourceFormat::Packed(*packed, None), Some(seen));
    }
    let pixels = pixels(b, frame, packed, FRAME);
    let planes = b.transpose(&pixels, &[0, 3, 1, 2]);
    let seen = match route {
        Route::EarlyPad(pad) => {
            let x = through_pixels(b, signature, sizes, packed, &pixels, pad);
            b.name_output(&x, &pad.output);
            None
        }
        Route::Bytes => {
            let x = colours(b, packed, signature.order, &planes, 1);
            write_input_tensor(b, signature, sizes.picture, &x);
            None
        }
        _ => {
            let x = colours(b, packed, signature.order, &planes, 1);
            let x = b.cast(&x, ElementType::F32);
            Some(fitted(b, signature, sizes, x, scaling))
        }
    };
    (SourceFormat::Packed(*packed, Some(planes)), seen)
}

/// Reshapes the values of the style input from the input `name` to the generator's shape.
pub(crate) fn style(b: &mut Builder, style: &StyleInput, name: &str) {
    let values = b.reshape(name, &style.dims);
    b.name_output(&values, &style.name);
}

/// The input padded as interleaved bytes, then converted to float and transposed to planes.
fn through_pixels(
    b: &mut Builder,
    signature: &Signature,
    sizes: &Sizes,
    packed: &Packed,
    pixels: &str,
    pad: &EarlyPad,
) -> Name {
    let mut x = colours(b, packed, signature.order, pixels, 3);
    x = b.pad_reflect(&x, 1, sizes.frame, sizes.picture);
    let [top, left, bottom, right] = pad.border;
    x = b.pad(&x, &pad.mode, &[0, top, left, 0, 0, bottom, right, 0]);
    x = to_range(b, &x, &signature.input.range, 3);
    b.transpose(&x, &[0, 3, 1, 2])
}

/// Scales planes of 0..255, converts them to the generator's range, and writes its input.
fn fitted(
    b: &mut Builder,
    signature: &Signature,
    sizes: &Sizes,
    full: Name,
    scaling: Scaling,
) -> SourceView {
    // The range is converted after scaling, on fewer pixels.
    let small = match signature.extent {
        Extent::Any { .. } => reduce(b, &full, 3, sizes.frame, sizes.shown, scaling),
        Extent::Fixed { .. } => resample(b, &full, sizes.frame, sizes.shown),
    };
    let shown = ranged(b, small, &signature.input.range, 1);
    write_input(b, signature, sizes, &shown);
    let full = Some(full);
    SourceView::Rgb { full, shown }
}

/// Writes the generator's input from float planes of `sizes.shown` in its range: padding and element type.
fn write_input(b: &mut Builder, signature: &Signature, sizes: &Sizes, shown: &str) {
    let x = b.pad_reflect(shown, 2, sizes.shown, sizes.picture);
    let x = match signature.input.element {
        ElementType::F32 => x,
        ElementType::F16 => b.cast(&x, ElementType::F16),
        ElementType::U8 => b.quantize(&x, 1.0),
    };
    write_input_tensor(b, signature, sizes.picture, &x);
}

/// Writes the generator's input from planes of its element type and size. Always appends a node, because the input's
/// name is given to a node's output.
fn write_input_tensor(
    b: &mut Builder,
    signature: &Signature,
    (height, width): (usize, usize),
    x: &str,
) {
    let x = match signature.input.layout {
        Layout::Nhwc => b.transpose(x, &[0, 2, 3, 1]),
        Layout::Nchw => b.reshape(x, &[1, 3, height as i64, width as i64]),
    };
    b.name_output(&x, &signature.input.name);
}

/// The colour channels in the generator's order, u8; `axis` is that of the channels.
fn colours(b: &mut Builder, packed: &Packed, order: ChannelOrder, x: &str, axis: i64) -> Name {
    let indices = colour_indices(packed, order);
    if packed.bytes == 3 && indices == [0, 1, 2] {
        return x.to_string();
    }
    b.gather(x, axis, &indices)
}

/// Converts bytes to the generator's range.
fn to_range(b: &mut Builder, x: &str, range: &Range, axis: usize) -> Name {
    let x = b.cast(x, ElementType::F32);
    ranged(b, x, range, axis)
}
