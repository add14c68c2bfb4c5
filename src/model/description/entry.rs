// SPDX-License-Identifier: MPL-2.0
//! Key-value entries of metadata and sidecars, and parsing of their values.

use crate::model::ModelError;
use crate::model::conventions::{ChannelOrder, Range};
use crate::onnx::ModelProto;

/// Name of the metadata in error messages.
pub(in crate::model) const METADATA: &str = "ONNX metadata";

/// Value of a key in `metadata_props`.
pub(in crate::model) fn value<'a>(proto: &'a ModelProto, key: &str) -> Option<&'a str> {
    proto
        .metadata_props
        .iter()
        .find(|entry| entry.key == key)
        .map(|entry| entry.value.as_str())
}

/// The entry of a key in `metadata_props`.
pub(in crate::model) fn entry(proto: &ModelProto, key: &str) -> Entry {
    value(proto, key).map(|text| (key.to_string(), text.to_string()))
}

/// A key with its value, if the source has it.
pub(in crate::model) type Entry = Option<(String, String)>;

/// The error for a value that cannot be parsed.
pub(in crate::model) fn refuse(origin: &str, key: String, value: String, hint: &str) -> ModelError {
    ModelError::Description {
        origin: origin.into(),
        key,
        value,
        hint: hint.into(),
    }
}

/// Parses a range (see [`Range::parse`]).
pub(in crate::model) fn read_range(
    origin: &str,
    entry: Entry,
) -> Result<Option<Range>, ModelError> {
    let Some((key, value)) = entry else {
        return Ok(None);
    };
    match Range::parse(&value) {
        Some(range) => Ok(Some(range)),
        None => {
            let hint = "Write min,max (such as 0,1 or 0,255) or one pair per channel: min,max;min,max;min,max.";
            Err(refuse(origin, key, value, hint))
        }
    }
}

/// Parses a channel order, `rgb` or `bgr`.
pub(in crate::model) fn read_order(
    origin: &str,
    entry: Entry,
) -> Result<Option<ChannelOrder>, ModelError> {
    let Some((key, value)) = entry else {
        return Ok(None);
    };
    match value.to_ascii_lowercase().as_str() {
        "rgb" => Ok(Some(ChannelOrder::Rgb)),
        "bgr" => Ok(Some(ChannelOrder::Bgr)),
        _ => Err(refuse(origin, key, value, "Write rgb or bgr.")),
    }
}

/// Parses a number of pixels, 1..256.
pub(in crate::model) fn read_side(origin: &str, entry: Entry) -> Result<Option<usize>, ModelError> {
    let Some((key, value)) = entry else {
        return Ok(None);
    };
    match value.parse() {
        Ok(side @ 1..=256) => Ok(Some(side)),
        _ => Err(refuse(origin, key, value, "Write a number from 1 to 256.")),
    }
}
