// SPDX-License-Identifier: MPL-2.0
//! Errors that are the caller's: wrong arguments. The program ends with 2 for them, as for an option that
//! does not exist, and with 1 for everything that fails later.

/// An argument that cannot be used, found before anything starts.
#[derive(Debug)]
pub struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A usage error with this text.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(text.into()))
}

/// The exit code that belongs to an error.
pub fn code(err: &anyhow::Error) -> u8 {
    if err.is::<Usage>() { 2 } else { 1 }
}
