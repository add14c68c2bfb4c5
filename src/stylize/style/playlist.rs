// SPDX-License-Identifier: MPL-2.0
//! Playlists: a text file that schedules styles by running time, for unattended channels.
//!
//! ```text
//! # running time   style, as the property has it   transition, if not the property's
//! 0:00             starry-night
//! 0:30             great-wave:0.7,scream:0.3
//! 1:00:00          udnie                           4
//! loop 2:00:00
//! ```
//!
//! Times are seconds, `minutes:seconds` or `hours:minutes:seconds`; the seconds may have a fraction. At the time
//! of `loop` the list starts again. `#` begins a comment.

use std::path::Path;

use gst::ClockTime;

use super::transition::Values;
use crate::files;
use crate::model::styles;
use crate::stylize::report::Error;

/// Maximum size of a file, bytes: more than a line for each second of a day.
const MAX_BYTES: u64 = 4 << 20;

/// One line.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Running time from which the style applies.
    from: ClockTime,
    /// Weights of the styles.
    pub values: Values,
    /// Duration of the transition; `None`: that of the property.
    pub transition: Option<ClockTime>,
}

/// A parsed playlist.
#[derive(Debug)]
pub(crate) struct Playlist {
    /// Sorted by time.
    entries: Vec<Entry>,
    /// Period after which the list starts again.
    repeat: Option<ClockTime>,
}

impl Playlist {
    /// Reads a file; its styles must be among `names`.
    ///
    /// # Errors
    /// [`Error::Playlist`] for a file that cannot be read, or with the line that cannot be parsed.
    pub fn read(file: &Path, names: &[String]) -> Result<Self, Error> {
        let error = |reason: String| Error::Playlist {
            file: file.display().to_string(),
            reason,
        };
        let text = files::read_text(file, MAX_BYTES).map_err(|err| error(err.to_string()))?;
        Self::parse(&text, names).map_err(error)
    }

    /// Parses the text of a file; its styles must be among `names`.
    ///
    /// # Errors
    /// The line that cannot be parsed, and why.
    pub fn parse(text: &str, names: &[String]) -> Result<Self, String> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut repeat = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let error = |reason: &str| format!("line {}: {reason}", number + 1);
            let time = |word: &str| {
                time(word).ok_or_else(|| error(&format!("\"{word}\" is not a time like 1:02:03.5")))
            };
            match words[..] {
                [] => (),
                ["loop", word] => {
                    let after = entries.last().map(|entry| entry.from);
                    let end = time(word)?;
                    if after.is_none_or(|after| end <= after) {
                        return Err(error("`loop` needs a time after the last style's"));
                    }
                    repeat = Some(end);
                }
                [word, style] | [word, style, _] if repeat.is_none() => {
                    let from = time(word)?;
                    if entries.last().is_some_and(|last| from <= last.from) {
                        return Err(error("its time is not after that of the line before"));
                    }
                    let values = styles::weights(names, style);
                    let transition = words.get(2).map(|word| time(word)).transpose()?;
                    entries.push(Entry {
                        from,
                        values: values.map_err(|err| error(&err.to_string()))?.into(),
                        transition,
                    });
                }
                _ => {
                    return Err(error(
                        "it is not a time and a style, nor the last line `loop` and a time",
                    ));
                }
            }
        }
        if entries.is_empty() {
            return Err("it names no style".into());
        }
        Ok(Self { entries, repeat })
    }

    /// The entry that applies at this running time, with its index; `None` before the first.
    pub fn at(&self, time: ClockTime) -> Option<(usize, &Entry)> {
        let time = match self.repeat {
            Some(repeat) => ClockTime::from_nseconds(time.nseconds() % repeat.nseconds()),
            None => time,
        };
        let begun = self.entries.partition_point(|entry| entry.from <= time);
        let index = match (begun, self.repeat) {
            (0, None) => return None,
            // Before the first entry of a repetition, the last one still applies.
            (0, Some(_)) => self.entries.len() - 1,
            (begun, _) => begun - 1,
        };
        Some((index, self.entries.get(index)?))
    }
}

/// Parses `[[hours:]minutes:]seconds`, less than 1e9 seconds.
fn time(text: &str) -> Option<ClockTime> {
    let mut seconds = 0.0;
    let parts: Vec<&str> = text.split(':').collect();
    for (place, part) in parts.iter().enumerate() {
        let last = place + 1 == parts.len();
        let value: f64 = match last {
            true => part.parse().ok()?,
            false => f64::from(part.parse::<u32>().ok()?),
        };
        seconds = seconds * 60.0 + value;
    }
    let fits = parts.len() <= 3 && (0.0..1e9).contains(&seconds);
    fits.then(|| ClockTime::from_nseconds((seconds * 1e9).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["waves", "night"].map(Into::into).into()
    }

    fn at(playlist: &Playlist, seconds: f64) -> Option<usize> {
        let time = ClockTime::from_nseconds((seconds * 1e9) as u64);
        playlist.at(time).map(|(index, _)| index)
    }

    #[test]
    fn lines_hold_until_the_next() {
        let text = "# hours\n\n0:10 waves\n1:00 night:1,waves:3  4 # slow\n1:00:00.5 night\n";
        let playlist = Playlist::parse(text, &names()).expect("a playlist");
        assert_eq!(at(&playlist, 9.9), None);
        assert_eq!(at(&playlist, 10.0), Some(0));
        assert_eq!(at(&playlist, 59.9), Some(0));
        assert_eq!(at(&playlist, 3600.4), Some(1));
        assert_eq!(at(&playlist, 1e6), Some(2));
        let (_, entry) = playlist.at(ClockTime::from_seconds(61)).expect("a line");
        assert_eq!(*entry.values, [0.75, 0.25]);
        assert_eq!(entry.transition, Some(ClockTime::from_seconds(4)));
    }

    #[test]
    fn a_loop_begins_anew() {
        let text = "2 waves\n5 night\nloop 10";
        let playlist = Playlist::parse(text, &names()).expect("a playlist");
        let found = [1.0, 3.0, 7.0, 11.0, 13.0, 36.0].map(|time| at(&playlist, time));
        assert_eq!(
            found,
            [Some(1), Some(0), Some(1), Some(1), Some(0), Some(1)]
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, words) in [
            ("", "names no style"),
            (
                "0 wave",
                "line 1: The style \"wave\" is not known; did you mean \"waves\"?",
            ),
            ("0 waves\nx night", "line 2: \"x\" is not a time"),
            ("5 waves\n5 night", "line 2: its time"),
            ("5 waves 1 2", "line 1: it is not"),
            ("5 waves\nloop 4", "line 2: `loop`"),
            ("loop 4", "line 1: `loop`"),
            ("0 waves\nloop 4\n5 night", "line 3: it is not"),
            ("1:2:3:4 waves", "line 1: \"1:2:3:4\" is not a time"),
            ("-1 waves", "line 1: \"-1\" is not a time"),
        ] {
            let err = Playlist::parse(text, &names()).expect_err(text);
            assert!(err.contains(words), "{text}: {err}");
        }
    }
}
