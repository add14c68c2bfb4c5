// SPDX-License-Identifier: MPL-2.0
//! Works around the early end of tracks with edit lists in `qtdemux` 1.22.
//!
//! It stops when a track's media time has reached the movie's duration (`mvhd`). Where an edit list (`elst`) begins at a
//! later media time, that is too early by this much. So the durations in the `moov` box are increased as the demuxer
//! reads it (ISO/IEC 14496-12, 8.2.2, 8.4.2 and 8.6.6); the edit list itself still ends the track in time.

use gst::prelude::*;

/// `qtdemux` skips tracks shorter than this part of the movie.
const TOO_SHORT: u128 = 5;
/// A part of the movie that is long enough for `qtdemux`.
const LONG_ENOUGH: u128 = 4;

/// Applies the workaround to all `qtdemux` elements that are added to this bin.
pub fn read_to_the_end(bin: &gst::Bin) {
    bin.connect_deep_element_added(|_, _, element| {
        let factory = element.factory();
        let quicktime = factory.is_some_and(|factory| factory.name() == "qtdemux");
        let Some(sink) = element.static_pad("sink").filter(|_| quicktime) else {
            return;
        };
        // The probe is removed after the `moov` box.
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
                // A broken box is left as it is; the demuxer reports it.
                let _ = lengthen(&mut bytes);
            }
            gst::PadProbeReturn::Remove
        });
    });
}

/// Whether these bytes are one whole `moov` box.
fn is_movie(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"moov") && number(bytes, 0) == Some(bytes.len() as u64)
}

/// Increases the movie's duration by the largest media time that an edit list skips, and the durations of tracks that
/// would then be too short. `None`: nothing to do, or a broken box.
fn lengthen(movie: &mut [u8]) -> Option<()> {
    let film = Length::of(movie, 8, movie.len(), b"mvhd")?;
    // The duration of fragmented files is unknown here.
    if film.units == 0 || child(movie, 8, movie.len(), b"mvex").is_some() {
        return None;
    }
    let mut most = 0;
    let mut tracks = Vec::new();
    let mut at = 8;
    while let Some((track, length, next)) = child(movie, at, movie.len(), b"trak") {
        most = most.max(skipped_time(movie, track, length, film.per_second).unwrap_or(0));
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
        // Tracks that were skipped before stay so.
        let long_enough = part(longer, LONG_ENOUGH)?;
        if track.units >= part(film.units, TOO_SHORT)? && track.units < long_enough {
            track.set(movie, long_enough)?;
        }
    }
    Some(())
}

/// The duration field of an `mvhd` or `mdhd` box, in units of its timescale.
struct Length {
    units: u64,
    per_second: u64,
    /// Offset of the field in bytes; `wide`: of 64 bits (version 1) instead of 32.
    place: usize,
    wide: bool,
}

impl Length {
    /// Reads the first box of this name between two offsets.
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

    /// Writes the duration.
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

/// The duration of a track's media (`mdhd`).
fn own_length(movie: &[u8], track: usize, length: usize) -> Option<Length> {
    let (media, length, _) = child(movie, track, track + length, b"mdia")?;
    Length::of(movie, media, media + length, b"mdhd")
}

/// Greatest difference of a track's media time and its presentation time over the edit list, in the movie's timescale.
fn skipped_time(movie: &[u8], track: usize, length: usize, per_second: u64) -> Option<u64> {
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
            // -1 is an empty edit.
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

/// The next box of this name from `at` to `end`: offset and length of its content, and offset of the box behind it.
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

    /// A film of 3 s whose track has an edit list of these durations and media times.
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
    fn duration_grows_by_the_skipped_media() {
        let cases: [(&[[u32; 2]], u64); 5] = [
            (&[[3000, 0]], 3000),
            (&[[3000, 12_800]], 4000),
            // An empty edit, then media from 1 s on: nothing is cut off.
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
    fn broken_boxes_do_not_panic() {
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
