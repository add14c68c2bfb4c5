// SPDX-License-Identifier: MPL-2.0
//! The time of day in a picture, so large and plain that its painting can be read.
//!
//! Two rows of blocks at the top of the picture. A column is a bit: which of the two is the brighter one.
//! So it does not matter how bright a painting is, only that light stays lighter than dark.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds, which begin anew after 17 minutes.
const TIME_BITS: u32 = 20;
/// A sum over the bits of the time, to tell a reading from a misreading.
const CHECK_BITS: u32 = 4;
const COLUMNS: u32 = TIME_BITS + CHECK_BITS;
/// The height of a block is this part of the picture's.
const ROW: usize = 12;
/// No path is so slow; what seems so is misread.
const SLOWEST: u32 = 60_000;

/// The time now.
pub fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    (since.expect("a clock").as_millis() & u128::from(mask())) as u32
}

const fn mask() -> u32 {
    (1 << TIME_BITS) - 1
}

/// From one time to a later one; `None` if it cannot be.
pub fn between(from: u32, to: u32) -> Option<u32> {
    let time = to.wrapping_sub(from) & mask();
    (time < SLOWEST).then_some(time)
}

fn check(time: u32) -> u32 {
    let parts = (0..TIME_BITS / 4).map(|i| (time >> (4 * i) & 15) * (2 * i + 1));
    (parts.sum::<u32>() + 9) & 15
}

/// The plane of luma of a picture.
pub struct Luma<T> {
    pub bytes: T,
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}

/// Where the block of this row and column is: its columns and rows of pixels.
fn block(
    (width, height): (usize, usize),
    row: usize,
    column: usize,
) -> [std::ops::Range<usize>; 2] {
    let columns = COLUMNS as usize;
    let x = |column| width * column / columns;
    let y = |row| height * row / ROW;
    [x(column)..x(column + 1), y(row)..y(row + 1)]
}

/// Height of the strip that `draw` covers.
pub fn strip(height: usize) -> usize {
    height * 2 / ROW
}

/// Writes a time over the top of the picture.
pub fn draw(picture: &mut Luma<&mut [u8]>, time: u32) {
    let code = time << CHECK_BITS | check(time);
    let size = (picture.width, picture.height);
    for column in 0..COLUMNS as usize {
        let bit = code >> (COLUMNS as usize - 1 - column) & 1 == 1;
        for (row, white) in [(0, bit), (1, !bit)] {
            let [x, y] = block(size, row, column);
            for y in y {
                let start = y * picture.stride;
                picture.bytes[start + x.start..start + x.end].fill(if white { 235 } else { 16 });
            }
        }
    }
}

/// The time that is written in a picture, or in its painting.
pub fn read(picture: &Luma<&[u8]>) -> Option<u32> {
    let size = (picture.width, picture.height);
    // The middle of a block: paint runs at its edges.
    let middle = |range: std::ops::Range<usize>| {
        let margin = range.len() / 4;
        range.start + margin..range.end - margin
    };
    let sum = |row, column| {
        let [x, y] = block(size, row, column);
        middle(y)
            .flat_map(|y| picture.bytes[y * picture.stride..][middle(x.clone())].iter())
            .map(|value| u32::from(*value))
            .sum::<u32>()
    };
    let code = (0..COLUMNS as usize).fold(0, |code, column| {
        code << 1 | u32::from(sum(0, column) > sum(1, column))
    });
    checked(code)
}

fn checked(code: u32) -> Option<u32> {
    let time = code >> CHECK_BITS;
    (check(time) == code & 15).then_some(time)
}

/// The same for a browser. `watchClock(element)` notes in `seen` what a `<video>` or an `<img>` shows: the
/// code and the time now, whenever a frame comes, or for `<img>` whenever the screen is drawn.
pub const SCRIPT: &str = "
    window.seen = [];
    window.watchClock = (element) => {
        const canvas = new OffscreenCanvas(96, 8);
        const context = canvas.getContext('2d', { willReadFrequently: true });
        const isVideo = element instanceof HTMLVideoElement;
        const read = () => {
            const now = Date.now();
            const [width, height] = isVideo
                ? [element.videoWidth, element.videoHeight]
                : [element.naturalWidth, element.naturalHeight];
            context.drawImage(element, 0, 0, width, height / 6, 0, 0, 96, 8);
            const { data } = context.getImageData(0, 0, 96, 8);
            const bright = (row, column) => {
                let sum = 0;
                for (const y of [4 * row + 1, 4 * row + 2]) {
                    for (const x of [4 * column + 1, 4 * column + 2]) {
                        const at = 4 * (96 * y + x);
                        sum += 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
                    }
                }
                return sum;
            };
            let code = 0;
            for (let column = 0; column < 24; column++) {
                code = code << 1 | (bright(0, column) > bright(1, column));
            }
            seen.push([code, now]);
        };
        const next = (then) => isVideo ? element.requestVideoFrameCallback(then) : requestAnimationFrame(then);
        const loop = () => { read(); next(loop); };
        next(loop);
    };";

/// A reading of a browser: `None` where the code is not one.
pub fn from_browser(code: u64) -> Option<u32> {
    checked(code as u32)
}

/// A browser's time, as `now` has it.
pub fn browser_time(now: u64) -> u32 {
    (now & u64::from(mask())) as u32
}
