// SPDX-License-Identifier: MPL-2.0
//! Compiled graphs as files, for people to look at.

use std::path::Path;

use crate::files;
use crate::stylize::report::Error;

/// Writes a graph atomically: to a temporary file that is renamed.
pub(crate) fn write(file: &Path, graph: &[u8]) -> Result<(), Error> {
    let failed = |err: std::io::Error| Error::Dump {
        file: file.display().to_string(),
        reason: err.to_string(),
    };
    // Unlike that of any other process; elements of this one write the same name one after another
    // only if they share the file, and then the last one wins anyway.
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let part = Path::new(&name);
    files::may_replace(file).map_err(failed)?;
    let written = std::fs::write(part, graph).and_then(|()| std::fs::rename(part, file));
    written.map_err(|err| {
        // There may be nothing to remove.
        let _ = std::fs::remove_file(part);
        failed(err)
    })
}
