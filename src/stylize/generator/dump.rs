// SPDX-License-Identifier: MPL-2.0
//! The property `dump-graph`: writes compiled graphs to a file for inspection.

use std::path::Path;

use crate::files;
use crate::stylize::report::Error;

/// Writes a serialized graph atomically: to a temporary file, which is then renamed.
///
/// # Errors
/// [`Error::Dump`].
pub(crate) fn write(file: &Path, graph: &[u8]) -> Result<(), Error> {
    let failed = |err: std::io::Error| Error::Dump {
        file: file.display().to_string(),
        reason: err.to_string(),
    };
    // A name of its own for each write: with a common one, an element could rename a file that another thread of the
    // process has only begun to write.
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.tmp", files::unique()));
    let part = Path::new(&name);
    files::may_replace(file).map_err(failed)?;
    let written = std::fs::write(part, graph).and_then(|()| std::fs::rename(part, file));
    written.map_err(|err| {
        // Fails if the file was not created.
        let _ = std::fs::remove_file(part);
        failed(err)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_write_the_same_file_leave_a_whole_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("graph.onnx");
        let graphs = [1_u8, 2, 3, 4].map(|byte| vec![byte; 1 << 16]);
        std::thread::scope(|scope| {
            for graph in &graphs {
                let file = &file;
                scope.spawn(move || {
                    for _ in 0..50 {
                        write(file, graph).expect("written");
                        let found = std::fs::read(file).expect("a file");
                        assert_eq!(found, vec![found[0]; 1 << 16]);
                    }
                });
            }
        });
        let left = std::fs::read_dir(dir.path()).expect("a folder");
        assert_eq!(left.count(), 1, "nothing is left over");
    }
}
