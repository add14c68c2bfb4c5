// SPDX-License-Identifier: MPL-2.0
//! What a user names as an input, as a URI.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// A file's or a URI's URI.
///
/// # Errors
/// If it is neither a URI nor an existing file.
pub fn uri(input: &str) -> Result<String> {
    if input.contains("://") {
        return Ok(input.into());
    }
    if !Path::new(input).is_file() {
        bail!("{input} is not a file");
    }
    file(Path::new(input))
}

/// The URI of a file.
///
/// # Errors
/// If the current folder is not known or the path cannot be a URI.
pub fn file(path: &Path) -> Result<String> {
    let path = std::path::absolute(path)?;
    let uri = gst::glib::filename_to_uri(&path, None);
    Ok(uri
        .with_context(|| format!("{} cannot be a URI", path.display()))?
        .into())
}
