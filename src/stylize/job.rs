// SPDX-License-Identifier: MPL-2.0
//! From settings and a frame's layout to a session that stylizes such frames.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::background::Background;
use super::report::Error;
use super::settings::Settings;
use super::stats::Facts;
use super::style::Styling;
use crate::engine::session::{Blueprint, Names};
use crate::engine::{self, Choice, Lease, Predictor, Provider, Runtime, probe, provider};
use crate::gallery;
use crate::graph::{self, Blend, Forms, Frame};
use crate::model::{self, Model, Signature, StyleInput, metadata, modelinfo};

/// Sessions kept for layouts met lately: a stream changes between few.
const KEPT: usize = 3;

/// A generator that is loaded and understood, and the place where it runs.
struct Generator {
    runtime: Arc<Runtime>,
    choice: Choice,
    model: Model,
    signature: Signature,
    name: String,
}

/// A generator with its styles and the sessions compiled so far. Made when the element starts,
/// dropped when it stops or another one takes its place.
pub(super) struct Player {
    generator: Arc<Generator>,
    pub styling: Styling,
    /// Most recently used last.
    jobs: Vec<(Frame, Lease)>,
    /// What is being compiled, since when.
    compiling: Option<(Frame, Instant, Background<Lease>)>,
}

/// A session, if there is one.
pub(super) enum Lookup {
    Ready(Lease),
    /// The same, and the time that it took.
    Compiled(Lease, Duration),
    Compiling,
}

impl Player {
    /// Loads ONNX Runtime and the generator and decides where it runs. Compiles for `frame` if it is
    /// known already.
    pub fn load(settings: &Settings, frame: Option<&Frame>) -> Result<Self, Error> {
        let facts = settings
            .facts()
            .map_err(|(name, value)| Error::Property { name, value })?;
        let file = file(settings);
        let name = name(file.as_deref());
        let (model, facts) = read(file.as_deref(), facts).map_err(Error::of_model(&name))?;

        let runtime = Runtime::get(settings.runtime_library.as_deref())?;
        let threads = settings.threads as usize;
        let choice = provider::choose(
            &runtime,
            settings.provider,
            settings.precision,
            threads,
            settings.streams(),
        )?;
        // A user's file is run once even if it says all about itself: what cannot run is refused
        // here, when the element starts, and not in the middle of the stream.
        let facts = if file.is_some() || Signature::needs_probe(&model, &facts) {
            let found = probe::probe(&runtime, &model, &facts);
            facts.or(found.map_err(|err| Error::of_engine(&name, err))?)
        } else {
            facts
        };
        let signature = Signature::resolve(&model, &facts);
        let predictor = predictor(&runtime, settings, file.as_deref())?;
        let styling = Styling::new(
            &model.name(&name),
            model.style(),
            predictor,
            &settings.style,
        )?;
        let generator = Generator {
            runtime,
            choice,
            model,
            signature,
            name,
        };
        let jobs = frame.map(|frame| Ok::<_, Error>((*frame, generator.compile(frame)?)));
        Ok(Self {
            jobs: jobs.transpose()?.into_iter().collect(),
            generator: Arc::new(generator),
            styling,
            compiling: None,
        })
    }

    /// The session for frames of this layout. If there is none, it is compiled: here and now, or in
    /// the background if the stream does not `wait` for it.
    pub fn session(&mut self, frame: &Frame, wait: bool) -> Result<Lookup, Error> {
        if let Some(index) = self.jobs.iter().position(|(known, _)| known == frame) {
            self.jobs[index..].rotate_left(1);
            if let Some((_, session)) = self.jobs.last() {
                return Ok(Lookup::Ready(session.clone()));
            }
        }
        let begin = Instant::now();
        if wait {
            let session = self.generator.compile(frame)?;
            return Ok(self.keep(frame, session, begin));
        }
        match self.compiling.take() {
            Some((layout, begin, session)) if layout == *frame => match session.poll() {
                Some(session) => Ok(self.keep(frame, session?, begin)),
                None => {
                    self.compiling = Some((layout, begin, session));
                    Ok(Lookup::Compiling)
                }
            },
            _ => {
                let (generator, layout) = (self.generator.clone(), *frame);
                let compile = move || generator.compile(&layout);
                let session = Background::start("stylize-compiler", compile)?;
                self.compiling = Some((layout, begin, session));
                Ok(Lookup::Compiling)
            }
        }
    }

    /// Whether there is a session for this layout, or there will be.
    pub fn knows(&self, frame: &Frame) -> bool {
        let compiling = self.compiling.as_ref().map(|(layout, ..)| layout);
        let ready = self.jobs.iter().map(|(layout, _)| layout);
        ready.chain(compiling).any(|layout| layout == frame)
    }

    fn keep(&mut self, frame: &Frame, session: Lease, begin: Instant) -> Lookup {
        if self.jobs.len() == KEPT {
            self.jobs.remove(0);
        }
        self.jobs.push((*frame, session.clone()));
        Lookup::Compiled(session, begin.elapsed())
    }

