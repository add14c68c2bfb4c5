// SPDX-License-Identifier: MPL-2.0
//! Types of the generated table of fields (`fields`).

/// A message of the schema.
pub(super) struct Message {
    pub name: &'static str,
    /// Size of the decoded message, bytes.
    pub size: usize,
    /// Numbers and kinds of its fields.
    pub fields: &'static [(u64, Field)],
}

/// Kind of a field.
#[derive(Clone, Copy)]
pub(super) enum Field {
    /// A message, by its index in the table.
    Message(usize),
    /// Bytes or text.
    Bytes,
    /// Varints, of this number of bytes each in memory and at least one in the file.
    Varint(usize),
    /// Numbers that take as many bytes in memory as in the file.
    Fixed,
}
