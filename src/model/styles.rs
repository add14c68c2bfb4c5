// SPDX-License-Identifier: MPL-2.0
//! Style inputs of generators with several styles.
//!
//! Conditional instance normalization (Dumoulin, Shlens and Kudlur 2017, arXiv:1610.07629) takes one weight for each
//! style; any convex combination of styles is a style. A generator of the two-network kind (Ghiasi et al. 2017,
//! arXiv:1705.06830) takes a style vector, which a second network, the *predictor*, computes from a painting.
//!
//! A style input is recognized by its shape: float32, all sizes fixed and all but one of them 1. The names of the
//! styles are in the metadata entry `stylize.styles` or the sidecar's `styles`, separated by commas.

use std::collections::{HashMap, HashSet};

use crate::onnx::ValueInfoProto;

use super::ModelError;
use super::description::entry::{Entry, refuse};
use super::tensor::{DeclaredTensor, ElementType};

/// Maximum number of values of a style input.
const MAX_VALUES: i64 = 65_536;

/// The style input of a generator, float32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StyleInput {
    pub name: String,
    /// Its shape; all sizes but one are 1.
    pub dims: Vec<i64>,
    /// Names of the styles, one for each weight; empty if no metadata or sidecar has them.
    pub names: Vec<String>,
}

impl StyleInput {
    /// The style input, if this input has the type and shape of one.
    pub(super) fn of(value: &ValueInfoProto) -> Option<Self> {
        let tensor = DeclaredTensor::of(value).ok()?;
        let mut dims = tensor.dims.iter();
        let count = dims.try_fold(1_i64, |count, size| count.checked_mul(*size))?;
        let line = tensor.dims.iter().all(|size| *size == 1 || *size == count);
        let fits = tensor.element == ElementType::F32 && (2..=MAX_VALUES).contains(&count) && line;
        fits.then_some(Self {
            name: tensor.name,
            dims: tensor.dims,
            names: Vec::new(),
        })
    }

    /// Number of values.
    pub fn size(&self) -> usize {
        self.dims.iter().product::<i64>().unsigned_abs() as usize
    }

    /// Whether its values are weights of named or numbered styles; else a style vector of a predictor.
    pub fn has_weights(&self) -> bool {
        !self.names.is_empty() || self.dims.len() <= 2
    }

    /// The names of the styles; numbers from 0 if they have no names.
    pub fn styles(&self) -> Vec<String> {
        match self.names.is_empty() {
            true => (0..self.size()).map(|index| index.to_string()).collect(),
            false => self.names.clone(),
        }
    }

    /// Sets the names from a list in metadata or sidecar.
    ///
    /// # Errors
    /// [`ModelError::Description`] for a list of another length, with duplicates, empty names or colons.
    pub(super) fn name(&mut self, origin: &str, entry: Entry) -> Result<(), ModelError> {
        let Some((key, value)) = entry else {
            return Ok(());
        };
        let names: Vec<String> = value.split(',').map(|name| name.trim().into()).collect();
        let bad = |name: &String| name.is_empty() || name.contains(':');
        let different: HashSet<&String> = names.iter().collect();
        if names.len() != self.size() || names.iter().any(bad) || different.len() < names.len() {
            let hint = format!(
                "Write {} different names without colons, separated by commas: one for each value of the input {}.",
                self.size(),
                self.name
            );
            return Err(refuse(origin, key, value, &hint));
        }
        self.names = names;
        Ok(())
    }
}

/// Errors of a text that is not a style or a mix of styles. The text is for the user.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // Each variant's message documents it.
pub enum StyleError {
    #[error("The style \"{name}\" is not known{} The styles are: {}.", nearest(.name, .names), list(.names))]
    Unknown { name: String, names: Vec<String> },
    #[error(
        "\"{0}\" is not a style or a mix of styles. Write a name, a number from 0, or name:weight,name:weight with weights of at least 0 that are not all 0."
    )]
    Mix(String),
}

/// Maximum number of names, and of characters of the user's text, in a message.
const MAX_SHOWN: usize = 100;

/// The first names, and the number of the others.
fn list(names: &[String]) -> String {
    let shown = names[..names.len().min(MAX_SHOWN)].join(", ");
    match names.len().saturating_sub(MAX_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The beginning of a text.
fn shown(text: &str) -> String {
    text.trim().chars().take(MAX_SHOWN).collect()
}

/// "; did you mean …?" if a name differs by a typing error only (Damerau-Levenshtein distance), else ".".
fn nearest(name: &str, names: &[String]) -> String {
    let names = &names[..names.len().min(MAX_SHOWN)];
    let distance = |known: &&String| strsim::damerau_levenshtein(&plain(name), &plain(known));
    let close = names.iter().min_by_key(distance);
    match close.filter(|known| distance(known) <= name.len().div_ceil(3)) {
        Some(known) => format!("; did you mean \"{known}\"?"),
        None => ".".into(),
    }
}

/// A name in lower case with hyphens for spaces and underscores, for comparisons.
fn plain(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '_'], "-")
}

