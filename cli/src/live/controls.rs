// SPDX-License-Identifier: MPL-2.0
//! Settings that the API changes while the server runs. The element's properties are their only copy.

use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gststylize::model::styles;
use serde::{Deserialize, Deserializer, Serialize};

use super::App;
use super::error::ApiError;
use super::source::Status;

/// Longest transition, milliseconds.
const LONGEST: f64 = 60_000.0;

/// The current settings and the state of the source: response of `POST` requests, and part of events.
#[derive(Serialize)]
pub struct State {
    style: String,
    transition_ms: u64,
    #[serde(flatten)]
    controls: Values,
    source: Status,
    /// Styles whose tiles have been painted.
    tiles: Vec<String>,
}

/// Values of the controls.
#[derive(Serialize)]
pub struct Values {
    strength: f64,
    stability: f64,
    /// `null` if this build of `stylize` has no such property.
    split: Option<f64>,
    style_a: Option<String>,
    style_b: Option<String>,
    style_mix: f64,
}

/// Body of `POST /api/style`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StyleChange {
    style: String,
    transition_ms: Option<f64>,
}

/// Body of `POST /api/controls`; fields that are left out do not change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    strength: Option<f64>,
    stability: Option<f64>,
    split: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    style_a: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    style_b: Option<Option<String>>,
    style_mix: Option<f64>,
}

/// Distinguishes `null` or an empty text, which unset a style, from a field that is left out.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(|text| Some(text.filter(|text| !text.is_empty())))
}

impl App {
    pub fn styles(&self) -> Vec<String> {
        self.output.stylize.property("styles")
    }

    fn style_text(&self, name: &str) -> Option<String> {
        self.output.stylize.property(name)
    }

    pub fn values(&self) -> Values {
        let stylize = &self.output.stylize;
        let split = stylize.find_property("split");
        Values {
            strength: stylize.property("strength"),
            stability: stylize.property("stability"),
            split: split.map(|_| stylize.property("split")),
            style_a: self.style_text("style-a"),
            style_b: self.style_text("style-b"),
            style_mix: stylize.property("style-mix"),
        }
    }

    pub fn state(&self) -> State {
        let first = || self.styles().into_iter().next().unwrap_or_default();
        let transition = self.output.stylize.property::<u64>("transition");
        State {
            style: self.style_text("style").unwrap_or_else(first),
            transition_ms: transition / 1_000_000,
            controls: self.values(),
            source: self.source.status(),
            tiles: self.tiles.ready(),
        }
    }

    /// Starts the transition to another style.
    ///
    /// # Errors
    /// 422 if there is no such style, or `transition_ms` is outside 0 to [`LONGEST`].
    pub async fn change_style(&self, change: StyleChange) -> Result<(), ApiError> {
        self.check_style(&change.style)?;
        if let Some(time) = change
            .transition_ms
            .filter(|time| !(0.0..=LONGEST).contains(time))
        {
            return Err(ApiError::value(format!(
                "transition_ms is {time}; give 0 to {LONGEST}"
            )));
        }
        let stylize = &self.output.stylize;
        self.leave_mix().await;
        if let Some(time) = change.transition_ms {
            stylize.set_property("transition", (time * 1e6) as u64);
        }
        stylize.set_property("style", change.style);
        self.changed.send_replace(());
        Ok(())
    }

    /// Unsets `style-a` and `style-b`, which override `style`. Their mix is made the current style first, so that the
    /// transition starts from it.
    async fn leave_mix(&self) {
        let stylize = &self.output.stylize;
        let values = self.values();
        let (a, b) = (values.style_a, values.style_b);
        if a.is_none() && b.is_none() {
            return;
        }
        let a = a.or_else(|| self.style_text("style")).unwrap_or_default();
        let shown = match b {
            Some(b) if is_name(&a) && is_name(&b) => {
                let mix = values.style_mix;
                format!("{a}:{},{b}:{mix}", 1.0 - mix)
            }
            // A mix of mixes cannot be written as a style: the transition starts from the nearer one.
            Some(b) if values.style_mix > 0.5 => b,
            _ => a,
        };
        let transition = stylize.property::<u64>("transition");
        stylize.set_property("transition", 0_u64);
        stylize.set_property("style", shown);
        // More than a frame's time at usual rates, so that a frame has been painted with the style before the mix is
        // unset.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stylize.set_property("style-a", None::<&str>);
        stylize.set_property("style-b", None::<&str>);
        stylize.set_property("style-mix", 0.0);
        stylize.set_property("transition", transition);
    }

    /// Sets all given values, or none if one is wrong.
    ///
    /// # Errors
    /// 422 for a wrong value.
    pub fn change_controls(&self, change: Change) -> Result<(), ApiError> {
        let numbers = [
            ("strength", change.strength),
            ("stability", change.stability),
            ("split", change.split),
            ("style-mix", change.style_mix),
        ];
        let texts = [("style-a", change.style_a), ("style-b", change.style_b)];
        for (name, value) in numbers {
            value.map_or(Ok(()), |value| self.check_number(name, value))?;
        }
        for style in texts.iter().filter_map(|(_, text)| text.as_ref()?.as_ref()) {
            self.check_style(style)?;
        }
        let stylize = &self.output.stylize;
        for (name, value) in numbers {
            if let Some(value) = value {
                stylize.set_property(name, value);
            }
        }
        for (name, text) in texts {
            if let Some(text) = text {
                stylize.set_property(name, text);
            }
        }
        self.changed.send_replace(());
        Ok(())
    }

    /// # Errors
    /// 422 with the element's message, which names the nearest style.
    fn check_style(&self, text: &str) -> Result<(), ApiError> {
        styles::weights(&self.styles(), text)
            .map(drop)
            .map_err(|err| ApiError::value(err.to_string()))
    }

    fn check_number(&self, name: &str, value: f64) -> Result<(), ApiError> {
        let spec = self.output.stylize.find_property(name);
        let spec = spec.and_then(|spec| spec.downcast::<glib::ParamSpecDouble>().ok());
        let label = name.replace('-', "_");
        let Some(spec) = spec else {
            return Err(ApiError::value(format!(
                "this build of stylize has no property \"{name}\"; leave {label} out"
            )));
        };
        let (least, most) = (spec.minimum(), spec.maximum());
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(ApiError::value(format!(
            "{label} is {value}; give {least} to {most}"
        )))
    }
}

/// Whether this is a single style rather than a mix.
fn is_name(style: &str) -> bool {
    !style.contains([',', ':'])
}
