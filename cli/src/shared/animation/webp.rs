// SPDX-License-Identifier: MPL-2.0
//! Writes animated WebP (RFC 9649) from WebP files: their image and alpha chunks go into an `ANMF` chunk with size and
//! duration.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Span, Writer, bytes};

/// Flags in `VP8X`: the file is animated; it has alpha.
const ANIMATED: u8 = 0x02;
const ALPHA: u8 = 0x10;
/// Flag in `ANMF`: do not blend with the frame before.
const REPLACE: u8 = 0x02;

/// State of the file that is being written.
#[derive(Default)]
pub struct WebP {
    /// Length so far without the first eight bytes, as in the RIFF header.
    length: u32,
    size: (u32, u32),
    alpha: bool,
}

impl Writer for WebP {
    /// Browsers show frames with shorter delays for 100 ms.
    fn shortest(&self) -> Duration {
        Duration::from_millis(11)
    }

    fn picture(&mut self, file: &[u8], shown: Span) -> Result<Vec<u8>> {
        let parts = parts(file)?;
        let mut out = Vec::new();
        if self.length == 0 {
            self.size = parts.size;
            out = self.head();
            let mut repeat = Vec::new();
            // Transparent background, repeated without end.
            write(&mut repeat, b"ANIM", &[0; 6])?;
            out.extend(repeat);
        }
        self.alpha |= parts.alpha;
        let (width, height) = parts.size;
        let mut frame = [
            [0; 3],
            [0; 3],
            u24(width - 1),
            u24(height - 1),
            u24(shown.units(1000).min(0xff_ffff)),
        ]
        .concat();
        frame.push(REPLACE);
        for (name, data) in parts.chunks {
            write(&mut frame, name, data)?;
        }
        write(&mut out, b"ANMF", &frame)?;
        let before = if self.length == 0 { 8 } else { 0 };
        let more = u32::try_from(out.len() - before).ok();
        let length = more.and_then(|more| self.length.checked_add(more));
        // The RIFF header has 32 bits for the length.
        self.length = length.context("a WebP holds 4 GiB")?;
        Ok(out)
    }

    fn end(&mut self) -> (Vec<u8>, Option<(u64, Vec<u8>)>) {
        (Vec::new(), Some((0, self.head())))
    }
}

impl WebP {
    /// The RIFF header and `VP8X`, which are overwritten at the end.
    fn head(&self) -> Vec<u8> {
        let flags = ANIMATED | if self.alpha { ALPHA } else { 0 };
        let (width, height) = self.size;
        let mut head = b"RIFF".to_vec();
        head.extend(self.length.to_le_bytes());
        head.extend(b"WEBPVP8X\x0a\0\0\0");
        head.extend([flags, 0, 0, 0]);
        head.extend([u24(width - 1), u24(height - 1)].concat());
        head
    }
}

/// Whether `VP8X` has the animation flag. `peek` returns eight bytes at an offset.
pub fn is_animated(mut peek: impl FnMut(u64) -> Option<[u8; 8]>) -> bool {
    peek(0).is_some_and(|begin| begin.starts_with(b"RIFF"))
        && peek(8).is_some_and(|name| name == *b"WEBPVP8X")
        && peek(16).is_some_and(|begin| begin[4] & ANIMATED != 0)
}

/// The parts of a WebP file that an animation needs.
struct Parts<'a> {
    size: (u32, u32),
    alpha: bool,
    chunks: Vec<(&'a [u8; 4], &'a [u8])>,
}

fn parts(file: &[u8]) -> Result<Parts<'_>> {
    let riff = bytes(file, 0, 12)?;
    if !riff.starts_with(b"RIFF") || !riff.ends_with(b"WEBP") {
        bail!("a picture that is no WebP");
    }
    let length = u32::from_le_bytes([riff[4], riff[5], riff[6], riff[7]]);
    let mut rest = bytes(file, 12, usize::try_from(length)?.saturating_sub(4))?;
    let (mut size, mut alpha, mut chunks) = (None, false, Vec::new());
    while let Some((name, more)) = rest.split_first_chunk::<4>() {
        let (length, more) = more.split_first_chunk().context("a WebP ends early")?;
        let length = usize::try_from(u32::from_le_bytes(*length))?;
        let data = bytes(more, 0, length)?;
        match name {
            b"VP8 " => {
                // Width and height of 14 bits, after frame tag and start code.
                let sides = bytes(data, 6, 4)?;
                let side = |at| u32::from(u16::from_le_bytes([sides[at], sides[at + 1]]) & 0x3fff);
                size = Some((side(0), side(2)));
            }
            b"VP8L" => {
                // Width − 1 and height − 1 of 14 bits each, then the alpha flag.
                let bits = bytes(data, 1, 4)?;
                let bits = u32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]);
                size = Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1));
                alpha |= (bits >> 28) & 1 == 1;
            }
            b"ALPH" => alpha = true,
            _ => (),
        }
        if [b"VP8 ", b"VP8L", b"ALPH"].contains(&name) {
            chunks.push((name, data));
        }
        // Chunks are padded to an even length.
        rest = more.get(length + length % 2..).unwrap_or_default();
    }
    let size = size.filter(|(width, height)| *width > 0 && *height > 0);
    Ok(Parts {
        size: size.context("a WebP without a picture")?,
        alpha,
        chunks,
    })
}

/// The lower 24 bits, little endian.
fn u24(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}

/// Appends a chunk with its length, padded to an even length.
fn write(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) -> Result<()> {
    out.extend(name);
    out.extend(u32::try_from(data.len())?.to_le_bytes());
    out.extend(data);
    out.extend(&[0][..data.len() % 2]);
    Ok(())
}
