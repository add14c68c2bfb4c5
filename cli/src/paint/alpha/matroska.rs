// SPDX-License-Identifier: MPL-2.0
//! Copies a Matroska file in which the video's frames are joined with their alpha, and puts the alpha into
//! BlockAdditions.
//!
//! Everything else is copied as bytes. Blocks of the video become BlockGroups, so positions change: seek head and cues
//! are written anew. Memory is that of a frame, and a few bytes for each cluster.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::ebml::{
    Element, LONG_HEADER, Reader, Writer, children, element, header, long_size, unsigned, value,
};
use super::split;

// IDs of elements (RFC 9559).
const EBML: u32 = 0x1a45_dfa3;
const DOC_TYPE_VERSION: u32 = 0x4287;
const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114d_9b74;
const SEEK: u32 = 0x4dbb;
const SEEK_ID: u32 = 0x53ab;
const SEEK_POSITION: u32 = 0x53ac;
const VOID: u32 = 0xec;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const TRACK_NUMBER: u32 = 0xd7;
const TRACK_TYPE: u32 = 0x83;
const CODEC_ID: u32 = 0x86;
const VIDEO: u32 = 0xe0;
const ALPHA_MODE: u32 = 0x53c0;
const MAX_BLOCK_ADDITION_ID: u32 = 0x55ee;
const CHAPTERS: u32 = 0x1043_a770;
const TAGS: u32 = 0x1254_c367;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const PREV_SIZE: u32 = 0xab;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const REFERENCE_BLOCK: u32 = 0xfb;
const BLOCK_ADDITIONS: u32 = 0x75a1;
const BLOCK_MORE: u32 = 0xa6;
const BLOCK_ADD_ID: u32 = 0xee;
const BLOCK_ADDITIONAL: u32 = 0xa5;
const CUES: u32 = 0x1c53_bb6b;
const CUE_POINT: u32 = 0xbb;
const CUE_TRACK_POSITIONS: u32 = 0xb7;
const CUE_CLUSTER_POSITION: u32 = 0xf1;
const CUE_RELATIVE_POSITION: u32 = 0xf0;

/// Space for the seek head: five entries of at most 21 bytes, and the headers of itself and of the rest.
const SEEK_HEAD_SPACE: usize = 160;
/// Length of a header with an ID of one byte and a size of eight.
const VOID_HEADER: usize = 9;
/// Largest header, list of tracks or list of cues, bytes. A cue has about 40.
const LARGEST: u64 = 1 << 28;
/// Version of the document type that has AlphaMode.
const VERSION: u64 = 4;
const TYPE_VIDEO: u64 = 1;

/// Copies the muxer's file to `part`, which is overwritten.
///
/// # Errors
/// If the file is not one of the muxer's with joined frames, or one of the two cannot be read or written.
pub fn finish(muxed: &File, part: &Path) -> Result<()> {
    let cannot = || format!("{} cannot be written", part.display());
    let mut muxed = BufReader::new(muxed);
    muxed.rewind().with_context(cannot)?;
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(part);
    let file = BufWriter::new(file.with_context(cannot)?);
    copy(muxed, file).with_context(cannot)
}

/// Codec of the video.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Codec {
    Vp8,
    Vp9,
}

/// The video's track.
struct Track {
    number: u64,
    codec: Codec,
    /// Timestamp of its last block, in ticks.
    last: i64,
}

/// What is known of the copy so far. Positions are relative to the content of the segment.
#[derive(Default)]
struct Progress {
    /// Of the first element with each ID, in the copy.
    elements: BTreeMap<u32, u64>,
    /// Of clusters: in the copy by that in the source.
    clusters: BTreeMap<u64, u64>,
    track: Option<Track>,
}

fn copy(from: impl Read, to: impl Write + Seek) -> Result<()> {
    let (mut from, mut to) = (Reader::new(from), Writer::new(to));
    let (id, size) = from.header()?.context("it is empty")?;
    if id != EBML {
        bail!("it is not Matroska");
    }
    to.write(&element(EBML, &versioned(&from.content(size, LARGEST)?)?))?;
    let (id, size) = from.header()?.context("it has no segment")?;
    if id != SEGMENT {
        bail!("it has no segment");
    }
    let size_at = to.at + 4;
    to.long_header(SEGMENT, 0)?;
    let (source, target) = (from.at, to.at);
    let end = source.checked_add(size).context("an invalid size")?;
    to.write(&[0; SEEK_HEAD_SPACE])?;
    let mut progress = Progress::default();
    while from.at < end {
        let at = from.at - source;
        let (id, size) = from.header()?.context("it ends early")?;
        if [SEEK_HEAD, VOID].contains(&id) {
            from.skip(size)?;
            continue;
        }
        let copied = to.at - target;
        progress.elements.entry(id).or_insert(copied);
        match id {
            TRACKS => {
                let tracks = progress.tracks(&from.content(size, LARGEST)?)?;
                to.write(&element(id, &tracks))?;
            }
            CLUSTER => {
                progress.clusters.insert(at, copied);
                progress.cluster(&mut from, size, &mut to)?;
            }
            CUES => {
                let cues = progress.cues(&from.content(size, LARGEST)?)?;
                to.write(&element(id, &cues))?;
            }
            _ => {
                to.write(&header(id, size))?;
                from.copy(size, &mut to)?;
            }
        }
    }
    to.overwrite(size_at, &long_size(to.at - target))?;
    to.overwrite(target, &progress.seek_head())?;
    to.flush()
}

