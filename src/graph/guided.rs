// SPDX-License-Identifier: MPL-2.0
//! A small painting brought to the frame's size along the edges of the frame: joint upsampling with
//! the fast guided filter (He & Sun 2015, arXiv:1505.00996).
//!
//! In every window of the small picture the painting's luma is fitted by the frame's, `a · I + b`.
//! Both coefficients are smooth, so that enlarging them loses little; applied to the luma of the
//! frame at full size, they give edges where the frame has them. Three things differ from the paper.
//! Half of what the fit leaves unexplained is kept, because that is the brushwork. Deviations are
//! taken from each pixel's own window instead of as a difference of large squares, which would not
//! survive 16-bit arithmetic. And colours follow the luma by interpolation.

use super::Scaling;
use super::builder::{Builder, Name};
use super::effects::Sizes;
use super::scale::enlarge;

/// Variance of luma (0..255) below which a window counts as flat.
const EPSILON: f32 = 13.0;
/// Share of the painting that is kept where the frame does not explain it.
const KEPT: f32 = 0.5;

/// Enlarges a painting, `[1, 3, h, w]` floats of 0..255, from what was shown to the frame's size. `small` and `full`
/// are the luma of the frame at those sizes, `luma` weighs the painting's channels.
pub(super) fn enlarge_along(
    b: &mut Builder,
    painting: &str,
    (small, full): (&str, &str),
    luma: &[f32; 3],
    sizes: &Sizes,
    scaling: Scaling,
) -> Name {
    let (from, to) = (sizes.shown, sizes.frame);
    let painted = b.weighted(painting, &[*luma], from);
    let both = b.concat(1, &[small, &painted]);
    let means = window(b, &both, 2, scaling);
    let deviations = b.sub(&both, &means);
    let [mean, mean_painted] = halves(b, &means);
    let [deviation, deviation_painted] = halves(b, &deviations);
    // Products of the frame's deviation with itself and with the painting's.
    let products = b.mul(&deviations, &deviation);
    let products = window(b, &products, 2, scaling);
    let [variance, covariance] = halves(b, &products);
    let epsilon = b.floats(&[], &[EPSILON]);
    let variance = b.add(&variance, &epsilon);
    let slope = b.div(&covariance, &variance);
    let slope = window(b, &slope, 1, scaling);
    // What the frame's luma at full size is to be added to.
    let explained = b.mul(&slope, &mean);
    let offset = b.sub(&mean_painted, &explained);
    let explained = b.mul(&slope, &deviation);
    let rest = b.sub(&deviation_painted, &explained);
    let kept = b.floats(&[], &[KEPT]);
    let rest = b.mul(&rest, &kept);
    let offset = b.add(&offset, &rest);
    let change = b.sub(&offset, &painted);
    let colours = b.add(painting, &change);

    // Each by itself: it would cost more to take them apart again at full size.
    let colours = enlarge(b, &colours, 3, from, to, scaling);
    let slope = enlarge(b, &slope, 1, from, to, scaling);
    let light = b.mul(&slope, full);
    b.add(&colours, &light)
}

/// Means of 3x3 pixels of so many planes; those at the edge see it repeated.
fn window(b: &mut Builder, x: &str, planes: i64, scaling: Scaling) -> Name {
    let x = b.pad(x, "edge", &[0, 0, 1, 1, 0, 0, 1, 1]);
    match scaling {
        Scaling::Kernels => b.average(&x, [3, 3], [1, 1]),
        // OpenVINO pools slower than it convolves.
        Scaling::Products => {
            let weights = vec![1.0 / 9.0; 9 * planes as usize];
            let weights = b.floats(&[planes, 1, 3, 3], &weights);
            b.conv_apart(&x, &weights, planes)
        }
    }
}

/// The two planes of a picture.
fn halves(b: &mut Builder, x: &str) -> [Name; 2] {
    [0, 1].map(|plane| b.slice(x, 1, plane, plane + 1))
}
