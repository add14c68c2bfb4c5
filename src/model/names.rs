// SPDX-License-Identifier: MPL-2.0
//! Room for the names that the graph compiler gives: a generator's own names that look like them get others.

use crate::onnx::{ModelProto, walk};

/// Prefix of every name that the graph compiler adds.
pub(crate) const PREFIX: &str = "stylize/";

/// In front of a generator's name that begins with [`PREFIX`], or that looks as if it had been renamed.
const MOVED: &str = "generator/";

/// Renames what begins with the prefix.
pub(super) fn make_room(model: &mut ModelProto) {
    walk::rename(model, &moved);
}

/// The new name, if it needs one. No two names get the same, and none gets one that is there.
pub(super) fn moved(name: &str) -> Option<String> {
    let rest = name.trim_start_matches(MOVED);
    rest.starts_with(PREFIX).then(|| format!("{MOVED}{name}"))
}

/// The name that the model's file has for it.
pub(super) fn original(name: &str) -> &str {
    match name.strip_prefix(MOVED) {
        Some(rest) if moved(rest).is_some() => rest,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_moved_and_found_again() {
        for (name, new) in [
            ("x", None),
            ("generator/x", None),
            ("a/stylize/x", None),
            ("stylize/x", Some("generator/stylize/x")),
            ("generator/stylize/x", Some("generator/generator/stylize/x")),
        ] {
            assert_eq!(moved(name).as_deref(), new);
            assert_eq!(original(new.unwrap_or(name)), name);
        }
    }
}
