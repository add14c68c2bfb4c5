// SPDX-License-Identifier: MPL-2.0
//! EBML (RFC 8794), as much as is needed to copy a Matroska file with changes: headers of elements, lists of children
//! in memory, and a reader and a writer that know their position.

use std::io::{Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result, bail};

/// Length of the header of an element with an ID of four bytes and a size of eight.
pub const LONG_HEADER: u64 = 12;

/// An element in memory.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    pub id: u32,
    pub content: &'a [u8],
    /// With its header.
    pub whole: &'a [u8],
}

/// Reads elements from a file.
pub struct Reader<R> {
    inner: R,
    /// Position in the file.
    pub at: u64,
}

impl<R: Read> Reader<R> {
    /// Reads from the beginning of a file.
    pub fn new(inner: R) -> Self {
        Self { inner, at: 0 }
    }

    /// Header of the next element: ID and size of the content. `None`: the end of the file.
    ///
    /// # Errors
    /// If it cannot be read, is not a header, or the size is unknown.
    pub fn header(&mut self) -> Result<Option<(u32, u64)>> {
        let mut first = [0];
        if self.inner.read(&mut first)? == 0 {
            return Ok(None);
        }
        self.at += 1;
        let id = self.number(first[0], 4)?;
        let id = u32::try_from(id).context("an ID of more than four bytes")?;
        let first = self.bytes(1)?;
        let size = self.number(first[0], 8)?;
        let bits = 7 * first[0].leading_zeros() as u64 + 7;
        let size = size & ((1 << bits) - 1);
        if size == (1 << bits) - 1 {
            bail!("an element of unknown size");
        }
        Ok(Some((id, size)))
    }

    /// The rest of a number of variable length, with its length marker.
    fn number(&mut self, first: u8, most: usize) -> Result<u64> {
        let more = first.leading_zeros() as usize;
        if more >= most {
            bail!("an invalid length");
        }
        let rest = self.bytes(more)?;
        Ok(rest
            .iter()
            .fold(u64::from(first), |n, byte| (n << 8) | u64::from(*byte)))
    }

    /// The next bytes. Memory is taken as they are read.
    ///
    /// # Errors
    /// If the file ends before.
    pub fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.inner
            .by_ref()
            .take(count as u64)
            .read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        if bytes.len() < count {
            bail!("it ends early");
        }
        Ok(bytes)
    }

    /// Content of an element of at most `most` bytes.
    ///
    /// # Errors
    /// If it is longer, or the file ends before.
    pub fn content(&mut self, size: u64, most: u64) -> Result<Vec<u8>> {
        if size > most {
            bail!("an element of {size} bytes");
        }
        self.bytes(usize::try_from(size)?)
    }

    /// Reads over the next bytes.
    ///
    /// # Errors
    /// If the file ends before.
    pub fn skip(&mut self, count: u64) -> Result<()> {
        self.copy(count, &mut Writer::new(std::io::sink()))
    }

    /// Copies the next bytes.
    ///
    /// # Errors
    /// If the file ends before, or they cannot be written.
    pub fn copy<W: Write>(&mut self, count: u64, to: &mut Writer<W>) -> Result<()> {
        let copied = std::io::copy(&mut self.inner.by_ref().take(count), &mut to.inner)?;
        self.at += copied;
        to.at += copied;
        if copied < count {
            bail!("it ends early");
        }
        Ok(())
    }
}

/// Writes elements to a file.
pub struct Writer<W> {
    inner: W,
    /// Position in the file.
    pub at: u64,
}

impl<W: Write> Writer<W> {
    /// Writes from the beginning of a file.
    pub fn new(inner: W) -> Self {
        Self { inner, at: 0 }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.inner.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Appends a header with a size of eight bytes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn long_header(&mut self, id: u32, size: u64) -> Result<()> {
        self.write(&id.to_be_bytes())?;
        self.write(&long_size(size))
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.inner.flush()?)
    }
}

impl<W: Write + Seek> Writer<W> {
    /// Overwrites bytes and returns to the end.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn overwrite(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        self.inner.seek(SeekFrom::Start(at))?;
        self.inner.write_all(bytes)?;
        self.inner.seek(SeekFrom::Start(self.at))?;
        Ok(())
    }
}

/// A size in eight bytes.
pub fn long_size(size: u64) -> [u8; 8] {
    (size | (1 << 56)).to_be_bytes()
}

/// An ID, whose first byte says its length.
fn id_bytes(id: u32) -> Vec<u8> {
    let bytes = id.to_be_bytes();
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// An element with this content.
pub fn element(id: u32, content: &[u8]) -> Vec<u8> {
    let mut all = header(id, content.len() as u64);
    all.extend(content);
    all
}

/// Header of an element, with the shortest size.
pub fn header(id: u32, size: u64) -> Vec<u8> {
    // All bits set would mean an unknown size.
    let bytes = (1..8_u32).find(|bytes| size < (1 << (7 * bytes)) - 1);
    let bytes = bytes.unwrap_or(8);
    let size = (size | (1 << (7 * bytes))).to_be_bytes();
    let mut all = id_bytes(id);
    all.extend(&size[8 - bytes as usize..]);
    all
}

/// An unsigned integer in eight bytes.
pub fn unsigned(id: u32, value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

/// Value of an unsigned integer.
pub fn value(content: &[u8]) -> u64 {
    content
        .iter()
        .fold(0, |n, byte| (n << 8) | u64::from(*byte))
}

/// The children in the content of an element.
///
/// # Errors
/// If it has other bytes than children.
pub fn children(mut content: &[u8]) -> Result<Vec<Element<'_>>> {
    let mut all = Vec::new();
    while !content.is_empty() {
        let mut reader = Reader::new(content);
        let (id, size) = reader.header()?.context("it ends early")?;
        let start = usize::try_from(reader.at)?;
        let end = start.checked_add(usize::try_from(size)?);
        let end = end.filter(|end| *end <= content.len());
        let (whole, rest) = content.split_at(end.context("it ends early")?);
        all.push(Element {
            id,
            content: &whole[start..],
            whole,
        });
        content = rest;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_any_size_are_read_again() {
        for size in [0, 1, 126, 127, 128, 16382, 16383, 2_097_150, 2_097_151] {
            let whole = element(0x1f43_b675, &vec![7; size]);
            let mut reader = Reader::new(&whole[..]);
            let header = reader.header().expect("a header");
            assert_eq!(header, Some((0x1f43_b675, size as u64)));
            assert_eq!(reader.bytes(size).expect("the content").len(), size);
            assert_eq!(reader.header().expect("the end"), None);
        }
        assert_eq!(header(0xa0, 0x123), [0xa0, 0x41, 0x23]);
        assert_eq!(long_size(0x123), [1, 0, 0, 0, 0, 0, 1, 0x23]);
    }

    #[test]
    fn broken_elements_are_errors() {
        for broken in [
            &[0xa0][..],
            &[0xa0, 0x82, 0],
            &[0xa0, 0xff],
            &[0x00, 0x81, 0],
            &[0x08, 0x81, 0, 0, 0, 0, 0],
            &[0xa0, 0x00],
        ] {
            assert!(children(broken).is_err(), "{broken:?}");
        }
    }
}
