// SPDX-License-Identifier: MPL-2.0
//! The latest seconds of a stream for Low-Latency HLS (RFC 8216bis): parts, segments made of parts, the playlist, and
//! which requests have to wait. Pure data: no clock, no network, no GStreamer elements.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use axum::body::Bytes;
use gst::glib;

/// Complete segments in a playlist, and in the first one. Players without Low-Latency HLS begin three segments before
/// the end, and some fail with a playlist that has fewer.
const LISTED: usize = 6;
const FIRST: usize = 3;
/// Complete segments that are kept: a player with an older playlist may still request all that it lists.
const KEPT: usize = 2 * LISTED + 1;
/// Parts are listed for the open segment and this many before it; players use none that are older.
const WITH_PARTS: usize = 3;
/// A key frame begins a new segment after this part of a segment's duration.
const EARLIEST: f64 = 0.75;

/// A part: some frames that a player can fetch before their segment is complete.
pub struct Part {
    /// Time of arrival of its first frame, since 1970.
    pub time: Duration,
    pub duration: Duration,
    /// Whether it begins with a key frame.
    pub independent: bool,
    pub data: Bytes,
}

struct Segment(Vec<Part>);

impl Segment {
    fn duration(&self) -> Duration {
        self.0.iter().map(|part| part.duration).sum()
    }
}

/// Target durations.
#[derive(Clone, Copy)]
pub struct Lengths {
    pub frame: Duration,
    /// Longest part, unless one frame is longer.
    pub part: Duration,
    pub segment: Duration,
}

impl Lengths {
    /// Parts of about 250 ms, about four to a segment, in whole frames. `framerate` in 1/s.
    pub fn at(framerate: u32) -> Self {
        let frame = Duration::from_secs(1) / framerate;
        let frames = (framerate + 2) / 4;
        let frames = frames.max(1);
        let parts = framerate.div_ceil(frames);
        Self {
            frame,
            // Half a frame more, because timestamps jitter.
            part: frame * frames + frame / 2,
            segment: frame * frames * parts,
        }
    }
}

/// Whether a part or segment is available.
#[derive(Debug, PartialEq)]
pub enum Answer<T> {
    Ready(T),
    Wait,
    /// It has been removed, or will not be available soon; the text says why, and what to do.
    Refused(String),
}

/// The segments that are kept, and their playlist.
pub struct Window {
    /// Number of streams before this one, for the discontinuity sequence: their timestamps are unrelated.
    stream: u64,
    /// Number of the first segment of the stream; later streams have higher ones.
    first: u64,
    /// Number of the oldest segment that is kept.
    oldest: u64,
    /// The last one is incomplete.
    segments: VecDeque<Segment>,
    lengths: Lengths,
    init: Option<(Bytes, String)>,
    ended: bool,
}

impl Window {
    pub fn new(stream: u64, first: u64, lengths: Lengths) -> Self {
        Self {
            stream,
            first,
            oldest: first,
            segments: VecDeque::new(),
            lengths,
            init: None,
            ended: false,
        }
    }

    /// The number of its first segment, which identifies the stream.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Sets the initialization segment and the value of `CODECS` (RFC 6381).
    pub fn set_init(&mut self, data: Bytes, codec: String) {
        self.init = Some((data, codec));
    }

    /// The initialization segment of the stream with this number.
    pub fn init(&self, number: u64) -> Option<Bytes> {
        let (data, _) = self.init.as_ref()?;
        (number == self.first).then(|| data.clone())
    }

    /// The value of `CODECS`, once it is known.
    pub fn codec(&self) -> Option<&str> {
        self.init.as_ref().map(|(_, codec)| codec.as_str())
    }

    /// Ends the stream: later parts are ignored.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Adds a part, and removes the oldest segments.
    pub fn push(&mut self, part: Part) {
        if self.ended {
            return;
        }
        let long = match self.segments.back() {
            Some(open) => open.duration() >= self.lengths.segment.mul_f64(EARLIEST),
            None => true,
        };
        if long && part.independent {
            self.segments.push_back(Segment(Vec::new()));
        }
        // There is no segment before the first key frame.
        if let Some(open) = self.segments.back_mut() {
            open.0.push(part);
        }
        while self.segments.len() > KEPT + 1 {
            self.segments.pop_front();
            self.oldest += 1;
        }
    }

    /// Number of the incomplete segment.
    pub fn open(&self) -> u64 {
        self.oldest + (self.segments.len() as u64).saturating_sub(1)
    }

    /// Parts of a segment; empty if it is not kept.
    fn parts(&self, segment: u64) -> &[Part] {
        let index = segment.checked_sub(self.oldest);
        let segment = index.and_then(|index| self.segments.get(usize::try_from(index).ok()?));
        segment.map_or(&[], |segment| &segment.0)
    }

    /// `EXT-X-TARGETDURATION` in seconds. Rounded, so segments may be up to half a second longer.
    pub fn target(&self) -> u64 {
        (self.lengths.segment.as_secs_f64().round() as u64).max(1)
    }

    /// How many parts ahead a request may be: three, or three seconds.
    fn ahead(&self) -> u64 {
        (3.0 / self.lengths.part.as_secs_f64()).ceil().max(3.0) as u64
    }

