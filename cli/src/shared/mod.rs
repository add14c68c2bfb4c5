// SPDX-License-Identifier: MPL-2.0
//! What several commands use: nothing here belongs to one command, and nothing here reads arguments.

pub mod address;
pub mod animation;
pub mod element;
pub mod failure;
pub mod live;
#[cfg(test)]
pub mod made_up;
pub mod pads;
pub mod place;
pub mod restart;
pub mod run;
pub mod text;
