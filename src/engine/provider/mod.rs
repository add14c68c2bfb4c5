// SPDX-License-Identifier: MPL-2.0
//! Execution providers: their capabilities, the selection of one, the session's configuration for it, its disk
//! cache, and locking for those that are not thread-safe. Runs no generator.

pub(super) mod cache;
pub(super) mod candidates;
pub(super) mod choice;
pub(super) mod configure;
pub(super) mod exclusive;
pub(super) mod kinds;
pub(super) mod plugin;
pub(super) mod trial;
