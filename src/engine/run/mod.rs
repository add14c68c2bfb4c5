// SPDX-License-Identifier: MPL-2.0
//! Runs compiled graphs: one session for all elements that have the same graph, provider and size, its
//! memory, its threads, and how a run is cancelled.

pub(super) mod assignment;
pub(super) mod bytes;
pub(super) mod executor;
pub(super) mod load;
pub(super) mod memory;
pub(super) mod noise;
pub mod session;
pub(super) mod shared;
