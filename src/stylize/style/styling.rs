// SPDX-License-Identifier: MPL-2.0
//! The style of each frame: turns names, mixes, paintings and playlists into values of the generator's style
//! input.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gst::ClockTime;

use super::playlist::Playlist;
use super::transition::{StyleTransition, Values, blend};
use crate::engine::Predictor;
use crate::gallery::painting;
use crate::model::{StyleInput, styles};
use crate::stylize::background::{Background, BackgroundThreads};
use crate::stylize::report::Error;
use crate::stylize::settings::StyleSettings;

/// The styles of one generator and the transition between them. Used by the streaming thread only.
pub(crate) struct Styling {
    /// Names of the styles; empty if the style is a vector that the predictor makes.
    names: Vec<String>,
    /// Number of values of the style input; 0 without one.
    len: usize,
    predictor: Option<Arc<Predictor>>,
    /// The settings that were looked up last.
    seen: StyleSettings,
    transition: StyleTransition,
    /// Values of `style-a` and `style-b`.
    a: Option<Values>,
    b: Option<Values>,
    /// The style vector that the predictor is computing.
    predicted: Option<Background<Values>>,
    playlist: Option<Playlist>,
    /// The playlist that is being read.
    listed: Option<Background<Playlist>>,
    /// Index of the playlist's entry that was applied last.
    line: Option<usize>,
}

impl Styling {
    /// The styles of a generator with this name and style input; `predictor` computes its style vectors. Reads
    /// the painting and the playlist on this thread.
    ///
    /// # Errors
    /// For styles that the generator does not have, and for files that cannot be read.
    pub fn new(
        name: &str,
        input: Option<&StyleInput>,
        predictor: Option<Predictor>,
        settings: &StyleSettings,
    ) -> Result<Self, Error> {
        let names = match (input, &predictor) {
            (Some(_), Some(_)) => Vec::new(),
            (Some(input), None) if input.has_weights() => input.styles(),
            (Some(_), None) => return Err(Error::NoPredictor),
            (None, None) => vec![name.to_string()],
            (None, Some(_)) => return Err(Error::StyleIsNamed(vec![name.to_string()])),
        };
        let mut styling = Self {
            names,
            len: input.map_or(0, StyleInput::size),
            predictor: predictor.map(Arc::new),
            seen: settings.clone(),
            transition: StyleTransition::default(),
            a: None,
            b: None,
            predicted: None,
            playlist: None,
            listed: None,
            line: None,
        };
        let named = styling.named(&settings.style)?;
        let first = match (styling.painter(&settings.image)?, named) {
            (Some(paint), _) => paint()?,
            (None, Some(values)) => values,
            (None, None) if styling.names.is_empty() => return Err(Error::NoPainting),
            (None, None) => styling.first(),
        };
        styling.a = styling.named(&settings.style_a)?;
        styling.b = styling.named(&settings.style_b)?;
        styling.transition = StyleTransition::from(first);
        let playlist = styling.lister(&settings.playlist)?;
        styling.playlist = playlist.map(|read| read()).transpose()?;
        Ok(styling)
    }

    /// The values for a frame of this running time. Errors in settings that changed since the last frame are
    /// pushed to `refused`, and the style before the change is kept.
    pub fn next(
        &mut self,
        settings: &StyleSettings,
        time: Option<ClockTime>,
        threads: &BackgroundThreads,
        refused: &mut Vec<Error>,
    ) -> Values {
        if settings.changes != self.seen.changes {
            self.look_up(settings, threads, refused);
        }
        if let Some(outcome) = self.predicted.as_ref().and_then(Background::poll) {
            self.predicted = None;
            match outcome {
                Ok(values) => self.transition.start(values),
                Err(err) => refused.push(err),
            }
        }
        if let Some(outcome) = self.listed.as_ref().and_then(Background::poll) {
            self.listed = None;
            match outcome {
                Ok(playlist) => (self.playlist, self.line) = (Some(playlist), None),
                Err(err) => refused.push(err),
            }
        }
        self.follow_playlist(time);
        self.at(settings, time)
    }

    /// Starts the transition to the playlist's entry at this time, if it is another one than before.
    fn follow_playlist(&mut self, time: Option<ClockTime>) {
        let now = self.playlist.as_ref().zip(time);
        let Some((line, entry)) = now.and_then(|(playlist, time)| playlist.at(time)) else {
            return;
        };
        if self.line.replace(line) != Some(line) {
            self.transition.start(entry.values.clone());
            self.transition.duration = entry.transition;
        }
    }

