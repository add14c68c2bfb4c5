// SPDX-License-Identifier: MPL-2.0
//! Checks a model's bytes before they are decoded: the depth of nesting, and the memory that the decoded messages will
//! take, by the schema's table of fields.

use super::error::OnnxError;
use super::fields::MESSAGES;
use super::limits::{DEPTH, MEMORY};
use super::table::{Field, Message};

/// Memory of a list's element or a text without its content, bytes.
const HEAD: usize = size_of::<Vec<u8>>();

/// Checks a whole model. Returns the first field that the schema does not have, if any.
///
/// # Errors
/// [`OnnxError::Damaged`], [`OnnxError::Deep`], [`OnnxError::Large`].
pub(super) fn check(bytes: &[u8]) -> Result<Option<String>, OnnxError> {
    let mut scan = Scan::default();
    let model = MESSAGES.iter().find(|message| message.name == "ModelProto");
    scan.message(model, bytes, 0)?;
    Ok(scan.unknown)
}

/// State of a check.
#[derive(Default)]
struct Scan {
    /// Memory of the messages so far, bytes.
    memory: usize,
    /// The first unknown field.
    unknown: Option<String>,
}

impl Scan {
    /// Checks a message and those inside it.
    fn message(
        &mut self,
        kind: Option<&Message>,
        mut bytes: &[u8],
        depth: usize,
    ) -> Result<(), OnnxError> {
        let Some(kind) = kind else {
            return Ok(());
        };
        if depth >= DEPTH {
            return Err(OnnxError::Deep);
        }
        self.take(kind.size)?;
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let (number, wire) = (key >> 3, key & 7);
            let found = kind.fields.iter().find(|(known, _)| *known == number);
            let field = found.map(|(_, field)| *field);
            if field.is_none() && self.unknown.is_none() {
                self.unknown = Some(format!("field {number} of {}", kind.name));
            }
            match wire {
                0 => {
                    varint(&mut bytes)?;
                    self.take(HEAD)?;
                }
                1 => {
                    split(&mut bytes, 8)?;
                    self.take(HEAD)?;
                }
                5 => {
                    split(&mut bytes, 4)?;
                    self.take(HEAD)?;
                }
                2 => {
                    let len = varint(&mut bytes)?;
                    let content = split(&mut bytes, len)?;
                    match field {
                        Some(Field::Message(index)) => {
                            self.message(MESSAGES.get(index), content, depth + 1)?;
                        }
                        Some(Field::Bytes) => self.take(HEAD)?,
                        Some(Field::Varint(size)) => {
                            let numbers = content.iter().filter(|byte| **byte < 0x80).count();
                            self.take(numbers.saturating_mul(size))?;
                        }
                        Some(Field::Fixed) | None => (),
                    }
                }
                // Groups, which the schema does not have.
                _ => return Err(damaged("it has a group, which ONNX does not use")),
            }
        }
        Ok(())
    }

    /// Adds memory, within the limit.
    fn take(&mut self, bytes: usize) -> Result<(), OnnxError> {
        self.memory = self.memory.saturating_add(bytes);
        match self.memory > MEMORY {
            true => Err(OnnxError::Large),
            false => Ok(()),
        }
    }
}

fn damaged(what: &str) -> OnnxError {
    OnnxError::Damaged(what.into())
}

/// Splits a varint off the front.
fn varint(bytes: &mut &[u8]) -> Result<u64, OnnxError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = split(bytes, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(damaged("it has a number of more than 64 bits"))
}

/// Splits `len` bytes off the front.
fn split<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], OnnxError> {
    let len = usize::try_from(len).ok();
    let parts = len.and_then(|len| bytes.split_at_checked(len));
    let (front, rest) = parts.ok_or_else(|| damaged("it ends in the middle"))?;
    *bytes = rest;
    Ok(front)
}
