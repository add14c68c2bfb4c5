// SPDX-License-Identifier: MPL-2.0
//! Execution providers: which there are, which of them is taken, how a session is configured for it,
//! what it keeps on disk, and which of them are not thread-safe. Runs no generator.

pub(super) mod cache;
pub(super) mod candidates;
pub(super) mod choice;
pub(super) mod configure;
pub(super) mod exclusive;
pub(super) mod kinds;
pub(super) mod plugin;
pub(super) mod trial;
