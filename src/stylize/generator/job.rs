// SPDX-License-Identifier: MPL-2.0
//! From settings and a frame's layout to a session that stylizes such frames.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::dump;
use super::forms::forms;
use super::networks::{Network, Networks, Read, predictor};
use crate::engine::session::{Blueprint, Names, Rows};
use crate::engine::{Assignment, Candidates, Choice, EngineError, Lease, Runtime, StateTensor};
use crate::graph::{self, Effects, Frame};
use crate::model::{Extent, StyleInput};
use crate::stylize::adapt::ladder::Ladder;
use crate::stylize::adapt::rungs::rungs;
use crate::stylize::background::{Background, BackgroundThreads};
use crate::stylize::mask::masks::{self, Levels};
use crate::stylize::report::Error;
use crate::stylize::settings::Settings;
use crate::stylize::stats::Facts;
use crate::stylize::style::styling::Styling;

/// Sessions kept that were used lately: a stream changes between few layouts, and from one size of the
/// generator's picture to the next. More would be memory for sizes that may not come again.
const KEPT: usize = 3;

/// Memory layouts that graphs are compiled for beside the usual one of the caps. Frames in more of
/// them are copied.
const OTHER_LAYOUTS: usize = KEPT - 1;

/// What a session is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Job {
    layout: Frame,
    /// Of the picture shown to the generator, as in [`Effects`].
    inference_height: usize,
}

/// A generator that is loaded and understood, and the place where it runs.
struct Generator {
    runtime: Arc<Runtime>,
    place: Mutex<Place>,
    /// Locked while one of them is tried, which takes its time: never together with `place`.
    candidates: Mutex<Candidates>,
    networks: Networks,
    effects: Effects,
    /// Where compiled graphs are written.
    dump: Option<PathBuf>,
    /// What went wrong without harm, and has not been told yet.
    warnings: Mutex<Vec<Error>>,
}

/// Where a generator runs.
struct Place {
    choice: Choice,
    /// Of the graph that was compiled last.
    assignment: Assignment,
}

/// A generator with its styles and the sessions compiled so far. Made when the element starts,
/// dropped when it stops or another one takes its place.
pub(crate) struct Player {
    generator: Arc<Generator>,
    pub styling: Styling,
    /// The mask's file, for the first frame.
    pub mask: Option<Levels>,
    /// Sizes of the picture shown to the generator, and the one in use.
    pub ladder: Ladder,
    /// Width and height of the frames that the ladder is for.
    fitted: Option<(usize, usize)>,
    /// The user knows that its size cannot be adapted.
    pub told_of_size: bool,
    /// Most recently used last.
    jobs: Vec<(Job, Lease)>,
    /// What is being compiled, since when.
    compiling: Option<(Job, Instant, Background<Lease>)>,
    threads: BackgroundThreads,
    /// The layout that the caps stand for, and other ones that graphs are compiled for.
    usual: Option<Frame>,
    others: Vec<Frame>,
}

/// A session, if there is one.
pub(crate) enum Lookup {
    Ready(Lease),
    /// The same, and the time that it took.
    Compiled(Lease, Duration),
    Compiling,
}