    /// The next part, for `EXT-X-PRELOAD-HINT`. A guess, because the encoder may place a key frame elsewhere.
    fn hint(&self) -> (u64, usize) {
        let full = self.lengths.segment - self.lengths.frame / 2;
        match self.segments.back() {
            Some(open) if open.duration() < full => (self.open(), open.0.len()),
            Some(_) => (self.open() + 1, 0),
            None => (self.first, 0),
        }
    }

    /// Whether the playlist has the part that `_HLS_msn` and `_HLS_part` request.
    pub fn reload(&self, segment: u64, part: Option<u64>) -> Answer<()> {
        if self.ended {
            return Answer::Ready(());
        }
        let open = self.open();
        let limit = self.parts(open).len() as u64 + self.ahead();
        if segment > open + 1 || (segment >= open && part.is_some_and(|part| part > limit)) {
            return Answer::Refused(format!(
                "_HLS_msn={segment} with _HLS_part={} is too far ahead: segment {open} is being made and has {} parts; ask for what comes next",
                part.map_or("(none)".into(), |part| part.to_string()),
                self.parts(open).len(),
            ));
        }
        let there = match part {
            None => segment < open,
            // A part after the last one of its segment is the first one of the next.
            Some(part) => {
                segment < open
                    && (segment + 1 < open
                        || part < self.parts(segment).len() as u64
                        || !self.parts(open).is_empty())
                    || segment == open && part < self.parts(open).len() as u64
            }
        };
        match there {
            true => Answer::Ready(()),
            false => Answer::Wait,
        }
    }

    /// A part. For the next one, which the playlist hints at, the answer is to wait.
    pub fn part(&self, segment: u64, part: usize) -> Answer<Bytes> {
        if let Some(part) = self.parts(segment).get(part) {
            return Answer::Ready(part.data.clone());
        }
        let next = segment == self.open() && part == self.parts(segment).len();
        if !self.ended && (next || (segment, part) == self.hint()) {
            return Answer::Wait;
        }
        Answer::Refused(format!(
            "part {part} of segment {segment} is not here; load the playlist anew"
        ))
    }

    /// A complete segment.
    pub fn segment(&self, segment: u64) -> Answer<Bytes> {
        let parts = self.parts(segment);
        let growing = segment >= self.open() && !self.ended;
        if parts.is_empty() || growing {
            return Answer::Refused(format!(
                "segment {segment} is not here; load the playlist anew"
            ));
        }
        let parts: Vec<&[u8]> = parts.iter().map(|part| &part.data[..]).collect();
        Answer::Ready(parts.concat().into())
    }

    /// The media playlist; `None` before there are [`FIRST`] complete segments. `query` is appended to each URL.
    pub fn playlist(&self, query: &str) -> Option<String> {
        self.init.as_ref()?;
        let complete = self.segments.len().checked_sub(1)?;
        if complete < FIRST {
            return None;
        }
        let listed = complete.min(LISTED);
        let from = self.oldest + (complete - listed) as u64;
        let part = self.lengths.part.as_secs_f64();
        let mut text = format!(
            "#EXTM3U\n\
             #EXT-X-VERSION:6\n\
             #EXT-X-TARGETDURATION:{}\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={:.3}\n\
             #EXT-X-PART-INF:PART-TARGET={part:.3}\n\
             #EXT-X-MEDIA-SEQUENCE:{from}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{}\n\
             #EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MAP:URI=\"init-{}.mp4{query}\"\n",
            self.target(),
            3.0 * part,
            self.stream,
            self.first,
        );
        for number in from..=self.open() {
            self.write(&mut text, number, query);
        }
        let (segment, part) = self.hint();
        match self.ended {
            true => line(&mut text, format_args!("#EXT-X-ENDLIST")),
            false => line(
                &mut text,
                format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{segment}.{part}.m4s{query}\""),
            ),
        }
        Some(text)
    }

    /// Appends the lines of a segment.
    fn write(&self, text: &mut String, number: u64, query: &str) {
        let parts = self.parts(number);
        if let Some(time) = parts.first().and_then(|part| date(part.time)) {
            line(text, format_args!("#EXT-X-PROGRAM-DATE-TIME:{time}"));
        }
        let with_parts = number + WITH_PARTS as u64 >= self.open();
        for (index, part) in parts.iter().enumerate().filter(|_| with_parts) {
            let independent = if part.independent {
                ",INDEPENDENT=YES"
            } else {
                ""
            };
            let time = part.duration.as_secs_f64();
            line(
                text,
                format_args!(
                    "#EXT-X-PART:DURATION={time:.5},URI=\"{number}.{index}.m4s{query}\"{independent}"
                ),
            );
        }
        if number < self.open() || self.ended {
            let time: Duration = parts.iter().map(|part| part.duration).sum();
            line(text, format_args!("#EXTINF:{:.5},", time.as_secs_f64()));
            line(text, format_args!("{number}.m4s{query}"));
        }
    }
}

fn line(text: &mut String, line: std::fmt::Arguments) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// A time since 1970 in ISO 8601 with milliseconds.
fn date(time: Duration) -> Option<String> {
    let seconds = i64::try_from(time.as_secs()).ok()?;
    let date = glib::DateTime::from_unix_utc(seconds).ok()?;
    let date = date.format("%Y-%m-%dT%H:%M:%S").ok()?;
    Some(format!("{date}.{:03}Z", time.subsec_millis()))
}
