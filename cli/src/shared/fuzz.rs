// SPDX-License-Identifier: MPL-2.0
//! Fuzzing for unit tests: valid inputs are mutated at random, [`COUNT`] times or as often as the environment variable
//! `STYLIZE_INPUTS` says. The seed is fixed, so a failure can be reproduced.

use std::time::{Duration, Instant};

const COUNT: usize = 20_000;

/// Time limit for one input; generous, because the machine may be busy.
const LONGEST: Duration = Duration::from_secs(5);

/// Fragments that parsers often handle wrongly.
const PIECES: [&str; 16] = [
    "%00",
    "%",
    "&",
    "=",
    "?",
    "/",
    "..",
    "-1",
    "18446744073709551616",
    "NaN",
    "\r\n",
    "\0",
    "é",
    "\u{10ffff}",
    "{\"",
    "1e999",
];

/// Pseudorandom numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % count.max(1) as u64) as usize
    }
}

/// Prints the input if the test panics.
struct Shown(Vec<u8>);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with the input \"{}\"", self.0.escape_ascii());
        }
    }
}

/// Calls `read` with all `seeds`, then with mutations of them.
pub fn each(seeds: &[&str], mut read: impl FnMut(&[u8])) {
    let count = std::env::var("STYLIZE_INPUTS").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(COUNT);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..count {
        let mut input = seeds[number % seeds.len()].as_bytes().to_vec();
        let changes = if number < seeds.len() {
            0
        } else {
            1 + random.below(6)
        };
        for _ in 0..changes {
            change(&mut input, seeds, &mut random);
        }
        let begun = Instant::now();
        let shown = Shown(input);
        read(&shown.0);
        assert!(begun.elapsed() < LONGEST, "too slow");
    }
}

/// Applies one random mutation: deletes, repeats, inserts, splices or overwrites bytes.
fn change(input: &mut Vec<u8>, seeds: &[&str], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = (at + random.below(12)).min(input.len());
    match random.below(6) {
        0 => drop(input.drain(at..end)),
        1 => {
            let again = input[at..end].to_vec();
            drop(input.splice(at..at, again));
        }
        2 => {
            let piece = PIECES[random.below(PIECES.len())].bytes();
            drop(input.splice(at..end, piece));
        }
        3 => {
            let other = seeds[random.below(seeds.len())].as_bytes();
            let from = random.below(other.len());
            input.truncate(at);
            input.extend(&other[from..]);
        }
        _ if at < input.len() => input[at] = random.below(256) as u8,
        _ => input.push(random.below(256) as u8),
    }
}
