// SPDX-License-Identifier: MPL-2.0
//! Texts for `style`, and their weights: finite, and 1 together.
#![no_main]

use gststylize::model::styles;
use libfuzzer_sys::fuzz_target;

mod shared;

fuzz_target!(|text: &str| {
    match styles::weights(&shared::names(), text) {
        Ok(weights) => {
            let sum: f32 = weights.iter().sum();
            assert!(weights.iter().all(|w| (0.0..=1.0).contains(w)));
            assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        }
        Err(err) => assert!(err.to_string().len() < 2_000),
    }
});
