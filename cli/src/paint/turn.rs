// SPDX-License-Identifier: MPL-2.0
//! Orientation of picture files from their EXIF data. GStreamer 1.22 reads orientation tags only from containers.

use std::io::Cursor;
use std::sync::{Mutex, PoisonError};

use gst::prelude::*;
use image::metadata::Orientation;
use image::{ImageDecoder, ImageReader};

/// Largest file whose EXIF data is read, bytes.
const LARGEST_FILE: usize = 64 << 20;

/// Value of `videoflip`'s property `video-direction` that makes a picture upright.
pub type Turn = &'static str;

/// By the stream's orientation tag.
pub const BY_TAG: Turn = "auto";

/// Calls `turned` at EOS if the picture that has passed this pad needs a transformation.
pub fn detect(pad: &gst::Pad, turned: impl Fn(Turn) + Send + Sync + 'static) {
    let file = Mutex::new(Some(Vec::new()));
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(types, move |_, info| {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = info.event().map(|event| event.type_()) == Some(gst::EventType::Eos);
        if ends {
            if let Some(turn) = file.take().and_then(turn) {
                turned(turn);
            }
        } else if let Some(bytes) = info.buffer().and_then(|buffer| buffer.map_readable().ok()) {
            file.take_if(|file| file.len() + bytes.len() > LARGEST_FILE);
            if let Some(file) = file.as_mut() {
                file.extend_from_slice(&bytes);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// `None` for a picture that is upright, or cannot be parsed; the decoder reports that.
fn turn(file: Vec<u8>) -> Option<Turn> {
    let reader = ImageReader::new(Cursor::new(file)).with_guessed_format();
    let mut decoder = reader.ok()?.into_decoder().ok()?;
    match decoder.orientation().ok()? {
        Orientation::NoTransforms => None,
        Orientation::Rotate90 => Some("90r"),
        Orientation::Rotate180 => Some("180"),
        Orientation::Rotate270 => Some("90l"),
        Orientation::FlipHorizontal => Some("horiz"),
        Orientation::FlipVertical => Some("vert"),
        Orientation::Rotate90FlipH => Some("ul-lr"),
        Orientation::Rotate270FlipH => Some("ur-ll"),
    }
}
