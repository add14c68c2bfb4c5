// SPDX-License-Identifier: MPL-2.0
//! Output files: a source is never overwritten, and a file with the name of an output is complete.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use same_file::is_same_file;

/// Checks that no output is the input, also through links.
///
/// # Errors
/// If an output is the input.
pub fn check_not_input(input: &str, outputs: [&Path; 2]) -> Result<()> {
    let Some(source) = local(input) else {
        return Ok(());
    };
    for output in outputs {
        // An output that does not exist is another file.
        if is_same_file(&source, output).unwrap_or(false) {
            bail!(
                "{} is the input itself ({input}); give another name for the painting",
                output.display()
            );
        }
    }
    Ok(())
}

/// Path of an input that is a local file.
fn local(input: &str) -> Option<PathBuf> {
    match input.starts_with("file:") {
        true => gst::glib::filename_from_uri(input)
            .ok()
            .map(|(path, _)| path),
        false if input.contains("://") => None,
        false => Some(input.into()),
    }
}

/// The path with a suffix.
pub fn with_suffix(file: &Path, more: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// Creates and locks a file until the returned handle is dropped. `None`: another process has the lock.
///
/// # Errors
/// If the file cannot be written or locked.
pub fn lock_file(file: &Path) -> Result<Option<File>> {
    let cannot = || format!("{} cannot be written", file.display());
    let claimed = File::options().create(true).append(true).open(file);
    let claimed = claimed.with_context(cannot)?;
    match claimed.try_lock() {
        Ok(()) => Ok(Some(claimed)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(err)) => Err(err).with_context(cannot),
    }
}

/// Calls `write`, then syncs `part` and renames it to what `name` returns. Returns that name, too. After an error, `part`
/// is removed.
///
/// # Errors
/// That of `write`, and if the file cannot be renamed.
pub fn write_then_rename<T>(
    part: &Path,
    name: impl FnOnce() -> PathBuf,
    write: impl FnOnce() -> Result<T>,
) -> Result<(T, PathBuf)> {
    let finish = |value| {
        let name = name();
        let renamed = File::open(part)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(part, &name));
        renamed.with_context(|| format!("{} cannot be written", name.display()))?;
        Ok((value, name))
    };
    // The file may not exist.
    write()
        .and_then(finish)
        .inspect_err(|_| drop(std::fs::remove_file(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_source_is_known_by_every_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = |name: &str| dir.path().join(name);
        std::fs::write(file("a.mp4"), "a film").expect("a file");
        std::fs::write(file("b.mp4"), "a film").expect("a file");
        std::os::unix::fs::symlink(file("a.mp4"), file("link.mp4")).expect("a link");
        std::fs::hard_link(file("a.mp4"), file("hard.mp4")).expect("a link");
        let input = file("a.mp4").display().to_string();
        let uri = gst::glib::filename_to_uri(file("a.mp4"), None).expect("a URI");
        let other = file("none.mp4");
        for input in [input.as_str(), uri.as_str()] {
            for name in ["a.mp4", "link.mp4", "hard.mp4", "../a.mp4"] {
                let name = match name {
                    "../a.mp4" => dir.path().join("../").join(dir.path()).join("a.mp4"),
                    name => file(name),
                };
                assert!(check_not_input(input, [&name, &other]).is_err(), "{name:?}");
                assert!(check_not_input(input, [&other, &name]).is_err(), "{name:?}");
            }
            assert!(check_not_input(input, [&file("b.mp4"), &other]).is_ok());
        }
        assert!(check_not_input("http://localhost/a.mp4", [&file("a.mp4"), &other]).is_ok());
    }
}
