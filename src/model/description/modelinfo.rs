// SPDX-License-Identifier: MPL-2.0
//! The `.modelinfo` sidecar: a GLib key file beside the model, in the format of GStreamer's analytics library, with an
//! additional section `[stylize]`.
//!
//! ```ini
//! [modelinfo]
//! version=1.0
//!
//! [inputImage]        # a section per tensor, titled with its name
//! dir=input
//! dims=1,3,720,720    # optional; gives the layout if the graph does not
//! ranges=0.0,255.0    # tensor values for 8-bit 0 and 255, once or per channel
//!
//! [stylize]           # other readers skip it
//! output-range=0,255
//! channel-order=bgr
//! size-multiple=4
//! size-minimum=64
//! styles=starry-night,great-wave      # names for the weights of a style input
//! style-predictor=predictor.onnx      # file that computes the style vector, beside this one
//! ```

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use gst::glib;

use super::entry::{Entry, read_order, read_range, read_side, refuse};
use crate::model::conventions::{Conventions, Layout};
use crate::model::network::Model;
use crate::model::{ModelError, names};

/// Maximum size of a sidecar, bytes; the rest is not read.
const MAX_BYTES: u64 = 1 << 20;

/// Paths of a sidecar: `<model>.modelinfo`, or the model's name with its extension replaced.
pub fn candidates(model_file: &Path) -> [PathBuf; 2] {
    let mut appended = model_file.as_os_str().to_owned();
    appended.push(".modelinfo");
    [appended.into(), model_file.with_extension("modelinfo")]
}

/// The conventions in the sidecar of `model_file`; none if there is no sidecar. Sets the names of the model's styles
/// if the sidecar has them.
///
/// # Errors
/// [`ModelError::Description`] for a file that is not a key file, has another major version, or has a value that
/// cannot be parsed. Unknown keys are skipped, as GStreamer does.
pub fn conventions(model: &mut Model, model_file: &Path) -> Result<Conventions, ModelError> {
    match candidates(model_file).iter().find(|path| path.is_file()) {
        Some(path) => read(model, path),
        None => Ok(Conventions::default()),
    }
}

/// Path of the predictor that the sidecar of `model_file` names, if it does.
///
/// # Errors
/// [`ModelError::Description`] for a sidecar that is not a key file, or that names a file in another folder.
pub fn predictor(model_file: &Path) -> Result<Option<PathBuf>, ModelError> {
    let Some(path) = candidates(model_file)
        .into_iter()
        .find(|path| path.is_file())
    else {
        return Ok(None);
    };
    let Some((key, name)) = text(&load(&path)?, "stylize", "style-predictor") else {
        return Ok(None);
    };
    let plain = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    if name.is_empty() || !Path::new(&name).components().all(plain) {
        let hint = "Write the name of a file beside this one; for one elsewhere set the property style-predictor.";
        return Err(refuse(&path.display().to_string(), key, name, hint));
    }
    Ok(Some(path.with_file_name(name)))
}

fn load(path: &Path) -> Result<glib::KeyFile, ModelError> {
    let bytes = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = bytes().map_err(|err: std::io::Error| ModelError::Unreadable {
        path: path.into(),
        reason: err.to_string(),
    })?;
    key_file(&path.display().to_string(), bytes)
}

fn key_file(origin: &str, bytes: Vec<u8>) -> Result<glib::KeyFile, ModelError> {
    let file = glib::KeyFile::new();
    let bytes = glib::Bytes::from_owned(bytes);
    file.load_from_bytes(&bytes, glib::KeyFileFlags::NONE)
        .map_err(|err| {
            let hint = "It must be a key file that begins with [modelinfo] and version=1.0.";
            refuse(origin, "file".into(), err.to_string(), hint)
        })?;
    Ok(file)
}

fn text(file: &glib::KeyFile, section: &str, key: &str) -> Entry {
    let value = file.string(section, key).ok()?;
    Some((format!("[{section}] {key}"), value.trim().to_string()))
}

fn read(model: &mut Model, path: &Path) -> Result<Conventions, ModelError> {
    described(model, path.display().to_string(), &load(path)?)
}