impl Player {
    /// Loads ONNX Runtime and the generator and decides where it runs. Compiles for `frame` if it is
    /// known already, and no higher than `below` for the generator.
    pub fn load(
        settings: &Settings,
        frame: Option<&Frame>,
        below: Option<usize>,
        threads: BackgroundThreads,
    ) -> Result<Self, Error> {
        let networks = Read::new(settings)?;
        // Without its mask a stream does not begin; one that plays goes on with the one it has.
        let mask = match frame {
            None => masks::load(&settings.mask)?,
            Some(_) => None,
        };
        let runtime = Runtime::get(settings.runtime_library.as_deref())?;
        let options = settings.options().map_err(Error::ProviderOption)?;
        let (provider, precision) = (settings.provider, settings.precision);
        let mut candidates = Candidates::new(runtime.clone(), provider, precision, options);
        let choice = candidates.advance()?;
        let networks = networks.understood(&runtime)?;
        let network = networks.at(&choice);
        let predictor = predictor(&runtime, settings)?;
        let styling = Styling::new(
            &network.model.name(&network.name),
            network.model.style(),
            predictor,
            &settings.style,
        )?;
        let generator = Generator {
            runtime,
            place: Mutex::new(Place {
                choice,
                assignment: Assignment::default(),
            }),
            candidates: Mutex::new(candidates),
            networks,
            effects: settings.effects(),
            dump: settings.dump_graph.clone(),
            warnings: Mutex::default(),
        };
        let mut player = Self {
            jobs: Vec::new(),
            generator: Arc::new(generator),
            styling,
            ladder: Ladder::default(),
            fitted: None,
            told_of_size: false,
            compiling: None,
            threads,
            usual: frame.copied(),
            others: Vec::new(),
            mask,
        };
        if let Some(frame) = frame {
            player.fit(frame, below);
            let job = player.job(frame);
            let session = player.generator.compile(&job, false)?;
            player.jobs.push((job, session));
        }
        Ok(player)
    }

    /// The layout of the graph for frames that lie in memory like `frame`: their own, or the `usual`
    /// one of their caps, to which their rows are copied then. That is a copy for each frame, where
    /// another graph would cost minutes with some providers; and a source whose strides change all the
    /// time would have graphs compiled for ever.
    pub fn layout_for(&mut self, frame: &Frame, usual: &Frame) -> Frame {
        if self.usual.replace(*usual) != Some(*usual) {
            self.others.clear();
        }
        if frame == usual || self.others.contains(frame) {
            return *frame;
        }
        let compiles_slowly = self.generator.place.lock().choice.on_gpu();
        let adapted = self.ladder.rung() > 0;
        let busy = self.compiling.is_some();
        if compiles_slowly || adapted || busy || self.others.len() >= OTHER_LAYOUTS {
            return *usual;
        }
        self.others.push(*frame);
        *frame
    }

    /// The session for frames of this layout. If there is none, it is compiled in the background; with
    /// `wait` that is waited for.
    pub fn session(&mut self, frame: &Frame, wait: bool) -> Result<Lookup, Error> {
        self.fit(frame, self.ladder.below());
        let job = self.job(frame);
        let found = self.in_background(&job, false)?;
        match (&found, &self.compiling) {
            (Lookup::Compiling, Some((_, begin, session))) if wait => {
                let begin = *begin;
                // Interrupted, it goes on, and will be asked for again.
                let session = match session.wait() {
                    Err(err @ Error::Engine(EngineError::Cancelled)) => return Err(err),
                    result => result,
                };
                self.compiling = None;
                Ok(self.keep(job, session?, begin))
            }
            _ => Ok(found),
        }
    }

    /// The session for frames of this layout, if there is one.
    pub fn existing(&mut self, frame: &Frame) -> Option<Lease> {
        let job = self.job(frame);
        self.ready(&job)
    }

    /// The session for another height of the generator's picture, compiled in the background and run
    /// once, so that its first frame takes no longer than the others.
    pub fn prepare(&mut self, frame: &Frame, inference_height: usize) -> Result<Lookup, Error> {
        let wanted = Job {
            layout: *frame,
            inference_height,
        };
        match self.compiling.as_ref().map(|(job, ..)| *job) {
            // Buffers may come in two layouts in turn: one after the other.
            Some(other) if other != wanted => {
                self.in_background(&other, true)?;
                Ok(Lookup::Compiling)
            }
            _ => self.in_background(&wanted, true),
        }
    }

