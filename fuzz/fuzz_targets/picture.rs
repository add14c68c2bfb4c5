// SPDX-License-Identifier: MPL-2.0
//! Pictures for masks and styles.
#![no_main]

use gststylize::gallery::painting;
use libfuzzer_sys::fuzz_target;

mod shared;

fuzz_target!(|data: &[u8]| {
    let file = shared::file("picture", data);
    if let Ok(pixels) = painting::read(&file, 32, 24) {
        assert_eq!(pixels.len(), 32 * 24 * 3);
    }
});
