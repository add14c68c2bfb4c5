// SPDX-License-Identifier: MPL-2.0
//! From settings to a session: reads the model files, selects the provider, and compiles the graph for a
//! frame's format and size, at once or in the background.

pub(super) mod active;
pub(super) mod compiler;
pub(super) mod dump;
pub(super) mod loading;
mod lowering;
pub(super) mod networks;
