// SPDX-License-Identifier: MPL-2.0
//! The sizes between which `adapt=resolution` chooses.

/// Heights in eighths of `inference-height`: frames are scaled fastest by ratios of small integers. The
/// generator's size multiple is met by padding.
const EIGHTHS: [usize; 5] = [8, 6, 4, 3, 2];
/// Minimum height, pixels: paintings of fewer lines show no recognizable content.
const FLOOR: usize = 64;
/// Maximum work of a rung, as a share of that of the rung above; with more, a step gains too little.
const LESS: f64 = 0.9;

/// One size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rung {
    /// Height of the picture shown to the generator, pixels.
    pub height: usize,
    /// Pixels computed for it, as a share of those of the first rung, 0..1.
    pub work: f64,
}

/// The rungs from `height` down to at least `floor` pixels; `pixels` gives the number of pixels that the
/// generator computes for a height, padding included.
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
