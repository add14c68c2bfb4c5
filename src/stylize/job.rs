// SPDX-License-Identifier: MPL-2.0
//! From settings and a frame's layout to a session that stylizes such frames.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::background::Background;
use super::report::Error;
use super::settings::Settings;
use super::stats::Facts;
use super::style::Styling;
use crate::engine::session::{Blueprint, Names, Rows};
use crate::engine::{
    self, Assignment, Candidates, Choice, EngineError, Lease, Predictor, Provider, Runtime, probe,
};
use crate::gallery;
use crate::graph::{self, Blend, Forms, Frame};
use crate::model::{self, Model, Signature, StyleInput, metadata, modelinfo};

/// Sessions kept for layouts met lately: a stream changes between few.
const KEPT: usize = 3;

/// A generator that is loaded and understood, and the place where it runs.
struct Generator {
    runtime: Arc<Runtime>,
    place: Mutex<Place>,
    model: Model,
    signature: Signature,
    name: String,
}

/// Where a generator runs, and where else it could.
struct Place {
    choice: Choice,
    candidates: Candidates,
    /// Of the graph that was compiled last.
    assignment: Assignment,
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
        let options = settings.options().map_err(Error::ProviderOption)?;
        let (provider, precision) = (settings.provider, settings.precision);
        let mut candidates = Candidates::new(runtime.clone(), provider, precision, options);
        let choice = candidates.advance()?;
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
            place: Mutex::new(Place {
                choice,
                candidates,
                assignment: Assignment::default(),
            }),
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

    /// Frames that it computes at once, at least 1.
    pub fn streams(&self) -> usize {
        self.generator.place.lock().choice.options.streams
    }

    /// What to tell the user about frames of this size.
    pub fn facts(&self, width: u32, height: u32) -> Facts {
        self.generator.facts(width, height)
    }
}

impl Generator {
    /// Compiles for frames of this layout. Where the user left the choice of the provider, one that
    /// cannot run the graph is passed over for good.
    fn compile(&self, frame: &Frame) -> Result<Lease, Error> {
        loop {
            let (choice, more) = {
                let place = self.place.lock();
                (place.choice.clone(), place.candidates.more())
            };
            let error = match self.compile_on(&choice, frame, more) {
                Ok(lease) => {
                    self.place.lock().assignment = lease.assignment();
                    return Ok(lease);
                }
                Err(Error::Refused { error, .. } | Error::Engine(error)) if more => error,
                Err(err) => return Err(err),
            };
            let mut place = self.place.lock();
            // Another thread may have gone on already.
            if place.choice == choice {
                place.candidates.pass_over(choice.provider, error);
                place.choice = place.candidates.advance()?;
            }
        }
    }

    /// On this provider; with `verify` the graph is run once, too.
    fn compile_on(&self, choice: &Choice, frame: &Frame, verify: bool) -> Result<Lease, Error> {
        let graph = graph::compile(&self.model, &self.signature, frame, forms(choice))
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
        let lease = || -> Result<Lease, EngineError> {
            let lease = Lease::new(&self.runtime, &graph, choice, &blueprint)?;
            if verify {
                let rows = |memory| Rows::from(frame.shape(memory));
                lease.try_run(rows(&frame.source), rows(&frame.target))?;
            }
            Ok(lease)
        };
        lease().map_err(|err| Error::of_engine(&self.name, err))
    }

    fn facts(&self, width: u32, height: u32) -> Facts {
        let picture = self.signature.picture_size(width as usize, height as usize);
        let place = self.place.lock();
        let options = &place.choice.options;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Facts {
            provider: place.choice.provider.nick(),
            precision: place.choice.precision.nick(),
            device: options.device.clone().unwrap_or_default(),
            threads: number(options.threads),
            frames_in_flight: number(options.streams),
            nodes: number(place.assignment.provider),
            nodes_on_cpu: number(place.assignment.cpu),
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

/// Measured for the CPU providers; see `docs/decisions.md`.
fn forms(choice: &Choice) -> Forms {
    Forms {
        blend: match choice.provider {
            Provider::Cpu => Blend::Branch,
            _ => Blend::Always,
        },
        early_pad: choice.provider == Provider::OpenVino,
        half: choice.wants_half_graph(),
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
    /// Provider, device and precision.
    pub fn place(&self) -> (&str, &str, &str) {
        (self.provider, &self.device, self.precision)
    }

    /// Whether a graph has been compiled.
    pub fn compiled(&self) -> bool {
        self.nodes + self.nodes_on_cpu > 0
    }

    /// One line for the log.
    pub fn line(&self) -> String {
        let device = match self.device.as_str() {
            "" => String::new(),
            device => format!(" {device}"),
        };
        format!(
            "{} on {}{device} in {} (ONNX Runtime {}): {} nodes there, {} on the CPU; {}x{} frames as {}x{} pictures; {}",
            self.model,
            self.provider,
            self.precision,
            self.runtime,
            self.nodes,
            self.nodes_on_cpu,
            self.frame.0,
            self.frame.1,
            self.picture.0,
            self.picture.1,
            self.signature
        )
    }
}