    /// What to tell the user about frames of this size.
    pub fn facts(&self, width: u32, height: u32) -> Facts {
        self.generator.facts(width, height)
    }
}

impl Generator {
    fn compile(&self, frame: &Frame) -> Result<Lease, Error> {
        let graph = graph::compile(&self.model, &self.signature, frame, self.forms())
            .map_err(Error::of_graph(&self.name))?;
        let names = Names {
            frame: graph::FRAME,
            source: graph::SOURCE,
            strength: graph::STRENGTH,
            style: graph::STYLE,
            out: graph::OUT,
        };
        let (width, height) = self.signature.picture_size(frame.width, frame.height);
        let noise = self.model.noise().iter();
        let blueprint = Blueprint {
            names,
            style: self.model.style().map(StyleInput::size),
            noise: noise
                .map(|noise| (noise.name.clone(), noise.shape(width, height)))
                .collect(),
        };
        Lease::new(&self.runtime, &graph, &self.choice, &blueprint)
            .map_err(|err| Error::of_engine(&self.name, err))
    }

    /// Measured for the CPU providers; see `docs/decisions.md`.
    fn forms(&self) -> Forms {
        Forms {
            blend: match self.choice.provider {
                Provider::Cpu => Blend::Branch,
                _ => Blend::Always,
            },
            early_pad: self.choice.provider == Provider::OpenVino,
        }
    }

    fn facts(&self, width: u32, height: u32) -> Facts {
        let picture = self.signature.picture_size(width as usize, height as usize);
        Facts {
            provider: self.choice.provider.nick(),
            precision: self.choice.precision.nick(),
            threads: u32::try_from(self.choice.threads).unwrap_or(0),
            frames_in_flight: u32::try_from(self.choice.streams).unwrap_or(0),
            runtime: self.runtime.version().to_string(),
            model: self.name.clone(),
            signature: self.signature.to_string(),
            frame: (width, height),
            picture: (
                u32::try_from(picture.0).unwrap_or(0),
                u32::try_from(picture.1).unwrap_or(0),
            ),
        }
    }
}

/// The model file that the settings mean; `None`: the built-in generator.
fn file(settings: &Settings) -> Option<PathBuf> {
    let models = engine::runtime::data_dir().map(|dir| dir.join("models"));
    let file = settings.model_file.as_deref()?;
    Some(gallery::resolve(file, models.as_deref()))
}

/// The styles of the generator that the settings mean; none if it cannot be read.
pub(super) fn styles(settings: &Settings) -> Vec<String> {
    let file = file(settings);
    let Ok((model, _)) = read(file.as_deref(), model::Facts::default()) else {
        return Vec::new();
    };
    match model.style() {
        Some(style) if style.has_weights() => style.styles(),
        Some(_) => Vec::new(),
        None => vec![model.name(&name(file.as_deref()))],
    }
}

/// How a generator is called in messages.
fn name(file: Option<&Path>) -> String {
    file.map_or(gallery::DEFAULT_NAME.into(), |file| {
        file.display().to_string()
    })
}

/// The style predictor that the property or the model's sidecar names.
fn predictor(
    runtime: &Runtime,
    settings: &Settings,
    model: Option<&Path>,
) -> Result<Option<Predictor>, Error> {
    let file = match (&settings.style.predictor, model) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(model)) => {
            modelinfo::predictor(model).map_err(Error::of_model(&name(Some(model))))?
        }
        (None, None) => None,
    };
    let Some(file) = file else {
        return Ok(None);
    };
    let called = file.display().to_string();
    let bytes = Model::read(&file).map_err(Error::of_model(&called))?;
    let predictor = Predictor::load(runtime, &bytes);
    Ok(Some(
        predictor.map_err(|err| Error::of_engine(&called, err))?,
    ))
}

/// The model with the facts that properties, sidecar and metadata state.
fn read(
    file: Option<&Path>,
    properties: model::Facts,
) -> Result<(Model, model::Facts), model::ModelError> {
    match file {
        None => {
            let model = Model::parse(gallery::DEFAULT)?;
            let facts = properties.or(metadata::facts(&model)?);
            Ok((model, facts))
        }
        Some(file) => {
            let mut model = Model::parse(&Model::read(file)?)?;
            let facts = properties
                .or(modelinfo::facts(&mut model, file)?)
                .or(metadata::facts(&model)?);
            Ok((model, facts))
        }
    }
}

impl Facts {
    /// One line for the log.
    pub fn line(&self) -> String {
        format!(
            "{} on {} in {} (ONNX Runtime {}): {}x{} frames as {}x{} pictures; {}",
            self.model,
            self.provider,
            self.precision,
            self.runtime,
            self.frame.0,
            self.frame.1,
            self.picture.0,
            self.picture.1,
            self.signature
        )
    }
}
