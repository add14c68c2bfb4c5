// SPDX-License-Identifier: MPL-2.0
//! Reads tracks with edit lists to their ends.
//!
//! `qtdemux` 1.22 stops when a track's own time has reached the duration of the film. Where an edit list leaves out the
//! beginning, that is too early, by as much as it leaves out. So the demuxer is told that the film lasts so much longer;
//! the end of the edit list holds all the same.

use gst::prelude::*;

/// A track is left out that is shorter than this part of the film.
const TOO_SHORT: u128 = 5;
/// One that is not.
const LONG_ENOUGH: u128 = 4;

/// Lets the demuxers in this bin read to the end.
pub fn read_to_the_end(bin: &gst::Bin) {
    bin.connect_deep_element_added(|_, _, element| {
        let factory = element.factory();
        let quicktime = factory.is_some_and(|factory| factory.name() == "qtdemux");
        let Some(sink) = element.static_pad("sink").filter(|_| quicktime) else {
            return;
        };
        // Once: what comes behind it are the streams.
        let types = gst::PadProbeType::PULL | gst::PadProbeType::BUFFER;
        sink.add_probe(types, |_, info| {
            let Some(buffer) = info.buffer_mut() else {
                return gst::PadProbeReturn::Ok;
            };
            let is_movie = buffer.map_readable().is_ok_and(|bytes| is_movie(&bytes));
            if !is_movie {
                return gst::PadProbeReturn::Ok;
            }
            if let Ok(mut bytes) = buffer.make_mut().map_writable() {
                // Nothing is said of what is broken: the demuxer does that.
                let _ = lengthen(&mut bytes);
            }
            gst::PadProbeReturn::Remove
        });
    });
}

/// Whether these bytes are the whole box that describes a film.
fn is_movie(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"moov") && number(bytes, 0) == Some(bytes.len() as u64)
}

/// Makes the film longer by what its edit lists leave out at most, and short tracks long enough.
fn lengthen(movie: &mut [u8]) -> Option<()> {
    let film = Length::of(movie, 8, movie.len(), b"mvhd")?;
    // Of what comes in fragments, the length is not known.
    if film.units == 0 || child(movie, 8, movie.len(), b"mvex").is_some() {
        return None;
    }
    let mut most = 0;
    let mut tracks = Vec::new();
    let mut at = 8;
    while let Some((track, length, next)) = child(movie, at, movie.len(), b"trak") {
        most = most.max(left_out(movie, track, length, film.per_second).unwrap_or(0));
        tracks.extend(own_length(movie, track, length));
        at = next;
    }
    if most == 0 {
        return None;
    }
    let longer = film.units.checked_add(most)?;
    film.set(movie, longer)?;
    for track in tracks {
        let part = |film_units: u64, part: u128| {
            let units = u128::from(film_units) * u128::from(track.per_second);
            u64::try_from(units / u128::from(film.per_second.max(1)) / part).ok()
        };
        // What the demuxer would have left out is left to it.
        let long_enough = part(longer, LONG_ENOUGH)?;
        if track.units >= part(film.units, TOO_SHORT)? && track.units < long_enough {
            track.set(movie, long_enough)?;
        }
    }
    Some(())
}

/// How long a film or a track is, as a box says.
struct Length {
    units: u64,
    per_second: u64,
    /// Where it is written, and in how many bytes.
    place: usize,
    wide: bool,
}

impl Length {
    /// What the box of this name says.
    fn of(movie: &[u8], at: usize, end: usize, name: &[u8; 4]) -> Option<Self> {
        let (header, size, _) = child(movie, at, end, name)?;
        let wide = *movie.get(header)? == 1;
        let (scale, place, width) = if wide { (20, 24, 8) } else { (12, 16, 4) };
        let place = header + place;
        let units = if wide {
            wide_number(movie, place)?
        } else {
            number(movie, place)?
        };
        (place + width <= header + size).then_some(Self {
            units,
            per_second: number(movie, header + scale)?,
            place,
            wide,
        })
    }

    fn set(&self, movie: &mut [u8], units: u64) -> Option<()> {
        if self.wide {
            let place = movie.get_mut(self.place..self.place + 8)?;
            place.copy_from_slice(&units.to_be_bytes());
        } else {
            let units = u32::try_from(units).ok()?;
            let place = movie.get_mut(self.place..self.place + 4)?;
            place.copy_from_slice(&units.to_be_bytes());
        }
        Some(())
    }
}

fn own_length(movie: &[u8], track: usize, length: usize) -> Option<Length> {
    let (media, length, _) = child(movie, track, track + length, b"mdia")?;
    Length::of(movie, media, media + length, b"mdhd")
}

