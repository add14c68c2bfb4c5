// SPDX-License-Identifier: MPL-2.0
//! What can be set while it plays. The element's properties are the only copy of it.

use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gststylize::model::styles;
use serde::{Deserialize, Deserializer, Serialize};

use super::App;
use super::error::ApiError;
use super::source::Status;

/// Longest glide, milliseconds.
const LONGEST: f64 = 60_000.0;

/// What is set now.
#[derive(Serialize)]
pub struct State {
    style: String,
    transition_ms: u64,
    #[serde(flatten)]
    controls: Values,
    source: Status,
    /// Styles whose tiles are painted.
    tiles: Vec<String>,
}

#[derive(Serialize)]
pub struct Values {
    strength: f64,
    stability: f64,
    /// Null where this build of `stylize` has no such property.
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

/// Body of `POST /api/controls`: what is left out stays.
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

/// Tells null, which unsets, from what is left out.
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

    /// Glides to another style.
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

    /// `style-a` and `style-b` stand before `style`. What they show becomes the style first, so that
    /// the glide begins there.
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
            // A mix of mixes has no name: it begins at one of them.
            Some(b) if values.style_mix > 0.5 => b,
            _ => a,
        };
        let transition = stylize.property::<u64>("transition");
        stylize.set_property("transition", 0_u64);
        stylize.set_property("style", shown);
        // Two frames or so, after which it is there for certain.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stylize.set_property("style-a", None::<&str>);
        stylize.set_property("style-b", None::<&str>);
        stylize.set_property("style-mix", 0.0);
        stylize.set_property("transition", transition);
    }

    /// All of it, or nothing if something is wrong.
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

    /// In the element's own words, which name the nearest style.
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

fn is_name(style: &str) -> bool {
    !style.contains([',', ':'])
}
