// SPDX-License-Identifier: MPL-2.0
//! What the targets share.
#![allow(dead_code)] // Every target uses its own part.

use std::path::PathBuf;

/// A file with this content, in memory where the machine has such a folder; the same for every input.
pub fn file(name: &str, content: &[u8]) -> PathBuf {
    let folder = match std::path::Path::new("/dev/shm").is_dir() {
        true => PathBuf::from("/dev/shm"),
        false => std::env::temp_dir(),
    };
    let folder = folder.join(format!("stylize-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(name);
    std::fs::write(&file, content).expect("a file");
    file
}

/// Names of styles.
pub fn names() -> Vec<String> {
    ["starry-night", "great-wave", "Udnie", "a b", "7", "x:1"]
        .map(Into::into)
        .into()
}
