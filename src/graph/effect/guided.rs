// SPDX-License-Identifier: MPL-2.0
//! The property `upscale=guided`: enlarges a small painting along the edges of the frame, by joint upsampling with
//! the fast guided filter (He & Sun 2015, arXiv:1505.00996).
//!
//! In every window of the small picture, the painting's luma is fitted by the frame's, `a · I + b`. Both coefficients
//! are smooth, so that enlarging them loses little; applied to the frame's luma at full size, they give edges where
//! the frame has them. Three things differ from the paper. Half of the fit's residual is kept, because it contains
//! the brushwork. Variances are computed from deviations from the window's mean instead of as a difference of large
//! squares, which loses its digits in 16-bit arithmetic. And colours are interpolated linearly, with the change of
//! luma added.

use crate::graph::frame::codes::Codes;
use crate::graph::frame::format::Planar;
use crate::graph::frame::sizes::Sizes;
use crate::graph::frame::tiles::Tiles;
use crate::graph::lowering::Scaling;
use crate::graph::ops::scale::{enlarge, with_neighbours};
use crate::graph::write::builder::{Builder, Name};

/// Regularization of the fit: variance of luma (of values 0..255) below which a window is treated as flat.
const EPSILON: f32 = 13.0;
/// Share of the fit's residual that is kept.
const KEPT: f32 = 0.5;

/// Enlarges a painting, `[1, 3, h, w]` floats of 0..255, from `sizes.shown` to `sizes.frame`. `small` and `full` are
/// the frame's luma at these sizes, `luma` the luma weights of the painting's channels.
pub(crate) fn enlarge_along(
    b: &mut Builder,
    painting: &str,
    (small, full): (&str, &str),
    luma: &[f32; 3],
    sizes: &Sizes,
    scaling: Scaling,
) -> Name {
    let (from, to) = (sizes.shown, sizes.frame);
    let (slope, change) = fit_luma(b, painting, small, luma, from, scaling);
    let colours = b.add(painting, &change);
    // Enlarged separately: splitting them at full size would cost more.
    let colours = enlarge(b, &colours, 3, from, to, scaling);
    let slope = enlarge(b, &slope, 1, from, to, scaling);
    let light = b.mul(&slope, full);
    b.add(&colours, &light)
}

/// As [`enlarge_along`] for a frame of tiles: `full` is of [`Tiles::luma`], `channels` and result are those of
/// [`Tiles::enlarged`].
pub(crate) fn tiles_along(
    b: &mut Builder,
    painting: &str,
    (small, full): (&str, &str),
    luma: &[f32; 3],
    (tiles, channels): (&Tiles, &[Option<i64>]),
    (size, scaling): ((usize, usize), Scaling),
) -> Name {
    let (slope, change) = fit_luma(b, painting, small, luma, size, scaling);
    let slope = tiles.spread(b, &slope);
    let light = b.mul(&slope, full);
    tiles.enlarged(b, painting, channels, Some((&change, &light)))
}

/// The fit of the painting's luma: slope by which the frame's luma is multiplied, and the change `b − luma` that is
/// added to all channels; both at the small size.
fn fit_luma(
    b: &mut Builder,
    painting: &str,
    small: &str,
    luma: &[f32; 3],
    size: (usize, usize),
    scaling: Scaling,
) -> (Name, Name) {
    let painted = b.weighted(painting, &[*luma], size);
    let (slope, offset) = fit(b, &painted, small, size, EPSILON, scaling);
    (slope, b.sub(&offset, &painted))
}

/// As [`enlarge_along`] for luma alone, in codes of a planar frame: `[1, 1, h, w]`.
pub(crate) fn luma_along(
    b: &mut Builder,
    painted: &str,
    (small, full): (&str, &str),
    planar: &Planar,
    (from, to): ((usize, usize), (usize, usize)),
    scaling: Scaling,
) -> Name {
    let (scale, _) = Codes::of(planar.components, planar.depth).to_grey();
    let epsilon = EPSILON / (scale * scale) as f32;
    let (slope, offset) = fit(b, painted, small, from, epsilon, scaling);
    let [slope, offset] = [slope, offset].map(|x| enlarge(b, &x, 1, from, to, scaling));
    let light = b.mul(&slope, full);
    b.add(&offset, &light)
}

/// Slope and offset of the fit of `painted` by `small`, with the kept residual in the offset; at the small size.
fn fit(
    b: &mut Builder,
    painted: &str,
    small: &str,
    size: (usize, usize),
    epsilon: f32,
    scaling: Scaling,
) -> (Name, Name) {
    let [mean, mean_painted] = [small, painted].map(|x| window(b, x, size, scaling));
    let deviation = b.sub(small, &mean);
    let deviation_painted = b.sub(painted, &mean_painted);
    let [variance, covariance] = [&deviation, &deviation_painted].map(|x| {
        let product = b.mul(x, &deviation);
        window(b, &product, size, scaling)
    });
    let variance = b.plus(&variance, epsilon);
    let slope = b.div(&covariance, &variance);
    let slope = window(b, &slope, size, scaling);
    let explained = b.mul(&slope, &mean);
    let offset = b.sub(&mean_painted, &explained);
    let explained = b.mul(&slope, &deviation);
    let rest = b.sub(&deviation_painted, &explained);
    let rest = b.times(&rest, KEPT);
    let offset = b.add(&offset, &rest);
    (slope, offset)
}

/// Means of 3x3 pixels of one plane, with edge pixels repeated. Called for each plane: splitting a result of two
/// channels costs more than a second pass.
fn window(b: &mut Builder, x: &str, size: (usize, usize), scaling: Scaling) -> Name {
    let x = b.pad(x, "edge", &[0, 0, 1, 1, 0, 0, 1, 1]);
    match scaling {
        Scaling::Kernels => b.average(&x, [3, 3], [1, 1]),
        // OpenVINO pools and convolves a single plane slower than it adds.
        Scaling::Products => {
            let x = with_neighbours(b, &x, size, Builder::add);
            b.times(&x, 1.0 / 9.0)
        }
    }
}
