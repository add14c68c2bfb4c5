// SPDX-License-Identifier: MPL-2.0
//! Parses the inputs that users name on the command line into URIs, in the same way for all commands.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::live;

/// An input of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A generated test picture.
    Test,
    /// A V4L2 device such as `/dev/video0`.
    Camera(String),
    /// URI of a file.
    File(String),
    /// Any other URI that GStreamer has a source for.
    Stream(String),
}

impl Input {
    /// Parses `test`, `v4l2`, `v4l2:/dev/video1`, `/dev/video1`, a file or a URI.
    ///
    /// # Errors
    /// If it is none of them, the device does not exist, or no element reads such URIs.
    pub fn new(text: &str) -> Result<Self> {
        let device = match text.strip_prefix("v4l2") {
            Some("") => Some("/dev/video0"),
            Some(rest) if !rest.starts_with("://") => rest.strip_prefix(':'),
            _ => Some(text).filter(|text| text.starts_with("/dev/") && !Path::new(text).is_file()),
        };
        if let Some(device) = device {
            if !Path::new(device).exists() {
                bail!("there is no {device}; `v4l2-ctl --list-devices` lists the cameras");
            }
            return Ok(Self::Camera(device.into()));
        }
        if text == "test" {
            return Ok(Self::Test);
        }
        if !text.contains("://") && !Path::new(text).is_file() {
            bail!(
                "{text} is not a file; give test, a file, v4l2, /dev/video1 or a URI such as rtmp://host/app/stream"
            );
        }
        let uri = uri(text)?;
        gst::Element::make_from_uri(gst::URIType::Src, &uri, None)
            .with_context(|| format!("{text} cannot be played"))?;
        Ok(if uri.starts_with("file:") {
            Self::File(uri)
        } else {
            Self::Stream(uri)
        })
    }

    /// Its URI; `None` for a test picture.
    pub fn uri(&self) -> Option<String> {
        match self {
            Self::Test => None,
            Self::Camera(device) => Some(format!("v4l2://{device}")),
            Self::File(uri) | Self::Stream(uri) => Some(uri.clone()),
        }
    }

    /// Whether it delivers frames in real time, so that each can be used when it arrives.
    pub fn is_live(&self) -> bool {
        self.uri().is_none_or(|uri| live::is_live(&uri))
    }
}

/// The input as a URI, whether it is a file or a URI already.
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
/// If the current directory is unknown or the path cannot be encoded as a URI.
pub fn file(path: &Path) -> Result<String> {
    let path = std::path::absolute(path)?;
    let uri = gst::glib::filename_to_uri(&path, None);
    Ok(uri
        .with_context(|| format!("{} cannot be a URI", path.display()))?
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_told_apart() {
        gst::init().expect("GStreamer");
        let dir = tempfile::tempdir_in("/dev/shm").expect("a folder");
        let path = dir.path().join("a film.mp4");
        std::fs::write(&path, "").expect("a file");
        let path = path.to_str().expect("UTF-8");
        let input = |text: &str| Input::new(text).map_err(|err| err.to_string());
        let uri = format!("file://{}", path.replace(' ', "%20"));
        assert_eq!(input("test"), Ok(Input::Test));
        // A file below `/dev` is no camera.
        assert_eq!(input(path), Ok(Input::File(uri.clone())));
        assert_eq!(input(&uri), Ok(Input::File(uri)));
        for device in ["/dev/null", "v4l2:/dev/null"] {
            let camera = input(device).expect("it exists");
            assert_eq!(camera, Input::Camera("/dev/null".into()));
            assert_eq!(camera.uri().as_deref(), Some("v4l2:///dev/null"));
            assert!(camera.is_live());
        }
        let stream = "rtmp://localhost/live/in";
        assert_eq!(input(stream), Ok(Input::Stream(stream.into())));
        for (text, words) in [
            ("nothing.mp4", "nothing.mp4 is not a file"),
            ("/dev/video77", "there is no /dev/video77"),
            ("v4l2:/dev/video77", "there is no /dev/video77"),
            ("nope://x", "nope://x cannot be played"),
            ("", "is not a file"),
        ] {
            let said = input(text).expect_err("nothing to play");
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