/// By how much a track's time is ahead of the film's at most, in the film's units.
fn left_out(movie: &[u8], track: usize, length: usize, per_second: u64) -> Option<u64> {
    let end = track + length;
    let own = own_length(movie, track, length)?.per_second;
    let own = Some(own).filter(|own| *own > 0)?;
    let (edits, length, _) = child(movie, track, end, b"edts")?;
    let (list, length, _) = child(movie, edits, edits + length, b"elst")?;
    let wide = *movie.get(list)? == 1;
    let entries = movie.get(list + 8..list + length)?;
    let (mut most, mut film) = (0, 0_u64);
    for entry in entries.chunks_exact(if wide { 20 } else { 12 }) {
        let (lasts, media) = if wide {
            (wide_number(entry, 0)?, wide_number(entry, 8)?.cast_signed())
        } else {
            let media = i32::try_from(number(entry, 4)?.cast_signed());
            // All bits are set where nothing is shown.
            (number(entry, 0)?, i64::from(media.unwrap_or(-1)))
        };
        if let Ok(media) = u128::try_from(media) {
            let media = u64::try_from(media * u128::from(per_second) / u128::from(own)).ok()?;
            most = most.max(media.saturating_sub(film));
        }
        film = film.checked_add(lasts)?;
    }
    Some(most)
}

/// The next box of this name from `at` to `end`: where its content is, how long it is, and where the next box begins.
fn child(bytes: &[u8], mut at: usize, end: usize, name: &[u8; 4]) -> Option<(usize, usize, usize)> {
    loop {
        let size = usize::try_from(number(bytes, at)?).ok()?;
        let next = at
            .checked_add(size)
            .filter(|next| *next <= end && size >= 8)?;
        if bytes.get(at + 4..at + 8)? == name {
            return Some((at + 8, size - 8, next));
        }
        at = next;
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from(u32::from_be_bytes(*bytes)))
}

fn wide_number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).expect("a small box");
        [&size.to_be_bytes(), &name[..], content].concat()
    }

    /// Numbers of 32 bits behind version and flags.
    fn numbers(numbers: &[u32]) -> Vec<u8> {
        let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
        [0; 4].into_iter().chain(numbers).collect()
    }

    /// A film of 3 s whose track has an edit list of these durations and times.
    fn film(edits: &[[u32; 2]]) -> Vec<u8> {
        let count = u32::try_from(edits.len()).expect("some");
        let entries = edits
            .iter()
            .flat_map(|[lasts, media]| [*lasts, *media, 1 << 16]);
        let list: Vec<_> = [count].into_iter().chain(entries).collect();
        let edits = boxed(b"edts", &boxed(b"elst", &numbers(&list)));
        let media = boxed(
            b"mdia",
            &boxed(b"mdhd", &numbers(&[0, 0, 12_800, 12_800 * 3])),
        );
        let track = boxed(b"trak", &[edits, media].concat());
        let header = boxed(b"mvhd", &numbers(&[0, 0, 1000, 3000]));
        boxed(b"moov", &[header, track].concat())
    }

    fn duration(film: &[u8]) -> u64 {
        number(film, 8 + 8 + 16).expect("a header")
    }

    #[test]
    fn a_film_lasts_longer_by_what_is_left_out() {
        let cases: [(&[[u32; 2]], u64); 5] = [
            (&[[3000, 0]], 3000),
            (&[[3000, 12_800]], 4000),
            // It begins late, with what would be shown then.
            (&[[1000, u32::MAX], [2000, 12_800]], 3000),
            (&[[1000, 0], [2000, 25_600]], 4000),
            (&[[1000, 25_600], [2000, 0]], 5000),
        ];
        for (edits, wanted) in cases {
            let mut film = film(edits);
            assert!(is_movie(&film));
            let _ = lengthen(&mut film);
            assert_eq!(duration(&film), wanted, "{edits:?}");
        }
    }

    #[test]
    fn no_track_becomes_too_short() {
        let mut film = film(&[[3000, 12_800 * 27]]);
        let _ = lengthen(&mut film);
        assert_eq!(duration(&film), 30_000);
        let header = film.windows(4).position(|name| name == b"mdhd");
        let track = number(&film, header.expect("a track") + 20);
        assert_eq!(track, Some(12_800 * 30 / 4));
    }

    #[test]
    fn what_is_broken_is_left_to_the_demuxer() {
        let whole = film(&[[3000, 12_800]]);
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            assert!(!is_movie(&cut));
            let _ = lengthen(&mut cut);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut other = whole.clone();
                other[at] = byte;
                let _ = lengthen(&mut other);
            }
        }
    }
}
