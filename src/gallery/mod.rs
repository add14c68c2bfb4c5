// SPDX-License-Identifier: MPL-2.0
//! The generators that come with the plugin: the default one inside it, others in the folder of
//! models that `make install` fills.

pub mod painting;

use std::path::{Path, PathBuf};

/// The generator that plays when no `model-file` is set: `models/starry-night.onnx`.
pub const DEFAULT: &[u8] = include_bytes!("../../models/starry-night.onnx");

/// Name of the default generator.
pub const DEFAULT_NAME: &str = "starry-night";

/// The file that `model_file` means: itself, or, for a bare name such as `great-wave`, a model in
/// `models_dir`.
pub fn resolve(model_file: &Path, models_dir: Option<&Path>) -> PathBuf {
    let bare = model_file.components().count() == 1;
    if let Some(dir) = models_dir.filter(|_| bare && !model_file.exists()) {
        let installed = dir.join(model_file).with_extension("onnx");
        if installed.is_file() {
            return installed;
        }
    }
    model_file.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_names_are_looked_up_among_the_installed_models_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let installed = dir.path().join("wave.onnx");
        std::fs::write(&installed, b"x").expect("a file");
        let resolve = |name: &str| resolve(Path::new(name), Some(dir.path()));
        assert_eq!(resolve("wave"), installed);
        assert_eq!(resolve("wave.onnx"), installed);
        assert_eq!(resolve("other"), Path::new("other"));
        assert_eq!(resolve("./wave"), Path::new("./wave"));
        assert_eq!(resolve("/no/wave"), Path::new("/no/wave"));
    }
}