    fn in_background(&mut self, job: &Job, warm: bool) -> Result<Lookup, Error> {
        if let Some(session) = self.ready(job) {
            return Ok(Lookup::Ready(session));
        }
        match self.compiling.take() {
            Some((known, begin, session)) if known == *job => match session.poll() {
                Some(session) => Ok(self.keep(known, session?, begin)),
                None => {
                    self.compiling = Some((known, begin, session));
                    Ok(Lookup::Compiling)
                }
            },
            _ => {
                let (generator, job) = (self.generator.clone(), *job);
                let compile = move || generator.compile(&job, warm);
                let session = self.threads.start("stylize-compiler", compile)?;
                self.compiling = Some((job, Instant::now(), session));
                Ok(Lookup::Compiling)
            }
        }
    }

    fn ready(&mut self, job: &Job) -> Option<Lease> {
        let index = self.jobs.iter().position(|(known, _)| known == job)?;
        self.jobs[index..].rotate_left(1);
        self.jobs.last().map(|(_, session)| session.clone())
    }

    /// Whether there is a session for this layout, or there will be.
    pub fn knows(&self, frame: &Frame) -> bool {
        let wanted = self.job(frame);
        let compiling = self.compiling.as_ref().map(|(job, ..)| job);
        let ready = self.jobs.iter().map(|(job, _)| job);
        ready.chain(compiling).any(|job| *job == wanted)
    }

    fn keep(&mut self, job: Job, session: Lease, begin: Instant) -> Lookup {
        if self.jobs.len() == KEPT {
            let (_, oldest) = self.jobs.remove(0);
            self.threads.dispose(oldest);
        }
        self.jobs.push((job, session.clone()));
        Lookup::Compiled(session, begin.elapsed())
    }

    fn job(&self, frame: &Frame) -> Job {
        Job {
            layout: *frame,
            inference_height: self.inference_height(),
        }
    }

    /// Height of the picture shown to the generator now, as in [`Effects`].
    pub fn inference_height(&self) -> usize {
        let asked = self.generator.effects.inference_height;
        self.ladder.height().unwrap_or(asked)
    }

    /// Makes the ladder for frames of this size, which begins no higher than `below`.
    fn fit(&mut self, frame: &Frame, below: Option<usize>) {
        let size = (frame.width, frame.height);
        if self.fitted.replace(size) != Some(size) {
            self.ladder = self.generator.ladder(size, below);
        }
    }

    /// Whether the generator takes pictures of one size only.
    pub fn has_one_size(&self) -> bool {
        let place = self.generator.place.lock();
        let network = self.generator.networks.at(&place.choice);
        matches!(network.signature.extent, Extent::Fixed { .. })
    }

    /// What went wrong without harm since this was asked last.
    pub fn warnings(&self) -> Vec<Error> {
        std::mem::take(&mut *self.generator.warnings.lock())
    }

    /// Frames that it computes at once, at least 1.
    pub fn streams(&self) -> usize {
        self.generator.place.lock().choice.options.streams
    }

    /// What to tell the user about frames of this size.
    pub fn facts(&self, width: u32, height: u32) -> Facts {
        let effects = self.generator.effects_at(self.inference_height());
        self.generator.facts(width, height, effects)
    }
}

impl Generator {
    fn effects_at(&self, inference_height: usize) -> Effects {
        Effects {
            inference_height,
            ..self.effects
        }
    }

    /// The heights at which it can be shown frames of this size.
    fn ladder(&self, (width, height): (usize, usize), below: Option<usize>) -> Ladder {
        let place = self.place.lock();
        let signature = &self.networks.at(&place.choice).signature;
        let sizes = |lines| self.effects_at(lines).sizes(signature, width, height);
        let pixels = |lines| {
            let (high, wide) = sizes(lines).picture;
            high * wide
        };
        let floor = match signature.extent {
            Extent::Any { minimum, .. } => minimum,
            Extent::Fixed { height, .. } => height,
        };
        let top = sizes(self.effects.inference_height).shown.0;
        Ladder::new(rungs(top, floor, pixels), below)
    }

