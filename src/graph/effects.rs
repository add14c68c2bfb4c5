// SPDX-License-Identifier: MPL-2.0
//! Effects between the generator and the frame.

use super::builder::{Builder, Name};

/// Linear mix `source + strength · (stylized − source)`; `strength` is a tensor of one element, 0
/// gives the source exactly.
pub(super) fn mix(b: &mut Builder, source: &str, stylized: &str, strength: &str) -> Name {
    let difference = b.sub(stylized, source);
    let weighted = b.mul(&difference, strength);
    b.add(source, &weighted)
}
