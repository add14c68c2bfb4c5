// SPDX-License-Identifier: MPL-2.0
//! Facts in ONNX metadata: our own `stylize.*` keys, the `Image.*` keys of the ONNX metadata
//! convention for images, and the sentences that OnnxMLTools writes about Core ML images.

use crate::onnx::ModelProto;

use super::{ChannelOrder, Facts, Model, ModelError, Range};

pub(super) const ORIGIN: &str = "ONNX metadata";

/// Value of a key in `metadata_props`.
pub(super) fn value<'a>(proto: &'a ModelProto, key: &str) -> Option<&'a str> {
    proto
        .metadata_props
        .iter()
        .find(|entry| entry.key == key)
        .map(|entry| entry.value.as_str())
}

/// A key with its value.
pub(super) fn entry(proto: &ModelProto, key: &str) -> Entry {
    value(proto, key).map(|text| (key.to_string(), text.to_string()))
}

/// The facts that a model's own metadata state.
///
/// # Errors
/// [`ModelError::Description`] when one of our own keys has a value that makes no sense.
pub fn facts(model: &Model) -> Result<Facts, ModelError> {
    let proto = model.proto();
    let ours = |key: &str| entry(proto, key);
    let described = Facts {
        input_range: read_range(ORIGIN, ours("stylize.input-range"))?,
        output_range: read_range(ORIGIN, ours("stylize.output-range"))?,
        order: read_order(ORIGIN, ours("stylize.channel-order"))?,
        multiple: read_side(ORIGIN, ours("stylize.size-multiple"))?,
        minimum: read_side(ORIGIN, ours("stylize.size-minimum"))?,
        ..Facts::default()
    };
    Ok(described.or(image_keys(proto)).or(coreml_sentences(model)))
}

/// `Image.BitmapPixelFormat` and `Image.NominalPixelRange`.
fn image_keys(proto: &ModelProto) -> Facts {
    let range = match value(proto, "Image.NominalPixelRange") {
        Some("NominalRange_0_255") => Some(Range::BYTE),
        Some("Normalized_0_1") => Some(Range::UNIT),
        Some("Normalized_1_1") => Some(Range::SIGNED),
        Some("NominalRange_16_235") => Some(Range::uniform(16.0, 235.0)),
        _ => None,
    };
    let order = match value(proto, "Image.BitmapPixelFormat") {
        Some("Rgb8") => Some(ChannelOrder::Rgb),
        Some("Bgr8") => Some(ChannelOrder::Bgr),
        _ => None,
    };
    Facts {
        input_range: range,
        order,
        ..Facts::default()
    }
}

/// OnnxMLTools says "Image(s) in BGR format." in the input's doc string.
fn coreml_sentences(model: &Model) -> Facts {
    let doc = &model.input().doc;
    let order = if doc.contains("in BGR format") {
        Some(ChannelOrder::Bgr)
    } else if doc.contains("in RGB format") {
        Some(ChannelOrder::Rgb)
    } else {
        None
    };
    Facts {
        order,
        ..Facts::default()
    }
}

/// A key with its value, if the source has it.
pub(super) type Entry = Option<(String, String)>;

pub(super) fn refuse(origin: &str, key: String, value: String, hint: &str) -> ModelError {
    ModelError::Description {
        origin: origin.into(),
        key,
        value,
        hint: hint.into(),
    }
}

pub(super) fn read_range(origin: &str, entry: Entry) -> Result<Option<Range>, ModelError> {
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

pub(super) fn read_order(origin: &str, entry: Entry) -> Result<Option<ChannelOrder>, ModelError> {
    let Some((key, value)) = entry else {
        return Ok(None);
    };
    match value.to_ascii_lowercase().as_str() {
        "rgb" => Ok(Some(ChannelOrder::Rgb)),
        "bgr" => Ok(Some(ChannelOrder::Bgr)),
        _ => Err(refuse(origin, key, value, "Write rgb or bgr.")),
    }
}

pub(super) fn read_side(origin: &str, entry: Entry) -> Result<Option<usize>, ModelError> {
    let Some((key, value)) = entry else {
        return Ok(None);
    };
    match value.parse() {
        Ok(side @ 1..=256) => Ok(Some(side)),
        _ => Err(refuse(origin, key, value, "Write a number from 1 to 256.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{described, image_model};

    #[test]
    fn conventions_of_others_are_read() {
        let found = described(&[
            ("Image.BitmapPixelFormat", "Bgr8"),
            ("Image.NominalPixelRange", "Normalized_1_1"),
        ]);
        assert_eq!(found.as_ref().map(|f| f.order), Ok(Some(ChannelOrder::Bgr)));
        assert_eq!(found.map(|f| f.input_range), Ok(Some(Range::SIGNED)));
        let other = described(&[("Image.BitmapPixelFormat", "Gray8")]);
        assert_eq!(other, Ok(Facts::default()));
    }

    #[test]
    fn our_own_keys_go_first() {
        let found = described(&[
            ("Image.BitmapPixelFormat", "Bgr8"),
            ("stylize.channel-order", "rgb"),
            ("stylize.output-range", "0,1"),
            ("stylize.size-multiple", "4"),
        ]);
        let wanted = Facts {
            order: Some(ChannelOrder::Rgb),
            output_range: Some(Range::UNIT),
            multiple: Some(4),
            ..Facts::default()
        };
        assert_eq!(found, Ok(wanted));
        let refused = described(&[("stylize.size-multiple", "four")]);
        assert!(matches!(refused, Err(ModelError::Description { .. })));
    }

    #[test]
    fn a_sentence_in_the_inputs_description_tells_the_order() {
        let mut model = image_model();
        assert_eq!(facts(&model), Ok(Facts::default()));
        for (sentence, order) in [
            ("Image(s) in BGR format.", ChannelOrder::Bgr),
            ("Image(s) in RGB format. It is a tensor.", ChannelOrder::Rgb),
        ] {
            model.input.doc = sentence.into();
            assert_eq!(facts(&model).map(|f| f.order), Ok(Some(order)));
        }
    }
}
