// SPDX-License-Identifier: MPL-2.0
//! Playlists.
#![no_main]

use libfuzzer_sys::fuzz_target;

mod shared;

fuzz_target!(|text: &str| {
    gststylize::stylize::fuzzing::playlist(text, &shared::names());
});
