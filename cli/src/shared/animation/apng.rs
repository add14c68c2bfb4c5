// SPDX-License-Identifier: MPL-2.0
//! APNG (Portable Network Graphics, third edition): the data of the first PNG stay as they are, those of the others
//! get a number; a control chunk goes before each picture.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Span, Writer, bytes};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// So many chunks are looked at to see whether a file is animated.
const MOST_CHUNKS: usize = 100;
/// Where the chunk is that counts the frames: behind the signature and the header's 25 bytes.
const COUNT_AT: u64 = 8 + 25;

/// State of the file.
#[derive(Default)]
pub struct Apng {
    frames: u32,
    /// Of the next chunk that is numbered.
    number: u32,
}

impl Writer for Apng {
    /// Browsers show what is said to be shorter for 100 ms.
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
    /// How many frames there are, and that they are repeated for ever.
    fn count(&self) -> [u8; 8] {
        let mut count = [0; 8];
        count[..4].copy_from_slice(&self.frames.to_be_bytes());
        count
    }

    fn next(&mut self) -> [u8; 4] {
        let number = self.number;
        self.number += 1;
        number.to_be_bytes()
    }
}

/// Whether the chunk that counts frames comes before the picture, as far as can be seen.
pub fn is_animated(mut peek: impl FnMut(u64) -> Option<[u8; 8]>) -> bool {
    if peek(0).is_none_or(|begin| begin != SIGNATURE) {
        return false;
    }
    let mut at = SIGNATURE.len() as u64;
    for _ in 0..MOST_CHUNKS {
        match peek(at) {
            Some([.., b'a', b'c', b'T', b'L']) => return true,
            Some([.., b'I', b'D', b'A', b'T']) | None => return false,
            // Length, name and sum go with the data.
            Some([a, b, c, d, ..]) => at += 12 + u64::from(u32::from_be_bytes([a, b, c, d])),
        }
    }
    false
}

/// A fraction of two numbers of 16 bits: in milliseconds, or coarser if that is too long.
fn delay(shown: Span) -> [u8; 4] {
    let fits = |per_second: &u16| shown.units(u32::from(*per_second)) <= u32::from(u16::MAX);
    let per_second = [1000, 100, 10, 1].into_iter().find(fits).unwrap_or(1);
    let units = u16::try_from(shown.units(u32::from(per_second))).unwrap_or(u16::MAX);
    let mut delay = [0; 4];
    delay[..2].copy_from_slice(&units.to_be_bytes());
    delay[2..].copy_from_slice(&per_second.to_be_bytes());
    delay
}

/// All chunks of a file, up to its end.
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
        // Behind the sum.
        rest = &more[length + 4..];
    }
}

fn write(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    let mut sum = crc32fast::Hasher::new();
    sum.update(name);
    sum.update(data);
    // No picture has more than 2³¹ bytes in a chunk: its encoder could not write it.
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(name);
    out.extend(data);
    out.extend(sum.finalize().to_be_bytes());
}