/// The conventions in a key file.
fn described(
    model: &mut Model,
    origin: String,
    file: &glib::KeyFile,
) -> Result<Conventions, ModelError> {
    let text = |section: &str, key: &str| text(file, section, key);

    let version = text("modelinfo", "version").map(|(_, value)| value);
    if version.as_deref().map(|v| v.split('.').next()) != Some(Some("1")) {
        return Err(ModelError::Description {
            origin,
            key: "[modelinfo] version".into(),
            value: version.unwrap_or_default(),
            hint: "This software reads version 1.x.".into(),
        });
    }

    if let Some(style) = &mut model.style {
        style.name(&origin, text("stylize", "styles"))?;
    }
    let [input, output] = [model.input(), model.output()].map(|port| names::original(&port.name));
    Ok(Conventions {
        input_range: read_range(&origin, text(input, "ranges"))?,
        output_range: read_range(
            &origin,
            text("stylize", "output-range").or_else(|| text(output, "ranges")),
        )?,
        order: read_order(&origin, text("stylize", "channel-order"))?,
        layout: text(input, "dims").and_then(|(_, dims)| layout(&dims)),
        multiple: read_side(&origin, text("stylize", "size-multiple"))?,
        minimum: read_side(&origin, text("stylize", "size-minimum"))?,
        resizable: None,
    })
}

/// Layout from a `dims` list such as `1,3,-1,-1`.
fn layout(dims: &str) -> Option<Layout> {
    let dims: Vec<&str> = dims.split(',').map(str::trim).collect();
    match dims[..] {
        [_, "3", _, _] => Some(Layout::Nchw),
        [_, _, _, "3"] => Some(Layout::Nhwc),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::network::tests::image_model;
    use crate::model::{ChannelOrder, Range};

    /// The conventions of a sidecar with this content.
    fn conventions_of(content: &str) -> Result<Conventions, ModelError> {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("style.onnx");
        std::fs::write(dir.path().join("style.onnx.modelinfo"), content).expect("a file");
        conventions(&mut image_model(), &file)
    }

    #[test]
    fn every_key_is_read() {
        let found = conventions_of(
            "[modelinfo]\nversion = 1.2\ngroup-id=a\n\n\
             [x]\ndir=input\ndims=1, -1, -1, 3\nranges=0.0,1.0; -1.0,1.0; 0.0,255.0\n\
             [y]\nranges=-1,1\n\
             [stylize]\nchannel-order=BGR\nsize-multiple=8\nsize-minimum=64\nmood=blue\n",
        )
        .expect("conventions");
        let per_channel = Range {
            min: [0.0, -1.0, 0.0],
            max: [1.0, 1.0, 255.0],
        };
        assert_eq!(
            found,
            Conventions {
                input_range: Some(per_channel),
                output_range: Some(Range::SIGNED),
                order: Some(ChannelOrder::Bgr),
                layout: Some(Layout::Nhwc),
                multiple: Some(8),
                minimum: Some(64),
                resizable: None,
            }
        );
    }

    #[test]
    fn our_own_output_range_goes_first_and_silence_says_nothing() {
        let content = "[modelinfo]\nversion=1.0\n[y]\nranges=-1,1\n[stylize]\noutput-range=0,1\n";
        let found = conventions_of(content).expect("conventions");
        assert_eq!(found.output_range, Some(Range::UNIT));
        assert_eq!(
            conventions_of("[modelinfo]\nversion=1.0\n"),
            Ok(Conventions::default())
        );
        let alone = conventions(&mut image_model(), Path::new("/nowhere/style.onnx"));
        assert_eq!(alone, Ok(Conventions::default()));
    }

    #[test]
    fn what_makes_no_sense_names_the_key() {
        for (content, key) in [
            ("[modelinfo]\nversion=2.0\n", "[modelinfo] version"),
            ("[modelinfo]\n", "[modelinfo] version"),
            ("not a key file", "file"),
            ("[modelinfo]\nversion=1.0\n[x]\nranges=1\n", "[x] ranges"),
            (
                "[modelinfo]\nversion=1.0\n[stylize]\nsize-minimum=-4\n",
                "[stylize] size-minimum",
            ),
        ] {
            let Err(ModelError::Description { key: named, .. }) = conventions_of(content) else {
                panic!("must be refused: {content}");
            };
            assert_eq!(named, key, "{content}");
        }
    }
}
