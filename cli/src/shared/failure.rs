// SPDX-License-Identifier: MPL-2.0
//! Usage errors and exit codes. The program ends with code 2 for wrong arguments, as clap does for an unknown option,
//! and with 1 for any error after that.

/// A wrong argument, detected before processing starts.
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

/// Exit code for an error: 2 for a usage error, else 1.
pub fn code(err: &anyhow::Error) -> u8 {
    if err.is::<Usage>() { 2 } else { 1 }
}
