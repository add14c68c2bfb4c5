// SPDX-License-Identifier: MPL-2.0
//! The sizes that a picture may be shown to a generator in, when time is short.

/// Heights in eighths of the one asked for. Ratios of such small numbers scale fastest; what a
/// generator needs beyond that is padded, as ever.
const EIGHTHS: [usize; 5] = [8, 6, 4, 3, 2];
/// None lower: of fewer lines a painting shows nothing any more.
const FLOOR: usize = 64;
/// Each has no more of the work of the one before than this, or it is not worth a change.
const LESS: f64 = 0.9;

/// One of the sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rung {
    /// Pixels.
    pub height: usize,
    /// What is computed for it, as a share of the first one's.
    pub work: f64,
}

/// From `height` down to `floor` at most; `pixels` are computed by the generator for a height.
pub(crate) fn rungs(height: usize, floor: usize, pixels: impl Fn(usize) -> usize) -> Vec<Rung> {
    let whole = pixels(height).max(1) as f64;
    let mut rungs: Vec<Rung> = Vec::new();
    for height in EIGHTHS.map(|eighths| (height * eighths + 4) / 8) {
        let work = pixels(height) as f64 / whole;
        let lower = |last: &Rung| height >= floor.max(FLOOR) && work <= LESS * last.work;
        if rungs.last().is_none_or(lower) {
            rungs.push(Rung { height, work });
        }
    }
    rungs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heights(height: usize, floor: usize, pixels: impl Fn(usize) -> usize) -> Vec<usize> {
        let rungs = rungs(height, floor, pixels);
        rungs.iter().map(|rung| rung.height).collect()
    }

    #[test]
    fn they_are_lower_and_worth_a_step() {
        let square = |height: usize| height * height;
        assert_eq!(heights(1080, 1, square), [1080, 810, 540, 405, 270]);
        assert_eq!(heights(720, 300, square), [720, 540, 360]);
        assert_eq!(heights(200, 1, square), [200, 150, 100, 75]);
        assert_eq!(heights(48, 1, square), [48]);
        // A generator that computes 512 lines whatever it is shown.
        assert_eq!(heights(512, 1, |_| 512 * 512), [512]);
        // One that pads to multiples of 256: 1280, 1024, 768, 512, 512.
        let padded = |height: usize| height.next_multiple_of(256).pow(2);
        assert_eq!(heights(1080, 1, padded), [1080, 810, 540, 405]);
    }
}
