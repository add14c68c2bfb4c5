// SPDX-License-Identifier: MPL-2.0
//! Animated GIF, from such GIFs as this program's encoder makes: a header, a control block, and the
//! picture with a palette of its own. The header's palette is empty, and left out. Both follow each other in the animation.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{Span, Writer, bytes};

/// Signature, size and flags.
const HEADER: usize = 13;
/// A flag: a palette follows.
const PALETTE: u8 = 0x80;
/// An application's block: the animation begins anew for ever.
const REPEAT: &[u8] = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0";
/// The last byte.
pub const TRAILER: u8 = 0x3b;

/// Whether a file begins as one.
pub fn is_gif(mut peek: impl FnMut(u64) -> Option<[u8; 8]>) -> bool {
    peek(0).is_some_and(|begin| begin.starts_with(b"GIF87a") || begin.starts_with(b"GIF89a"))
}

/// State of the file.
#[derive(Default)]
pub struct Gif {
    begun: bool,
}

impl Writer for Gif {
    /// Browsers show what is said to be shorter for 100 ms.
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
        // Behind the control block comes the picture's description.
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
