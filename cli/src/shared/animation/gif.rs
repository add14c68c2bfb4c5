// SPDX-License-Identifier: MPL-2.0
//! Writes animated GIF from the files of this program's encoder: a header with an empty global palette, a graphic
//! control extension, and a picture with a local palette. The last two are copied to the animation; the delay is set in
//! the first of them.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{Span, Writer, bytes};

/// Signature, size and flags.
const HEADER: usize = 13;
/// Flag: a palette follows.
const PALETTE: u8 = 0x80;
/// Application extension: the animation repeats without end.
const REPEAT: &[u8] = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0";
/// The trailer, which is the last byte.
pub const TRAILER: u8 = 0x3b;

/// Whether the file has a GIF signature. `peek` returns eight bytes at an offset.
pub fn is_gif(mut peek: impl FnMut(u64) -> Option<[u8; 8]>) -> bool {
    peek(0).is_some_and(|begin| begin.starts_with(b"GIF87a") || begin.starts_with(b"GIF89a"))
}

/// State of the file that is being written.
#[derive(Default)]
pub struct Gif {
    begun: bool,
}

impl Writer for Gif {
    /// Browsers show frames with shorter delays for 100 ms.
    fn shortest(&self) -> Duration {
        Duration::from_millis(20)
    }

    fn picture(&mut self, file: &[u8], shown: Span) -> Result<Vec<u8>> {
        let header = bytes(file, 0, HEADER)?;
        let palette = if header[10] & PALETTE == 0 {
            0
        } else {
            3 << ((header[10] & 7) + 1)
        };
        let control = bytes(file, HEADER + palette, 18)?;
        // The image descriptor follows the control extension.
        let own = control[8] == 0x2c && control[17] & PALETTE != 0;
        let Some((&TRAILER, file)) = file.split_last() else {
            bail!("a GIF without an end");
        };
        if !header.starts_with(b"GIF89a") || !own || !control.starts_with(&[0x21, 0xf9, 4]) {
            bail!("a GIF that this program's encoder did not make");
        }
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            out.extend(header);
            out[10] &= !PALETTE;
            out.extend(REPEAT);
        }
        let control = out.len();
        out.extend(&file[HEADER + palette..]);
        let delay = u16::try_from(shown.units(100)).unwrap_or(u16::MAX);
        out[control + 4..control + 6].copy_from_slice(&delay.to_le_bytes());
        Ok(out)
    }

    fn end(&mut self) -> (Vec<u8>, Option<(u64, Vec<u8>)>) {
        (vec![TRAILER], None)
    }
}