    /// Compiles for frames of this layout; with `warm` the graph is run once, too. Where the user left
    /// the choice of the provider, one that cannot run the graph is passed over for good.
    fn compile(&self, job: &Job, warm: bool) -> Result<Lease, Error> {
        loop {
            let choice = self.place.lock().choice.clone();
            let more = self.candidates.lock().more();
            let error = match self.compile_on(&choice, job, more || warm) {
                Ok(lease) => {
                    self.place.lock().assignment = lease.assignment();
                    return Ok(lease);
                }
                Err(err @ Error::Engine(EngineError::Cancelled)) => return Err(err),
                Err(Error::Refused { error, .. } | Error::Engine(error)) if more => error,
                Err(err) => return Err(err),
            };
            let mut candidates = self.candidates.lock();
            // Another thread may have gone on already.
            if self.place.lock().choice == choice {
                candidates.pass_over(choice.provider, error);
                let next = candidates.advance()?;
                self.place.lock().choice = next;
            }
        }
    }

    /// On this provider; with `verify` the graph is run once, too.
    fn compile_on(&self, choice: &Choice, job: &Job, verify: bool) -> Result<Lease, Error> {
        let network = self.networks.at(choice);
        let Network {
            model, signature, ..
        } = network;
        let effects = self.effects_at(job.inference_height);
        let frame = &job.layout;
        let graph = graph::compile(model, signature, frame, effects, forms(choice))
            .map_err(Error::of_graph(&network.name))?;
        if let Some(Err(err)) = self.dump.as_ref().map(|file| dump::write(file, &graph)) {
            self.warnings.lock().push(err);
        }
        let names = Names {
            frame: graph::FRAME,
            source: graph::SOURCE,
            strength: graph::STRENGTH,
            split: graph::SPLIT,
            style: graph::STYLE,
            mask: graph::MASK,
            stability: graph::STABILITY,
            out: graph::OUT,
        };
        let (height, width) = effects.sizes(signature, frame.width, frame.height).picture;
        let noise = model.noise().iter();
        let blueprint = Blueprint {
            names,
            style: model.style().map(StyleInput::size),
            noise: noise
                .map(|noise| (noise.name.clone(), noise.shape(width, height)))
                .collect(),
            mask: effects.mask.then_some([1, 1, frame.height, frame.width]),
            states: effects.states(frame).into_iter().map(state).collect(),
        };
        let lease = || -> Result<Lease, EngineError> {
            let lease = Lease::new(&self.runtime, &graph, choice, &blueprint)?;
            if verify {
                let rows = |memory| Rows::from(frame.shape(memory));
                lease.try_run(rows(&frame.source), rows(&frame.target))?;
            }
            Ok(lease)
        };
        lease().map_err(|err| Error::of_engine(&network.name, err))
    }

    fn facts(&self, width: u32, height: u32, effects: Effects) -> Facts {
        let place = self.place.lock();
        let network = self.networks.at(&place.choice);
        let (wide, high) = (width as usize, height as usize);
        let sizes = effects.sizes(&network.signature, wide, high);
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
            model: network.name.clone(),
            signature: network.signature.to_string(),
            frame: (width, height),
            inference: (number(sizes.shown.1), number(sizes.shown.0)),
            picture: (number(sizes.picture.1), number(sizes.picture.0)),
            upscale: nick(effects.upscale),
            color: nick(effects.colour),
        }
    }
}

/// The nick of a registered enum's value.
fn nick(value: impl Into<gst::glib::Value>) -> String {
    let value = value.into();
    let found = gst::glib::EnumValue::from_value(&value);
    found.map_or_else(String::new, |(_, value)| value.nick().to_string())
}

/// What the engine needs to know of a tensor that goes from frame to frame.
fn state(state: graph::State) -> StateTensor {
    StateTensor {
        input: state.input,
        output: state.output,
        shape: state.shape,
    }
}
