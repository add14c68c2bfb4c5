// SPDX-License-Identifier: MPL-2.0
//! Frames on their way: what is to be done for one, where its bytes lie, which one is done again, and
//! the threads that do it. Knows no element, no properties and no generator but a session to run.

pub(super) mod delays;
pub(super) mod frame;
pub(super) mod job;
pub(super) mod plan;
pub(super) mod queue;
pub(super) mod repeat;
