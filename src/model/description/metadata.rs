// SPDX-License-Identifier: MPL-2.0
//! Conventions in ONNX metadata: the plugin's `stylize.*` keys, the `Image.*` keys of the ONNX metadata convention for
//! images, and the sentences that OnnxMLTools writes about Core ML images.

use super::entry::{METADATA, entry, read_order, read_range, read_side, value};
use crate::model::ModelError;
use crate::model::conventions::{ChannelOrder, Conventions, Range};
use crate::model::network::Model;
use crate::onnx::ModelProto;

/// The conventions in a model's metadata.
///
/// # Errors
/// [`ModelError::Description`] if a `stylize.*` key has a value that cannot be parsed.
pub fn conventions(model: &Model) -> Result<Conventions, ModelError> {
    let proto = model.proto();
    let ours = |key: &str| entry(proto, key);
    let described = Conventions {
        input_range: read_range(METADATA, ours("stylize.input-range"))?,
        output_range: read_range(METADATA, ours("stylize.output-range"))?,
        order: read_order(METADATA, ours("stylize.channel-order"))?,
        multiple: read_side(METADATA, ours("stylize.size-multiple"))?,
        minimum: read_side(METADATA, ours("stylize.size-minimum"))?,
        ..Conventions::default()
    };
    Ok(described.or(image_keys(proto)).or(coreml_sentences(model)))
}

/// `Image.BitmapPixelFormat` and `Image.NominalPixelRange`.
fn image_keys(proto: &ModelProto) -> Conventions {
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
    Conventions {
        input_range: range,
        order,
        ..Conventions::default()
    }
}

/// Channel order from the input's doc string, in which OnnxMLTools writes "Image(s) in BGR format.".
fn coreml_sentences(model: &Model) -> Conventions {
    let doc = &model.input().doc;
    let order = if doc.contains("in BGR format") {
        Some(ChannelOrder::Bgr)
    } else if doc.contains("in RGB format") {
        Some(ChannelOrder::Rgb)
    } else {
        None
    };
    Conventions {
        order,
        ..Conventions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::network::tests::{described, image_model};

    #[test]
    fn conventions_of_others_are_read() {
        let found = described(&[
            ("Image.BitmapPixelFormat", "Bgr8"),
            ("Image.NominalPixelRange", "Normalized_1_1"),
        ]);
        assert_eq!(found.as_ref().map(|f| f.order), Ok(Some(ChannelOrder::Bgr)));
        assert_eq!(found.map(|f| f.input_range), Ok(Some(Range::SIGNED)));
        let other = described(&[("Image.BitmapPixelFormat", "Gray8")]);
        assert_eq!(other, Ok(Conventions::default()));
    }

    #[test]
    fn our_own_keys_go_first() {
        let found = described(&[
            ("Image.BitmapPixelFormat", "Bgr8"),
            ("stylize.channel-order", "rgb"),
            ("stylize.output-range", "0,1"),
            ("stylize.size-multiple", "4"),
        ]);
        let wanted = Conventions {
            order: Some(ChannelOrder::Rgb),
            output_range: Some(Range::UNIT),
            multiple: Some(4),
            ..Conventions::default()
        };
        assert_eq!(found, Ok(wanted));
        let refused = described(&[("stylize.size-multiple", "four")]);
        assert!(matches!(refused, Err(ModelError::Description { .. })));
    }

    #[test]
    fn a_sentence_in_the_inputs_description_tells_the_order() {
        let mut model = image_model();
        assert_eq!(conventions(&model), Ok(Conventions::default()));
        for (sentence, order) in [
            ("Image(s) in BGR format.", ChannelOrder::Bgr),
            ("Image(s) in RGB format. It is a tensor.", ChannelOrder::Rgb),
        ] {
            model.input.doc = sentence.into();
            assert_eq!(conventions(&model).map(|f| f.order), Ok(Some(order)));
        }
    }
}
