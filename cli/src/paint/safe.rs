// SPDX-License-Identifier: MPL-2.0
//! Protects files: the input must not be overwritten by the output, nor a complete film by an interrupted one.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
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

/// File name of an interrupted film: the output's if that does not exist, else one beside it.
pub fn interrupted_name(output: &Path) -> PathBuf {
    if !output.exists() {
        return output.into();
    }
    let extension = output.extension().unwrap_or_default().to_string_lossy();
    output.with_extension(format!("interrupted.{extension}"))
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
        assert_eq!(interrupted_name(&other), other);
        assert_eq!(interrupted_name(&file("a.mp4")), file("a.interrupted.mp4"));
    }
}
