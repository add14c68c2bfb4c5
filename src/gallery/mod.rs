// SPDX-License-Identifier: MPL-2.0
//! The generators that come with the plugin: built-in galleries with the same styles, and models installed in a folder.

pub mod painting;

use std::path::{Path, PathBuf};

/// A generator built into the plugin.
pub struct BuiltIn {
    /// Name of its file in `models/`, without extension; for messages.
    pub name: &'static str,
    /// Contents of its file.
    pub onnx: &'static [u8],
}

/// The gallery for CPUs.
pub static LITE: BuiltIn = BuiltIn {
    name: "gallery-lite",
    onnx: include_bytes!("../../models/gallery-lite.onnx"),
};

/// [`LITE`] with convolutions quantized to 8-bit integers: faster on CPUs, and nearly the same result.
pub static LITE_INT8: BuiltIn = BuiltIn {
    name: "gallery-lite-int8",
    onnx: include_bytes!("../../models/gallery-lite-int8.onnx"),
};

/// The gallery for GPUs: the same styles in the same order.
pub static FULL: BuiltIn = BuiltIn {
    name: "gallery-full",
    onnx: include_bytes!("../../models/gallery-full.onnx"),
};

/// The gallery for old CPUs, phones and many streams: the same styles in the same order.
pub static QUICK: BuiltIn = BuiltIn {
    name: "gallery-quick",
    onnx: include_bytes!("../../models/gallery-quick.onnx"),
};

/// The path of a model: `model_file` itself, or for a bare name such as `great-wave` that is not a file, the model with
/// this name in `models_dir`.
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
    use crate::model::Model;

    #[test]
    fn all_galleries_have_the_same_styles() {
        let styles = |network: &BuiltIn| {
            let model = Model::parse(network.onnx).expect("a model");
            model.style().expect("a style input").names.clone()
        };
        let names = styles(&LITE);
        assert!(names.len() >= 24, "{names:?}");
        assert_eq!(styles(&FULL), names);
        assert_eq!(styles(&LITE_INT8), names);
        assert_eq!(styles(&QUICK), names);
    }

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
