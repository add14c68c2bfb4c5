// SPDX-License-Identifier: MPL-2.0
//! Avoids collisions with the names that the graph compiler adds: renames a generator's names with the same prefix.

use crate::onnx::{ModelProto, walk};

/// Prefix of every name that the graph compiler adds.
pub(crate) const PREFIX: &str = "stylize/";

/// Prefix of renamed names: those that begin with [`PREFIX`], or that look as if they had been renamed.
const MOVED: &str = "generator/";

/// Renames all names that collide.
pub(super) fn make_room(model: &mut ModelProto) {
    walk::rename(model, &moved);
}

/// The new name, if it needs one. Injective, and never a name that is not renamed itself.
pub(super) fn moved(name: &str) -> Option<String> {
    let rest = name.trim_start_matches(MOVED);
    rest.starts_with(PREFIX).then(|| format!("{MOVED}{name}"))
}

/// The name in the model's file.
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