/// The EBML header's content with the version that has alpha.
fn versioned(content: &[u8]) -> Result<Vec<u8>> {
    let children = children(content)?.into_iter().map(|child| match child.id {
        DOC_TYPE_VERSION => element(child.id, &[value(child.content).max(VERSION) as u8]),
        _ => child.whole.to_vec(),
    });
    Ok(children.collect::<Vec<_>>().concat())
}

fn find<'a>(children: &[Element<'a>], id: u32) -> Option<&'a [u8]> {
    let child = children.iter().find(|child| child.id == id);
    child.map(|child| child.content)
}

impl Progress {
    /// Content of the list of tracks, in which the video's says that it has alpha.
    fn tracks(&mut self, content: &[u8]) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for entry in children(content)? {
            let fields = match entry.id {
                TRACK_ENTRY => children(entry.content)?,
                _ => Vec::new(),
            };
            let is_video = find(&fields, TRACK_TYPE).map(value) == Some(TYPE_VIDEO);
            if !is_video || self.track.is_some() {
                all.extend(entry.whole);
                continue;
            }
            let codec = match find(&fields, CODEC_ID).map(<[u8]>::trim_ascii) {
                Some([b'V', b'_', b'V', b'P', b'8', ..]) => Codec::Vp8,
                Some([b'V', b'_', b'V', b'P', b'9', ..]) => Codec::Vp9,
                _ => bail!("alpha of another codec"),
            };
            self.track = Some(Track {
                number: value(find(&fields, TRACK_NUMBER).context("a track without number")?),
                codec,
                last: 0,
            });
            let mut changed = Vec::new();
            for field in fields {
                match field.id {
                    VIDEO => {
                        let more = element(ALPHA_MODE, &[1]);
                        changed.extend(element(VIDEO, &[field.content, &more].concat()));
                    }
                    _ => changed.extend(field.whole),
                }
            }
            changed.extend(element(MAX_BLOCK_ADDITION_ID, &[1]));
            all.extend(element(TRACK_ENTRY, &changed));
        }
        Ok(all)
    }

    /// Copies a cluster after its header.
    fn cluster<R: Read, W: Write + Seek>(
        &mut self,
        from: &mut Reader<R>,
        size: u64,
        to: &mut Writer<W>,
    ) -> Result<()> {
        let end = from.at.checked_add(size).context("an invalid size")?;
        let begin = to.at;
        to.long_header(CLUSTER, 0)?;
        let mut time = 0;
        while from.at < end {
            let (id, size) = from.header()?.context("it ends early")?;
            let content = from.content(size, end.saturating_sub(from.at))?;
            match id {
                PREV_SIZE => continue,
                TIMESTAMP => time = i64::try_from(value(&content)).context("an invalid time")?,
                SIMPLE_BLOCK => {
                    if let Some(group) = self.block(time, &content, &[])? {
                        to.write(&group)?;
                        continue;
                    }
                }
                BLOCK_GROUP => {
                    let mut fields = children(&content)?;
                    let block = find(&fields, BLOCK).context("a group without a block")?;
                    fields.retain(|field| ![BLOCK, REFERENCE_BLOCK].contains(&field.id));
                    if let Some(group) = self.block(time, block, &fields)? {
                        to.write(&group)?;
                        continue;
                    }
                }
                _ => (),
            }
            to.write(&header(id, size))?;
            to.write(&content)?;
        }
        to.overwrite(begin + 4, &long_size(to.at - begin - LONG_HEADER))
    }

    /// A group with the alpha of a block with a joined frame. `None`: the block is of another track.
    fn block(
        &mut self,
        cluster: i64,
        block: &[u8],
        fields: &[Element<'_>],
    ) -> Result<Option<Vec<u8>>> {
        // A track number below 127 has one byte, and the muxer has no more tracks.
        let (&[number, high, low, flags], joined) =
            block.split_first_chunk::<4>().context("a short block")?;
        let track = self.track.as_mut().context("a block before the tracks")?;
        if u64::from(number & 0x7f) != track.number {
            return Ok(None);
        }
        let (colours, alpha) = split(joined).context("a frame without alpha")?;
        let time = cluster + i64::from(i16::from_be_bytes([high, low]));
        // In a simple block: key frame and discardable. A block in a group has neither.
        let head = [number, high, low, flags & !0x81];
        let mut group = element(BLOCK, &[&head, colours].concat());
        for field in fields {
            group.extend(field.whole);
        }
        // Players may begin where both decoders can.
        if !(track.codec.is_key(colours) && track.codec.is_key(alpha)) {
            group.extend(unsigned(REFERENCE_BLOCK, (track.last - time) as u64));
        }
        let more = [
            element(BLOCK_ADD_ID, &[1]),
            element(BLOCK_ADDITIONAL, alpha),
        ]
        .concat();
        group.extend(element(BLOCK_ADDITIONS, &element(BLOCK_MORE, &more)));
        track.last = time;
        Ok(Some(element(BLOCK_GROUP, &group)))
    }

    /// Content of the cues, with the positions of the copied clusters.
    fn cues(&self, content: &[u8]) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for point in children(content)? {
            if point.id != CUE_POINT {
                continue;
            }
            let mut fields = Vec::new();
            for field in children(point.content)? {
                match field.id {
                    CUE_TRACK_POSITIONS => {
                        fields.extend(element(field.id, &self.positions(field.content)?));
                    }
                    _ => fields.extend(field.whole),
                }
            }
            all.extend(element(CUE_POINT, &fields));
        }
        Ok(all)
    }

    fn positions(&self, content: &[u8]) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for field in children(content)? {
            match field.id {
                CUE_CLUSTER_POSITION => {
                    let copied = self.clusters.get(&value(field.content));
                    all.extend(unsigned(field.id, *copied.context("a cue to no cluster")?));
                }
                CUE_RELATIVE_POSITION => (),
                _ => all.extend(field.whole),
            }
        }
        Ok(all)
    }

    /// The seek head, and the rest of the space for it.
    fn seek_head(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        for id in [INFO, TRACKS, CHAPTERS, CUES, TAGS] {
            if let Some(at) = self.elements.get(&id) {
                let entry = [
                    element(SEEK_ID, &id.to_be_bytes()),
                    unsigned(SEEK_POSITION, *at),
                ];
                entries.extend(element(SEEK, &entry.concat()));
            }
        }
        let mut all = element(SEEK_HEAD, &entries);
        let rest = SEEK_HEAD_SPACE.saturating_sub(all.len() + VOID_HEADER);
        all.push(VOID as u8);
        all.extend(long_size(rest as u64));
        all.resize(SEEK_HEAD_SPACE, 0);
        all
    }
}

