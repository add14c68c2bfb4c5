// SPDX-License-Identifier: MPL-2.0
//! Writes APNG (Portable Network Graphics, third edition) from PNG files: a control chunk (`fcTL`) goes before each
//! frame; the data of the first one stay `IDAT`, those of the others become numbered `fdAT` chunks.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Span, Writer, bytes};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Most chunks that are examined to detect an animation.
const MOST_CHUNKS: usize = 100;
/// Offset of the `acTL` chunk: after the signature and the 25 bytes of `IHDR`.
const COUNT_AT: u64 = 8 + 25;

/// State of the file that is being written.
#[derive(Default)]
pub struct Apng {
    frames: u32,
    /// Sequence number of the next `fcTL` or `fdAT` chunk.
    number: u32,
}

impl Writer for Apng {
    /// Browsers show frames with shorter delays for 100 ms.
    fn shortest(&self) -> Duration {
        Duration::from_millis(11)
    }

    fn picture(&mut self, file: &[u8], shown: Span) -> Result<Vec<u8>> {
        let chunks = chunks(file)?;
        let Some((b"IHDR", header)) = chunks.first() else {
            bail!("a PNG without a header");
        };
        let size = bytes(header, 0, 8)?;
        let mut out = Vec::new();
        let first = self.frames == 0;
        if first {
            out.extend(SIGNATURE);
            write(&mut out, b"IHDR", header);
            write(&mut out, b"acTL", &self.count());
            let others = chunks.iter().take_while(|(name, _)| **name != *b"IDAT");
            for (name, data) in others.skip(1) {
                write(&mut out, name, data);
            }
        }
        let control = [&self.next(), size, &[0; 8], &delay(shown), &[0, 0]].concat();
        write(&mut out, b"fcTL", &control);
        let data = chunks.iter().filter(|(name, _)| **name == *b"IDAT");
        for (_, data) in data {
            if first {
                write(&mut out, b"IDAT", data);
            } else {
                let data = [&self.next(), *data].concat();
                write(&mut out, b"fdAT", &data);
            }
        }
        self.frames += 1;
        Ok(out)
    }

    fn end(&mut self) -> (Vec<u8>, Option<(u64, Vec<u8>)>) {
        let (mut tail, mut count) = (Vec::new(), Vec::new());
        write(&mut tail, b"IEND", &[]);
        write(&mut count, b"acTL", &self.count());
        (tail, Some((COUNT_AT, count)))
    }
}

impl Apng {
    /// Content of `acTL`: number of frames, and 0 plays, which means without end.
    fn count(&self) -> [u8; 8] {
        let mut count = [0; 8];
        count[..4].copy_from_slice(&self.frames.to_be_bytes());
        count
    }

    /// The next sequence number.
    fn next(&mut self) -> [u8; 4] {
        let number = self.number;
        self.number += 1;
        number.to_be_bytes()
    }
}

/// Whether there is an `acTL` chunk before the first `IDAT`. `peek` returns eight bytes at an offset.
pub fn is_animated(mut peek: impl FnMut(u64) -> Option<[u8; 8]>) -> bool {
    if peek(0).is_none_or(|begin| begin != SIGNATURE) {
        return false;
    }
    let mut at = SIGNATURE.len() as u64;
    for _ in 0..MOST_CHUNKS {
        match peek(at) {
            Some([.., b'a', b'c', b'T', b'L']) => return true,
            Some([.., b'I', b'D', b'A', b'T']) | None => return false,
            // 12 bytes for length, type and CRC.
            Some([a, b, c, d, ..]) => at += 12 + u64::from(u32::from_be_bytes([a, b, c, d])),
        }
    }
    false
}

/// A frame's delay as numerator and denominator of 16 bits each: in milliseconds, or in coarser units if it does not
/// fit.
fn delay(shown: Span) -> [u8; 4] {
    let fits = |per_second: &u16| shown.units(u32::from(*per_second)) <= u32::from(u16::MAX);
    let per_second = [1000, 100, 10, 1].into_iter().find(fits).unwrap_or(1);
    let units = u16::try_from(shown.units(u32::from(per_second))).unwrap_or(u16::MAX);
    let mut delay = [0; 4];
    delay[..2].copy_from_slice(&units.to_be_bytes());
    delay[2..].copy_from_slice(&per_second.to_be_bytes());
    delay
}

/// All chunks before `IEND`, with their types.
fn chunks(file: &[u8]) -> Result<Vec<(&[u8; 4], &[u8])>> {
    let mut rest = file
        .strip_prefix(SIGNATURE)
        .context("a picture that is no PNG")?;
    let mut chunks = Vec::new();
    loop {
        let (length, more) = rest.split_first_chunk().context("a PNG ends early")?;
        let (name, more) = more.split_first_chunk().context("a PNG ends early")?;
        let length = usize::try_from(u32::from_be_bytes(*length))?;
        let data = bytes(more, 0, length)?;
        bytes(more, length, 4)?;
        if name == b"IEND" {
            return Ok(chunks);
        }
        chunks.push((name, data));
        // After the CRC.
        rest = &more[length + 4..];
    }
}

/// Appends a chunk with length and CRC.
fn write(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    let mut sum = crc32fast::Hasher::new();
    sum.update(name);
    sum.update(data);
    // The cast cannot truncate: PNG limits chunks to 2³¹ − 1 bytes, and these come from an encoder.
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(name);
    out.extend(data);
    out.extend(sum.finalize().to_be_bytes());
}
