// SPDX-License-Identifier: MPL-2.0
//! What is done to a painting beyond painting it: its size, its colours, its past. Each is a property
//! of the element.

pub(super) mod colour;
pub(super) mod effects;
pub(super) mod guided;
pub(super) mod stability;