impl Codec {
    /// Whether a frame is a key frame, by its own header.
    fn is_key(self, frame: &[u8]) -> bool {
        let Some(first) = frame.first() else {
            return false;
        };
        match self {
            Self::Vp8 => first & 1 == 0,
            Self::Vp9 => {
                // Profile 3 has a reserved bit before these two: an existing frame is shown, and the frame's type.
                let shift = u32::from(first & 0x30 != 0x30);
                (first >> 1 >> shift) & 0b11 == 0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn joined(colours: &[u8], alpha: &[u8]) -> Vec<u8> {
        [colours, alpha, &(alpha.len() as u32).to_be_bytes()].concat()
    }

    /// A film with two frames in two clusters, one of them in a group, and sound.
    fn film() -> Vec<u8> {
        let video = element(VIDEO, &element(0xb0, &[64]));
        let track = |number: u8, kind: u8, codec: &[u8], more: &[u8]| {
            let fields = [
                element(TRACK_NUMBER, &[number]),
                element(TRACK_TYPE, &[kind]),
                element(CODEC_ID, codec),
                more.to_vec(),
            ];
            element(TRACK_ENTRY, &fields.concat())
        };
        let tracks = [track(1, 2, b"A_OPUS", &[]), track(2, 1, b"V_VP9\0", &video)];
        let key = [&[0x82, 0, 0, 0x80][..], &joined(&[0x82, 1], &[0x82, 2, 3])].concat();
        let sound = [0x81, 0, 0, 0x80, 9];
        let inter = [&[0x82, 0, 3, 0][..], &joined(&[0x86, 4], &[0x86])].concat();
        let clusters = [
            [
                element(TIMESTAMP, &[0]),
                element(SIMPLE_BLOCK, &key),
                element(SIMPLE_BLOCK, &sound),
            ]
            .concat(),
            [
                element(TIMESTAMP, &[10]),
                element(PREV_SIZE, &[1]),
                element(
                    BLOCK_GROUP,
                    &[element(0x9b, &[40]), element(BLOCK, &inter)].concat(),
                ),
            ]
            .concat(),
        ];
        let mut segment = element(SEEK_HEAD, &[]);
        segment.extend(element(INFO, &[]));
        segment.extend(element(TRACKS, &tracks.concat()));
        let mut cues = Vec::new();
        for cluster in clusters {
            let at = element(CUE_CLUSTER_POSITION, &[segment.len() as u8]);
            cues.extend(element(CUE_POINT, &element(CUE_TRACK_POSITIONS, &at)));
            segment.extend(element(CLUSTER, &cluster));
        }
        segment.extend(element(CUES, &cues));
        let version = element(DOC_TYPE_VERSION, &[2]);
        [element(EBML, &version), element(SEGMENT, &segment)].concat()
    }

    fn copied(film: &[u8]) -> Result<Vec<u8>> {
        let mut to = Cursor::new(Vec::new());
        copy(film, &mut to)?;
        Ok(to.into_inner())
    }

    #[test]
    fn alpha_moves_into_additions_and_positions_are_right() {
        let film = copied(&film()).expect("copied");
        let top = children(&film).expect("elements");
        let segment = children(top[1].content).expect("a segment");
        let at = |whole: &[u8]| whole.as_ptr() as usize - top[1].content.as_ptr() as usize;
        let ids: Vec<_> = segment.iter().map(|element| element.id).collect();
        assert_eq!(ids, [SEEK_HEAD, VOID, INFO, TRACKS, CLUSTER, CLUSTER, CUES]);
        for seek in children(segment[0].content).expect("entries") {
            let entry = children(seek.content).expect("an entry");
            let found = segment
                .iter()
                .find(|element| at(element.whole) as u64 == value(entry[1].content));
            assert_eq!(
                found.map(|found| u64::from(found.id)),
                Some(value(entry[0].content))
            );
        }
        let tracks = children(segment[3].content).expect("tracks");
        let video = children(tracks[1].content).expect("a track");
        assert_eq!(find(&video, MAX_BLOCK_ADDITION_ID), Some(&[1][..]));
        let shape = children(find(&video, VIDEO).expect("video")).expect("fields");
        assert_eq!(find(&shape, ALPHA_MODE), Some(&[1][..]));
        let mut frames = Vec::new();
        for (cluster, cue) in segment[4..6]
            .iter()
            .zip(children(segment[6].content).expect("cues"))
        {
            let positions = children(cue.content).expect("positions")[0].content;
            let position = find(
                &children(positions).expect("a position"),
                CUE_CLUSTER_POSITION,
            );
            assert_eq!(position.map(value), Some(at(cluster.whole) as u64));
            for group in children(cluster.content).expect("blocks") {
                if group.id != BLOCK_GROUP {
                    assert!([TIMESTAMP, SIMPLE_BLOCK].contains(&group.id));
                    continue;
                }
                let fields = children(group.content).expect("fields");
                let more = children(find(&fields, BLOCK_ADDITIONS).expect("additions"));
                let more = children(more.expect("more")[0].content).expect("an addition");
                frames.push((
                    find(&fields, BLOCK).expect("a block").to_vec(),
                    find(&more, BLOCK_ADDITIONAL).expect("alpha").to_vec(),
                    find(&fields, REFERENCE_BLOCK).map(|time| value(time) as i64),
                ));
            }
        }
        let first = (vec![0x82, 0, 0, 0, 0x82, 1], vec![0x82, 2, 3], None);
        let second = (vec![0x82, 0, 3, 0, 0x86, 4], vec![0x86], Some(-13));
        assert_eq!(frames, [first, second]);
    }

    #[test]
    fn a_film_that_ends_early_is_an_error() {
        let film = film();
        for length in 0..film.len() {
            assert!(copied(&film[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn key_frames_are_known_by_their_headers() {
        for (codec, key, other) in [
            (Codec::Vp9, 0x82, 0x86),
            (Codec::Vp9, 0xb0, 0xb2),
            (Codec::Vp9, 0x82, 0x8a),
            (Codec::Vp8, 0x50, 0x51),
        ] {
            assert!(codec.is_key(&[key]) && !codec.is_key(&[other]), "{codec:?}");
        }
    }
}
