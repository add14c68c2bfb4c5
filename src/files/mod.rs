// SPDX-License-Identifier: MPL-2.0
//! Files that users name: their reading, and temporary names for their writing. Only regular files up to a size limit: opening a FIFO or a terminal may block, and
//! a device may have no end.

use std::fs::{File, OpenOptions};
use std::io::{Error, Read, Result};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Part of a temporary file's name that no other thread or process of this machine uses, such as `1234-0`.
pub fn unique() -> String {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    format!("{}-{serial}", std::process::id())
}

/// Opens a regular file for reading, without blocking on a FIFO.
///
/// # Errors
/// Those of the system, and one for anything but a regular file.
pub fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Without O_NONBLOCK, opening a FIFO waits for a writer. It has no effect on regular files.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    // Checked before opening, because opening some devices has side effects.
    regular(&std::fs::metadata(path)?)?;
    let file = options.open(path)?;
    // Checked again, because another file may have this name by now.
    regular(&file.metadata()?)?;
    Ok(file)
}

/// An error for anything but a regular file.
fn regular(metadata: &std::fs::Metadata) -> Result<()> {
    match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => Ok(()),
        (_, true) => Err(Error::other("it is a folder")),
        _ => Err(Error::other("it is not a regular file")),
    }
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// Those of [`open`], and one for larger files, which states the limit.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more, to detect a file that is larger.
    open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// [`read`] for a text file.
///
/// # Errors
/// Those of [`read`], and one for bytes that are not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    let text = String::from_utf8(read(path, limit)?);
    text.map_err(|_| Error::other("it is not text in UTF-8"))
}

/// Checks that a file may be renamed to this path: there is nothing, or a regular file. Renaming over a device would
/// remove it.
///
/// # Errors
/// For anything but a regular file, and those of the system.
pub fn may_replace(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) => regular(&metadata),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("text");
        std::fs::write(&file, "four").expect("a file");
        assert_eq!(read(&file, 4).expect("bytes"), b"four");
        assert_eq!(read_text(&file, u64::MAX).expect("text"), "four");
        let err = read(&file, 3).expect_err("too long").to_string();
        assert_eq!(err, "it has more than 3 bytes");
        std::fs::write(&file, [0xff]).expect("a file");
        assert!(read_text(&file, 10).is_err());
        let none = read(&dir.path().join("none"), 1).expect_err("no file");
        assert_eq!(none.kind(), std::io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        use std::ffi::CString;
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().expect("a folder");
        let fifo = dir.path().join("fifo");
        let name = CString::new(fifo.as_os_str().as_bytes()).expect("a name");
        // SAFETY: `name` is a NUL-terminated string that lives until the call returns.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        for path in [&fifo, dir.path(), Path::new("/dev/zero")] {
            let err = read(path, 16).expect_err("no file").to_string();
            assert!(err.starts_with("it is "), "{path:?}: {err}");
            assert!(may_replace(path).is_err(), "{path:?}");
        }
        assert!(may_replace(&dir.path().join("new")).is_ok());
    }
}