/// Parses a style (a name, or a number from 0) or a mix such as `waves:0.7,3:0.3` to weights. A part without a weight
/// has weight 1; the weights are divided by their sum, so that the result is a convex combination.
///
/// # Errors
/// [`StyleError::Unknown`] for a name that is not among `names`, [`StyleError::Mix`] for weights that cannot be parsed.
pub fn weights(names: &[String], text: &str) -> Result<Vec<f32>, StyleError> {
    let mut weights = vec![0.0_f32; names.len()];
    // Of names that differ only in case and spaces, the first is used.
    let positions = names.iter().enumerate().rev();
    let positions: HashMap<String, usize> = positions.map(|(i, name)| (plain(name), i)).collect();
    let position = |name: &str| position(&positions, names.len(), name);
    let known = |name: &str| {
        position(name).ok_or_else(|| StyleError::Unknown {
            name: shown(name),
            names: names.to_vec(),
        })
    };
    for part in text.split(',').map(str::trim) {
        // The whole part is looked up first, because a name may contain a colon.
        let (index, weight) = match (position(part), part.rsplit_once(':')) {
            (Some(index), _) => (index, 1.0),
            (None, Some((name, weight))) => {
                let weight = weight.trim().parse::<f32>().ok();
                let weight = weight.filter(|w| w.is_finite() && *w >= 0.0);
                (
                    known(name)?,
                    weight.ok_or_else(|| StyleError::Mix(shown(text)))?,
                )
            }
            (None, None) => (known(part)?, 1.0),
        };
        weights[index] += weight;
    }
    let sum: f32 = weights.iter().sum();
    if !sum.is_finite() || sum <= 0.0 {
        return Err(StyleError::Mix(shown(text)));
    }
    weights.iter_mut().for_each(|weight| *weight /= sum);
    Ok(weights)
}

/// Index of the style with this name or number.
fn position(positions: &HashMap<String, usize>, count: usize, name: &str) -> Option<usize> {
    let name = plain(name);
    let named = positions.get(&name).copied();
    named.or_else(|| name.parse().ok().filter(|index| *index < count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::edit::value_info;

    fn names() -> Vec<String> {
        ["starry-night", "great-wave", "Udnie"]
            .map(Into::into)
            .into()
    }

    #[test]
    fn names_numbers_and_mixes_become_weights() {
        for (text, wanted) in [
            ("great-wave", [0.0, 1.0, 0.0]),
            (" Great_Wave ", [0.0, 1.0, 0.0]),
            ("2", [0.0, 0.0, 1.0]),
            ("starry night:0.75, udnie:0.25", [0.75, 0.0, 0.25]),
            ("0:3,great-wave", [0.75, 0.25, 0.0]),
            ("0:1,0:1,1:2", [0.5, 0.5, 0.0]),
        ] {
            assert_eq!(
                weights(&names(), text).as_deref(),
                Ok(&wanted[..]),
                "{text}"
            );
        }
        let odd = ["a:b".to_string(), "7".to_string(), "x".to_string()];
        assert_eq!(weights(&odd, "a:b").as_deref(), Ok(&[1.0, 0.0, 0.0][..]));
        assert_eq!(weights(&odd, "7:2").as_deref(), Ok(&[0.0, 1.0, 0.0][..]));
    }

    #[test]
    fn what_is_not_known_is_told_with_the_nearest() {
        let err = weights(&names(), "grate-wave").expect_err("no such style");
        assert_eq!(
            err.to_string(),
            "The style \"grate-wave\" is not known; did you mean \"great-wave\"? The styles are: starry-night, great-wave, Udnie."
        );
        let err = weights(&names(), "mondrian:0.5").expect_err("no such style");
        assert!(!err.to_string().contains("did you mean"), "{err}");
        for text in [
            "",
            "3",
            "-1",
            "udnie:",
            "udnie:x",
            "udnie:-1",
            "udnie:0",
            "udnie:inf",
            "udnie,",
        ] {
            assert!(weights(&names(), text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_shape_tells_a_style_input() {
        let input = |dims: &[i64]| StyleInput::of(&value_info("s", ElementType::F32, Some(dims)));
        for (dims, len, weights) in [
            (&[26][..], 26, true),
            (&[1, 8], 8, true),
            (&[1, 1, 1, 100], 100, false),
        ] {
            let found = input(dims).expect("a style input");
            assert_eq!(
                (found.size(), found.has_weights()),
                (len, weights),
                "{dims:?}"
            );
        }
        for dims in [
            &[1][..],
            &[-1],
            &[2, 2],
            &[i64::MAX, i64::MAX],
            &[1, 3, -1, -1],
            &[],
        ] {
            assert_eq!(input(dims), None, "{dims:?}");
        }
        let bytes = value_info("s", ElementType::U8, Some(&[26]));
        assert_eq!(StyleInput::of(&bytes), None);
    }

    #[test]
    fn there_is_one_name_for_each_weight() {
        let value = value_info("s", ElementType::F32, Some(&[2]));
        let input = StyleInput::of(&value).expect("a style input");
        assert_eq!(input.styles(), ["0", "1"]);
        let named = |list: &str| {
            let mut input = input.clone();
            input.name("test", Some(("styles".into(), list.into())))?;
            Ok::<_, ModelError>(input.styles())
        };
        assert_eq!(named("a, b"), Ok(vec!["a".into(), "b".into()]));
        for list in ["a", "a,b,c", "a,", "a,a", "a,b:1"] {
            assert!(
                matches!(named(list), Err(ModelError::Description { .. })),
                "{list}"
            );
        }
    }
}
