// SPDX-License-Identifier: MPL-2.0
//! Finds the plugin that was installed together with the program. ONNX Runtime and the models are beside it, and the
//! program uses the same ones.

use std::path::{Path, PathBuf};

const PLUGIN: &str = "libgststylize.so";

/// The folder of the installed plugin, if there is one.
pub fn plugins() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.canonicalize().ok()?;
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share"));
    find(program.parent()?.parent()?, data.or_else(home).as_deref())
}

/// Searches the prefix above `bin/stylize`, where packages install the plugin, then the user's data directory, where
/// `make install` does.
fn find(prefix: &Path, data: Option<&Path>) -> Option<PathBuf> {
    let multiarch = format!("lib/{}-linux-gnu/gstreamer-1.0", std::env::consts::ARCH);
    // The last one is that of the Python package.
    let ours = [
        multiarch.as_str(),
        "lib/gstreamer-1.0",
        "lib64/gstreamer-1.0",
        "gstreamer-1.0",
    ];
    ours.iter()
        .map(|folder| prefix.join(folder))
        .chain(data.map(|data| data.join("gstreamer-1.0/plugins")))
        .find(|folder| folder.join(PLUGIN).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(folder.join(PLUGIN), "").expect("a file");
    }

    #[test]
    fn plugin_beside_the_program_is_preferred() {
        let dir = tempfile::tempdir().expect("a folder");
        let (prefix, data) = (dir.path().join("usr"), dir.path().join("share"));
        assert_eq!(find(&prefix, Some(&data)), None);
        let users = data.join("gstreamer-1.0/plugins");
        put(&users);
        assert_eq!(find(&prefix, Some(&data)), Some(users));
        for folder in ["gstreamer-1.0", "lib64/gstreamer-1.0", "lib/gstreamer-1.0"] {
            let folder = prefix.join(folder);
            put(&folder);
            assert_eq!(find(&prefix, Some(&data)), Some(folder.clone()));
            assert_eq!(find(&prefix, None), Some(folder));
        }
    }
}
