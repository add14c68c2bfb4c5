// SPDX-License-Identifier: MPL-2.0
//! Effects between the generator and the frame.

use super::builder::{Builder, Name};
use super::{MASK, STRENGTH};

/// The strength of the mix at each pixel, `[1, 1, H, W]`.
pub(super) fn masked_strength(b: &mut Builder) -> Name {
    let mask = b.dequantize(MASK, 1.0 / 255.0);
    b.mul(&mask, STRENGTH)
}

/// Linear mix `source + strength · (stylized − source)`; `strength` is a tensor of one element, or one for each
/// pixel; 0 gives the source exactly.
pub(super) fn mix(b: &mut Builder, source: &str, stylized: &str, strength: &str) -> Name {
    let difference = b.sub(stylized, source);
    let weighted = b.mul(&difference, strength);
    b.add(source, &weighted)
}
