// SPDX-License-Identifier: MPL-2.0
//! Warm-up: how early stylizing begins before a piece, so that its frames are the same as in one run.

use anyhow::{Context, Result, bail};

/// Remaining weight of earlier frames at the first frame of a piece: 0.2 %, which changes an 8-bit value by at most
/// half a step.
const LEFT: f64 = 0.002;
/// Longest warm-up in frames.
const MOST: f64 = 2000.0;
/// Margin around a change of style, ns: it takes effect with the frame before its time. Several frames long.
const AROUND: u64 = 250_000_000;
const SECOND: f64 = 1e9;

/// Number of warm-up frames for a value of the property `stability`, 0 to 1.
///
/// # Errors
/// If it exceeds [`MOST`].
pub fn frames(stability: f64) -> Result<u64> {
    let weight = gststylize::stylize::weight_of_past(stability);
    if weight <= 0.0 {
        return Ok(0);
    }
    let frames = LEFT.ln() / weight.ln();
    // Infinite for weight 1.
    if !(0.0..=MOST).contains(&frames) {
        bail!(
            "stability={stability} keeps what was painted for too long to begin anew in the middle of a film; \
             use less than 0.97, or paint it in one piece"
        );
    }
    Ok(frames.ceil() as u64 + 1)
}

/// Start and end of the transitions of a playlist, ns.
#[derive(Default)]
pub struct Changes(Vec<(u64, u64)>);

impl Changes {
    /// Parses a playlist for a film of this duration. `transition` is the property's value. Times are nanoseconds.
    /// Names of styles are not checked.
    ///
    /// # Errors
    /// If a time is wrong, or there are more than a million changes.
    pub fn new(playlist: &str, transition: u64, duration: u64) -> Result<Self> {
        let mut changes = Vec::new();
        let mut repeat = None;
        for (number, line) in playlist.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = |word: &str| {
                time(word).with_context(|| format!("line {}: \"{word}\" is no time", number + 1))
            };
            match words[..] {
                [] => (),
                ["loop", end] => repeat = Some(at(end)?),
                [from, _] => changes.push((at(from)?, transition)),
                [from, _, takes] => changes.push((at(from)?, at(takes)?)),
                _ => bail!("line {}: it is not a time and a style", number + 1),
            }
        }
        let rounds = match repeat {
            Some(0) => bail!("a loop of no length"),
            Some(repeat) => duration / repeat,
            None => 0,
        };
        if rounds.saturating_mul(changes.len() as u64) > 1_000_000 {
            bail!("it has more than a million changes of style");
        }
        let all = (0..=rounds).flat_map(|round| {
            let since = round * repeat.unwrap_or_default();
            changes.iter().map(move |(at, takes)| (since + at, *takes))
        });
        let mut spans: Vec<_> = all
            .map(|(at, takes)| {
                let end = at.saturating_add(takes).saturating_add(AROUND);
                (at.saturating_sub(AROUND), end)
            })
            .collect();
        spans.sort_unstable();
        Ok(Self(spans))
    }

    /// The latest time up to this one outside all transitions.
    pub fn settled(&self, mut time: u64) -> u64 {
        // Repeated, because the start of one transition may be inside an earlier one.
        loop {
            let around = self
                .0
                .iter()
                .find(|(begin, end)| (*begin..=*end).contains(&time) && *begin < time);
            match around {
                Some((begin, _)) => time = *begin,
                None => return time,
            }
        }
    }
}

/// Nanoseconds of `seconds`, `minutes:seconds` or `hours:minutes:seconds`.
fn time(text: &str) -> Option<u64> {
    let seconds = text.split(':').try_fold(0.0, |before, part| {
        Some(before * 60.0 + part.parse::<f64>().ok()?)
    })?;
    (0.0..1e9)
        .contains(&seconds)
        .then(|| (seconds * SECOND).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_past_fades_sooner_where_less_of_it_stays() {
        assert_eq!(frames(0.0).expect("none"), 0);
        let of = |stability| frames(stability).expect("some");
        assert!(of(0.2) < of(0.5) && of(0.5) < of(0.8));
        // 0.9106 ^ 67 is 0.0019.
        assert!((60..75).contains(&of(0.8)), "{}", of(0.8));
        assert!(frames(1.0).is_err());
    }

    #[test]
    fn a_piece_begins_before_a_change_that_is_on_its_way() {
        let text = "0 a\n10 b 4\n13 c\n20 d # late\n";
        let changes = Changes::new(text, 500 * MS, 60_000 * MS).expect("a playlist");
        assert_eq!(changes.settled(9_000 * MS), 9_000 * MS);
        assert_eq!(changes.settled(12_000 * MS), 9_750 * MS);
        // The transition to c begins during that to b.
        assert_eq!(changes.settled(13_500 * MS), 9_750 * MS);
        assert_eq!(changes.settled(15_000 * MS), 15_000 * MS);
        assert_eq!(changes.settled(100 * MS), 0);
        let looped = Changes::new("0 a\n5 b 1\nloop 10", 500 * MS, 60_000 * MS).expect("a loop");
        assert_eq!(looped.settled(35_500 * MS), 34_750 * MS);
        assert!(Changes::new("x a", 0, 0).is_err());
    }
}
