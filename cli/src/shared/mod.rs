// SPDX-License-Identifier: MPL-2.0
//! What several commands use: nothing here belongs to one command, and nothing here reads arguments.

pub mod live;
