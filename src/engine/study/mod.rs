// SPDX-License-Identifier: MPL-2.0
//! Runs networks outside the stream: a generator, to measure conventions that its file does not state, and a style
//! predictor, to compute the style vector of a painting.

pub(super) mod picture;
pub(super) mod predictor;
pub mod probe;
