// SPDX-License-Identifier: MPL-2.0
//! Files identified by their content (SHA-256), so that they are found under another path on another machine.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::shared::output::with_suffix;

/// A file's content, and its path when the plan was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileRef {
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: String,
}

impl FileRef {
    /// If it is not a regular file or cannot be read.
    pub fn new(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path)?;
        let data = path
            .metadata()
            .with_context(|| path.display().to_string())?;
        if !data.is_file() {
            bail!("{} is not a file", path.display());
        }
        Ok(Self {
            bytes: data.len(),
            sha256: of_file(&path)?,
            path,
        })
    }

    /// Its path on this machine: the original one, or one of these files or in one of these folders.
    ///
    /// # Errors
    /// If none of them has this content.
    pub fn find(&self, places: &[PathBuf]) -> Result<PathBuf> {
        let mut looked = vec![self.path.clone()];
        for place in places {
            if place.is_dir() {
                looked.extend(self.path.file_name().map(|name| place.join(name)));
                let entries = place.read_dir().into_iter().flatten().flatten();
                looked.extend(entries.map(|entry| entry.path()));
            } else {
                looked.push(place.clone());
            }
        }
        let size = |path: &Path| path.metadata().ok().filter(|data| data.is_file());
        let alike = looked
            .iter()
            .filter(|path| size(path).is_some_and(|data| data.len() == self.bytes));
        for path in alike {
            if of_file(path)? == self.sha256 {
                return Ok(path.clone());
            }
        }
        bail!(
            "no file here is the plan's {} ({} bytes, SHA-256 {}); name it, or the folder that it is in, by --input",
            self.path.display(),
            self.bytes,
            self.sha256
        )
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a file in hexadecimal. Cached by path, inode, size and modification time, because a film of many
/// gigabytes would otherwise be read again for each piece.
///
/// # Errors
/// If it cannot be read.
pub fn of_file(path: &Path) -> Result<String> {
    let cannot = || format!("{} cannot be read", path.display());
    let mut file = File::open(path).with_context(cannot)?;
    let data = file.metadata().with_context(cannot)?;
    let key = format!(
        "{} {} {} {} {}.{:09}",
        path.display(),
        data.dev(),
        data.ino(),
        data.len(),
        data.mtime(),
        data.mtime_nsec()
    );
    let cached = cache().map(|folder| folder.join(sha256(key.as_bytes())));
    let known = cached
        .as_deref()
        .and_then(|name| std::fs::read_to_string(name).ok());
    if let Some(known) = known.filter(|known| known.len() == 64) {
        return Ok(known);
    }
    let mut digest = Sha256::new();
    let mut bytes = vec![0; 1 << 20];
    loop {
        match file.read(&mut bytes).with_context(cannot)? {
            0 => break,
            count => digest.update(&bytes[..count]),
        }
    }
    let sum = hex(&digest.finalize());
    // Small files are read as fast as the cache. Without a cache, the file is read each time.
    if data.len() > 8 << 20
        && let Some(name) = cached
    {
        let _ = write_atomically(&name, sum.as_bytes());
    }
    Ok(sum)
}

/// The cache folder by the XDG base directory specification.
fn cache() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty());
    let folder = folder.map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
        Some(PathBuf::from(home).join(".cache"))
    })?;
    Some(folder.join("stylize").join("sha256"))
}

/// Writes a file atomically: under a temporary name, synced, then renamed.
///
/// # Errors
/// If it cannot be written.
pub fn write_atomically(file: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("{} cannot be written", file.display());
    let folder = file.parent().context("a file without a folder")?;
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let part = temporary_name(file);
    let written = std::fs::write(&part, bytes)
        .and_then(|()| File::open(&part)?.sync_all())
        .and_then(|()| std::fs::rename(&part, file));
    written
        .inspect_err(|_| drop(std::fs::remove_file(&part)))
        .with_context(cannot)
}

/// A temporary name beside a file that no other process uses, on this machine or another one.
pub fn temporary_name(file: &Path) -> PathBuf {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    with_suffix(
        file,
        &format!(".{}.{}.part", host.trim(), std::process::id()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_its_content_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("film.mkv");
        std::fs::write(&file, "one").expect("written");
        let wanted = FileRef::new(&file).expect("read");
        assert_eq!(wanted.find(&[]).expect("where it was"), file);
        let elsewhere = dir.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).expect("a folder");
        std::fs::write(&file, "two").expect("written");
        std::fs::write(elsewhere.join("film.mkv"), "six").expect("written");
        let places = [elsewhere.clone()];
        let err = wanted.find(&places).expect_err("other content");
        assert!(err.to_string().contains("--input"), "{err}");
        std::fs::write(elsewhere.join("other.mkv"), "one").expect("written");
        assert_eq!(
            wanted.find(&places).expect("another name"),
            elsewhere.join("other.mkv")
        );
    }
}
