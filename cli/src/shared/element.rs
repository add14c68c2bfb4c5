// SPDX-License-Identifier: MPL-2.0
//! Describes the element `stylize` with properties from a command line, and checks them before a pipeline starts.

use anyhow::Result;
use gst::glib;
use gst::prelude::*;

use super::failure::usage;
use super::text::quoted;

/// Values of the property `quality`, as possible values of an option; a test compares them with the element.
pub const QUALITIES: [&str; 4] = ["auto", "quick", "lite", "full"];

/// Properties that only the program may set.
const RESERVED: [&str; 2] = ["name", "parent"];

/// A launch description of the element: `base`, then the properties, quoted.
///
/// # Errors
/// A usage error for the first property that does not exist, is not writable, or does not accept its value.
pub fn describe<'a>(
    base: &str,
    properties: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<String> {
    let element = gst::ElementFactory::make("stylize").build()?;
    let mut text = base.to_string();
    for (name, value) in properties {
        check(&element, name, value)?;
        text += &format!(" {name}={}", quoted(value));
    }
    Ok(text)
}

/// Splits `name=value`.
///
/// # Errors
/// A usage error if there is no `=`.
pub fn split(property: &str) -> Result<(&str, &str)> {
    property.split_once('=').ok_or_else(|| {
        usage(format!(
            "{property}: write property=value, such as style=great-wave"
        ))
    })
}

/// Checks that the element has a writable property of this name that accepts the value.
fn check(element: &gst::Element, name: &str, value: &str) -> Result<()> {
    let writable = |spec: &glib::ParamSpec| spec.flags().contains(glib::ParamFlags::WRITABLE);
    let spec = element
        .find_property(name)
        .filter(|spec| writable(spec) && !RESERVED.contains(&name));
    let Some(spec) = spec else {
        let names = element.list_properties();
        let names = names
            .iter()
            .filter(|spec| writable(spec))
            .map(|spec| spec.name());
        let near = names.max_by(|a, b| similarity(a, name).total_cmp(&similarity(b, name)));
        let near = near.filter(|near| similarity(near, name) > 0.7);
        let near = near.map_or(String::new(), |near| format!("; {near} is one"));
        return Err(usage(format!(
            "stylize has no property {name}{near}; `gst-inspect-1.0 stylize` lists them"
        )));
    };
    let parsed = glib::Value::deserialize_with_pspec(value, &spec);
    let fits = parsed.is_ok_and(|parsed| in_range(&spec, &parsed));
    if fits {
        return Ok(());
    }
    let nicks = glib::EnumClass::with_type(spec.value_type()).map(|class| {
        let nicks = class.values().iter().map(|value| value.nick().to_string());
        format!("use one of {}", nicks.collect::<Vec<_>>().join(", "))
    });
    let range = || spec.blurb().unwrap_or_default().to_string();
    Err(usage(format!(
        "{name}={value}: not a value of {name}: {}",
        nicks.unwrap_or_else(range)
    )))
}

/// Whether a number is within the range of its property. GObject would clamp it silently.
fn in_range(spec: &glib::ParamSpec, value: &glib::Value) -> bool {
    macro_rules! within {
        ($($kind:ty => $number:ty),*) => {
            $(if let Some(spec) = spec.downcast_ref::<$kind>() {
                let limits = spec.minimum()..=spec.maximum();
                return value.get::<$number>().is_ok_and(|number| limits.contains(&number));
            })*
        };
    }
    within!(
        glib::ParamSpecInt => i32, glib::ParamSpecUInt => u32,
        glib::ParamSpecInt64 => i64, glib::ParamSpecUInt64 => u64,
        glib::ParamSpecFloat => f32, glib::ParamSpecDouble => f64
    );
    true
}

/// Similarity of two names from 0 to 1: the Dice coefficient of their character bigrams.
fn similarity(one: &str, other: &str) -> f64 {
    let pairs =
        |word: &str| -> Vec<(char, char)> { word.chars().zip(word.chars().skip(1)).collect() };
    let (one, mut other) = (pairs(one), pairs(other));
    let all = one.len() + other.len();
    let shared = one.iter().filter(|pair| {
        let at = other.iter().position(|other| other == *pair);
        at.map(|at| other.swap_remove(at)).is_some()
    });
    let shared = shared.count();
    2.0 * shared as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualities_are_those_of_the_element() {
        crate::init().expect("the plugin");
        let element = gst::ElementFactory::make("stylize").build();
        let spec = element.expect("the element").find_property("quality");
        let kind = spec.expect("the property").value_type();
        let class = glib::EnumClass::with_type(kind).expect("an enumeration");
        let mut nicks: Vec<_> = class.values().iter().map(|value| value.nick()).collect();
        let mut qualities = QUALITIES.to_vec();
        nicks.sort_unstable();
        qualities.sort_unstable();
        assert_eq!(qualities, nicks);
    }
}
