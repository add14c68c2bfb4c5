// SPDX-License-Identifier: MPL-2.0
//! Random numbers for a generator's noise inputs: the same for the same seed on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// `len` standard normal numbers for the generator's noise input with this index.
pub(crate) fn normal(seed: u64, index: usize, len: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(index as u64);
    StandardNormal.sample_iter(random).take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_normal_and_differ_by_seed_and_input() {
        let numbers = normal(1, 0, 100_000);
        let mean = numbers.iter().map(|v| f64::from(*v)).sum::<f64>() / 1e5;
        let square = numbers.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((square - 1.0).abs() < 0.02, "{square}");
        assert_eq!(numbers[..8], normal(1, 0, 8));
        assert_ne!(numbers[..8], normal(2, 0, 8));
        assert_ne!(numbers[..8], normal(1, 1, 8));
    }
}
