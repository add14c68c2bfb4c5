// SPDX-License-Identifier: MPL-2.0
//! Changes to nodes that are there already: to the generator, whose first padding and last shuffle of
//! channels can be done on the frame's side, or whose numbers become 16-bit floats; and to the whole
//! graph, for what a provider has no kernels for.

pub(super) mod bus;
pub(super) mod early_pad;
pub(super) mod half;
pub(super) mod kernels;
pub(super) mod late_shuffle;
