// SPDX-License-Identifier: MPL-2.0
//! Noise inputs: tensors of standard normal numbers beside the picture, with which a generator produces different
//! pictures in the same style (Ulyanov et al. 2016, 2017).
//!
//! A model lists them in its metadata, `stylize.noise` = `coarse:3:8,fine:3:1`: for each the input's name, its number
//! of channels, and the divisor of the picture's height and width.

use crate::onnx::{ValueInfoProto, type_proto};

use super::description::entry::{Entry, METADATA, refuse};
use super::tensor::ElementType;
use super::{ModelError, names};

/// Maximum number of noise inputs of a generator.
pub(crate) const MAX_NOISE: usize = 16;

/// One noise input, float32 `[1, channels, H / divisor, W / divisor]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noise {
    pub name: String,
    pub channels: usize,
    pub divisor: usize,
}

impl Noise {
    /// Shape for a picture of this size in pixels.
    pub fn shape(&self, width: usize, height: usize) -> [usize; 4] {
        [
            1,
            self.channels,
            height / self.divisor,
            width / self.divisor,
        ]
    }

    /// Parses the metadata's list and checks it against the graph's inputs.
    ///
    /// # Errors
    /// [`ModelError::Description`] for a list that cannot be parsed or names other inputs.
    pub(super) fn list(entry: Entry, inputs: &[&ValueInfoProto]) -> Result<Vec<Self>, ModelError> {
        let Some((key, value)) = entry else {
            return Ok(Vec::new());
        };
        let parse = |item: &str| {
            let mut parts = item.trim().rsplitn(3, ':');
            let mut number = || parts.next()?.parse().ok().filter(|n| (1..=256).contains(n));
            let (divisor, channels) = (number()?, number()?);
            let name = parts.next()?;
            let name = names::moved(name).unwrap_or_else(|| name.to_string());
            let float = inputs
                .iter()
                .any(|input| input.name == name && is_float(input));
            float.then_some(Self {
                name,
                channels,
                divisor,
            })
        };
        let few = value.split(',').nth(MAX_NOISE).is_none();
        let list: Option<Vec<_>> = value.split(',').take(MAX_NOISE).map(parse).collect();
        list.filter(|_| few).ok_or_else(|| {
            let hint = "Write name:channels:divisor for each noise input (16 at most), separated by commas; each must be a float32 input of the graph.";
            refuse(METADATA, key, value, hint)
        })
    }
}

fn is_float(value: &ValueInfoProto) -> bool {
    match value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => {
            ElementType::from_onnx(tensor.elem_type) == Some(ElementType::F32)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::edit::value_info;

    fn list(text: &str) -> Result<Vec<Noise>, ModelError> {
        let inputs = [
            value_info("a:b", ElementType::F32, None),
            value_info("fine", ElementType::F32, None),
            value_info("bytes", ElementType::U8, None),
        ];
        let entry = Some(("stylize.noise".to_string(), text.to_string()));
        Noise::list(entry, &inputs.iter().collect::<Vec<_>>())
    }

    #[test]
    fn names_channels_and_divisors_are_read() {
        let noise = |name: &str, channels, divisor| Noise {
            name: name.into(),
            channels,
            divisor,
        };
        assert_eq!(
            list("a:b:3:8, fine:1:1"),
            Ok(vec![noise("a:b", 3, 8), noise("fine", 1, 1)])
        );
        assert_eq!(noise("x", 3, 8).shape(64, 32), [1, 3, 4, 8]);
        assert_eq!(Noise::list(None, &[]), Ok(Vec::new()));
    }

    #[test]
    fn what_the_graph_does_not_have_is_refused() {
        for text in [
            "",
            "fine",
            "fine:3",
            "fine:0:1",
            "fine:3:x",
            "other:3:1",
            "bytes:3:1",
        ] {
            let refused = list(text);
            assert!(
                matches!(refused, Err(ModelError::Description { .. })),
                "{text}: {refused:?}"
            );
        }
    }
}
