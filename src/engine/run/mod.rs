// SPDX-License-Identifier: MPL-2.0
//! Runs compiled graphs: sessions that elements with the same graph and provider share, their memory and threads,
//! and the cancellation of runs.

pub(super) mod assignment;
pub(super) mod bytes;
pub(super) mod executor;
pub(super) mod load;
pub(super) mod memory;
pub(super) mod noise;
pub mod session;
pub(super) mod shared;
