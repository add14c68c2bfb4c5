// SPDX-License-Identifier: MPL-2.0
//! What the table of fields is made of.

/// A message of the schema.
pub(super) struct Message {
    pub name: &'static str,
    /// Bytes of memory that one takes.
    pub size: usize,
    /// By number.
    pub fields: &'static [(u64, Field)],
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Field {
    /// By index in the table.
    Message(usize),
    Bytes,
    /// Numbers of so many bytes in memory, and as few as one each in the file.
    Varint(usize),
    /// Numbers that take as many bytes in memory as in the file.
    Fixed,
}
