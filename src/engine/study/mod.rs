// SPDX-License-Identifier: MPL-2.0
//! Runs networks outside the stream: a generator, to learn what its file does not say, and a style
//! predictor, to learn the style of a picture.

pub(super) mod picture;
pub(super) mod predictor;
pub mod probe;
