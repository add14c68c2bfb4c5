// SPDX-License-Identifier: MPL-2.0
//! Code for more than one command. Modules here must not depend on a command, parse arguments or print.

pub mod address;
pub mod animation;
pub mod element;
pub mod failure;
#[cfg(test)]
pub mod fuzz;
pub mod live;
pub mod output;
pub mod pads;
pub mod place;
pub mod restart;
pub mod run;
pub mod text;
pub mod time;