    /// The values for a frame of this running time, without looking up changed settings.
    pub fn at(&mut self, settings: &StyleSettings, time: Option<ClockTime>) -> Values {
        let base = self.transition.at(time, settings.transition);
        if self.len == 0 {
            return Values::default();
        }
        match (&self.a, &self.b) {
            (None, None) => base,
            (a, None) => a.clone().unwrap_or(base),
            (a, Some(b)) => blend(a.as_ref().unwrap_or(&base), b, settings.mix as f32),
        }
    }

    /// The values inside the mask and outside of it, for frames with a mask; `None` if the source is shown
    /// outside.
    pub fn inside_and_outside(
        &mut self,
        settings: &StyleSettings,
        time: Option<ClockTime>,
    ) -> (Values, Option<Values>) {
        let base = self.transition.at(time, settings.transition);
        if self.len == 0 {
            return (Values::default(), None);
        }
        (self.a.clone().unwrap_or(base), self.b.clone())
    }

    /// Weights of the first style alone.
    fn first(&self) -> Values {
        let weight = |index| f32::from(u8::from(index == 0));
        (0..self.names.len()).map(weight).collect()
    }

    /// Looks up the settings that changed since the last call.
    fn look_up(
        &mut self,
        settings: &StyleSettings,
        threads: &BackgroundThreads,
        refused: &mut Vec<Error>,
    ) {
        let seen = std::mem::replace(&mut self.seen, settings.clone());
        if settings.style != seen.style {
            match self.named(&settings.style) {
                Ok(values) if self.names.is_empty() => drop(values),
                Ok(values) => self
                    .transition
                    .start(values.unwrap_or_else(|| self.first())),
                Err(err) => refused.push(err),
            }
        }
        for (text, seen, side) in [
            (&settings.style_a, &seen.style_a, 0),
            (&settings.style_b, &seen.style_b, 1),
        ] {
            if text == seen {
                continue;
            }
            match self.named(text) {
                Ok(values) if side == 0 => self.a = values,
                Ok(values) => self.b = values,
                Err(err) => refused.push(err),
            }
        }
        if settings.playlist != seen.playlist {
            // Cancels reading the previous playlist.
            self.listed = None;
            match self.lister(&settings.playlist) {
                Ok(Some(read)) => match threads.start("stylize-playlist", read) {
                    Ok(listed) => self.listed = Some(listed),
                    Err(err) => refused.push(err),
                },
                Ok(None) => (self.playlist, self.line) = (None, None),
                Err(err) => refused.push(err),
            }
        }
        if settings.image != seen.image {
            match self.painter(&settings.image) {
                Ok(Some(paint)) => match threads.start("stylize-predictor", paint) {
                    Ok(predicted) => self.predicted = Some(predicted),
                    Err(err) => refused.push(err),
                },
                Ok(None) => (),
                Err(err) => refused.push(err),
            }
        }
    }

    /// The weights of a style or mix by name; `None` if it is not set.
    fn named(&self, text: &Option<String>) -> Result<Option<Values>, Error> {
        let Some(text) = text else {
            return Ok(None);
        };
        if self.names.is_empty() {
            return Err(Error::StyleIsVector);
        }
        Ok(Some(styles::weights(&self.names, text)?.into()))
    }

    /// A closure that reads the playlist; `None` if it is not set.
    fn lister(
        &self,
        file: &Option<PathBuf>,
    ) -> Result<Option<impl FnOnce() -> Result<Playlist, Error> + Send + 'static>, Error> {
        let Some(file) = file.clone() else {
            return Ok(None);
        };
        if self.names.is_empty() {
            return Err(Error::StyleIsVector);
        }
        let names = self.names.clone();
        Ok(Some(move || Playlist::read(&file, &names)))
    }

    /// A closure that reads the painting and predicts its style vector; `None` if it is not set.
    fn painter(
        &self,
        file: &Option<PathBuf>,
    ) -> Result<Option<impl FnOnce() -> Result<Values, Error> + Send + 'static>, Error> {
        let Some(file) = file.clone() else {
            return Ok(None);
        };
        let Some(predictor) = self.predictor.clone() else {
            return Err(Error::StyleIsNamed(self.names.clone()));
        };
        let len = self.len;
        Ok(Some(move || predict(&predictor, &file, len)))
    }
}

/// Reads a painting and predicts its style vector of `len` values.
fn predict(predictor: &Predictor, file: &Path, len: usize) -> Result<Values, Error> {
    let (width, height) = predictor.size();
    let painting = painting::read(file, width, height)?;
    Ok(predictor.predict(painting, len)?.into())
}
