// SPDX-License-Identifier: MPL-2.0
//! Quoting for pipeline descriptions.

/// Quotes a value for a launch description, if it needs quotes.
pub fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:=%".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.into();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
