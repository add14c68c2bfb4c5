// SPDX-License-Identifier: MPL-2.0
//! Work on single frames: the plan of a frame, its memory layout, the decision to repeat the last painting, and
//! the queue of results. Independent of the element, its properties and the generator; it only runs sessions.

pub(super) mod delays;
pub(super) mod frame;
pub(super) mod job;
pub(super) mod plan;
pub(super) mod queue;
pub(super) mod repeat;
