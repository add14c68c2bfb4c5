// SPDX-License-Identifier: MPL-2.0
//! The generator in use: from settings and a frame's layout to a session, compiled at once or in the
//! background, with a small cache of sessions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::dump;
use super::lowering::lowering;
use super::networks::{Network, Networks, ReadNetworks, predictor};
use crate::engine::session::{Blueprint, Names, Rows};
use crate::engine::{Assignment, Candidates, Choice, EngineError, Lease, Runtime, StateTensor};
use crate::graph::{self, Effects, Frame};
use crate::model::{Extent, StyleInput};
use crate::numbers::saturating_u32;
use crate::stylize::adapt::ladder::Ladder;
use crate::stylize::adapt::rungs::rungs;
use crate::stylize::background::{Background, BackgroundThreads};
use crate::stylize::mask::masks::{self, Levels};
use crate::stylize::report::Error;
use crate::stylize::settings::Settings;
use crate::stylize::stats::SessionInfo;
use crate::stylize::style::styling::Styling;

/// What compiled graphs call their inputs and outputs, as a session must know.
pub const GRAPH_NAMES: Names = Names {
    frame: graph::FRAME,
    source: graph::SOURCE,
    strength: graph::STRENGTH,
    split: graph::SPLIT,
    style: graph::STYLE,
    mask: graph::MASK,
    stability: graph::STABILITY,
    out: graph::OUT,
};

/// Size of the least-recently-used cache of sessions: a stream alternates between few layouts, and steps
/// from one size of the generator's picture to the next. Each session holds memory.
const KEPT: usize = 3;

/// Memory layouts that graphs are compiled for beside the usual one of the caps. Frames in more of
/// them are copied.
const OTHER_LAYOUTS: usize = KEPT - 1;

/// What a session is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GraphKey {
    layout: Frame,
    /// Of the picture shown to the generator, as in [`Effects`].
    inference_height: usize,
}

/// A parsed generator and the execution provider that runs it: compiles sessions. Shared with the
/// threads that compile in the background.
struct GraphCompiler {
    runtime: Arc<Runtime>,
    place: Mutex<Placement>,
    /// Other providers to fall back to. Held while a provider is tried, which loads a session; `place` is
    /// locked for moments only, so that the streaming thread never waits for a trial.
    candidates: Mutex<Candidates>,
    networks: Networks,
    effects: Effects,
    /// Where compiled graphs are written.
    dump: Option<PathBuf>,
    /// Errors that do not stop the stream, not posted yet.
    warnings: Mutex<Vec<Error>>,
}

/// The provider in use.
struct Placement {
    choice: Choice,
    /// Nodes per provider of the last compiled graph.
    assignment: Assignment,
}

/// The generator in use, with its styles and its cached sessions. Created at start or by a background
/// load, dropped at stop or when another one replaces it.
pub(crate) struct ActiveGenerator {
    compiler: Arc<GraphCompiler>,
    pub styling: Styling,
    /// The mask's file, for the first frame.
    pub mask: Option<Levels>,
    /// Sizes of the picture shown to the generator, and the one in use.
    pub ladder: Ladder,
    /// Width and height of the frames that the ladder is for.
    fitted: Option<(usize, usize)>,
    /// The warning that a generator of fixed size cannot be adapted has been posted.
    pub warned_of_fixed_size: bool,
    /// Most recently used last.
    jobs: Vec<(GraphKey, Lease)>,
    /// The compile in progress, and when it began.
    compiling: Option<(GraphKey, Instant, Background<Lease>)>,
    threads: BackgroundThreads,
    /// The default memory layout of the negotiated caps, and other layouts that have graphs of their own.
    usual: Option<Frame>,
    others: Vec<Frame>,
}

/// Result of looking for a session.
pub(crate) enum Lookup {
    Ready(Lease),
    /// Compiled just now, in this time.
    Compiled(Lease, Duration),
    Compiling,
}

impl ActiveGenerator {
    /// Loads ONNX Runtime and the generator and selects the provider. If `frame` is known, its session
    /// is compiled, too, at a generator height of at most `below`.
    pub fn load(
        settings: &Settings,
        frame: Option<&Frame>,
        below: Option<usize>,
        threads: BackgroundThreads,
    ) -> Result<Self, Error> {
        let networks = ReadNetworks::new(settings)?;
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
        let compiler = GraphCompiler {
            runtime,
            place: Mutex::new(Placement {
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
            compiler: Arc::new(compiler),
            styling,
            ladder: Ladder::default(),
            fitted: None,
            warned_of_fixed_size: false,
            compiling: None,
            threads,
            usual: frame.copied(),
            others: Vec::new(),
            mask,
        };
        if let Some(frame) = frame {
            player.fit(frame, below);
            let job = player.job(frame);
            let session = player.compiler.compile(&job, false)?;
            player.jobs.push((job, session));
        }
        Ok(player)
    }

    /// The memory layout to compile for when buffers arrive with the strides and offsets of `frame`: that
    /// layout itself (zero copy), or the `usual` layout of the caps, into which rows are repacked. Repacking
    /// costs a copy per frame; a second graph costs minutes with some providers, and a source that
    /// alternates strides would trigger compiles for ever.
    pub fn layout_for(&mut self, frame: &Frame, usual: &Frame) -> Frame {
        if self.usual.replace(*usual) != Some(*usual) {
            self.others.clear();
        }
        if frame == usual || self.others.contains(frame) {
            return *frame;
        }
        let compiles_slowly = self.compiler.place.lock().choice.on_gpu();
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
                // Interrupted by a flush: the compile goes on, and its result is fetched later.
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
        let wanted = GraphKey {
            layout: *frame,
            inference_height,
        };
        match self.compiling.as_ref().map(|(job, ..)| *job) {
            // One compile at a time: finish the other layout's first.
            Some(other) if other != wanted => {
                self.in_background(&other, true)?;
                Ok(Lookup::Compiling)
            }
            _ => self.in_background(&wanted, true),
        }
    }

    fn in_background(&mut self, job: &GraphKey, warm: bool) -> Result<Lookup, Error> {
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
                let (compiler, job) = (self.compiler.clone(), *job);
                let compile = move || compiler.compile(&job, warm);
                let session = self.threads.start("stylize-compiler", compile)?;
                self.compiling = Some((job, Instant::now(), session));
                Ok(Lookup::Compiling)
            }
        }
    }

    fn ready(&mut self, job: &GraphKey) -> Option<Lease> {
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

    fn keep(&mut self, job: GraphKey, session: Lease, begin: Instant) -> Lookup {
        if self.jobs.len() == KEPT {
            let (_, oldest) = self.jobs.remove(0);
            self.threads.dispose(oldest);
        }
        self.jobs.push((job, session.clone()));
        Lookup::Compiled(session, begin.elapsed())
    }

    fn job(&self, frame: &Frame) -> GraphKey {
        GraphKey {
            layout: *frame,
            inference_height: self.inference_height(),
        }
    }

    /// Height of the picture shown to the generator now, as in [`Effects`].
    pub fn inference_height(&self) -> usize {
        let asked = self.compiler.effects.inference_height;
        self.ladder.height().unwrap_or(asked)
    }

    /// Makes the ladder for frames of this size, which begins no higher than `below`.
    fn fit(&mut self, frame: &Frame, below: Option<usize>) {
        let size = (frame.width, frame.height);
        if self.fitted.replace(size) != Some(size) {
            self.ladder = self.compiler.ladder(size, below);
        }
    }

    /// Whether the generator takes pictures of one size only.
    pub fn has_one_size(&self) -> bool {
        let place = self.compiler.place.lock();
        let network = self.compiler.networks.at(&place.choice);
        matches!(network.signature.extent, Extent::Fixed { .. })
    }

    /// Takes the errors that did not stop the stream since the last call.
    pub fn warnings(&self) -> Vec<Error> {
        std::mem::take(&mut *self.compiler.warnings.lock())
    }

    /// Concurrent runs of its provider, at least 1.
    pub fn streams(&self) -> usize {
        self.compiler.place.lock().choice.options.streams
    }

    /// What `stats` and the log say about frames of this size.
    pub fn session_info(&self, width: u32, height: u32) -> SessionInfo {
        let effects = self.compiler.effects_at(self.inference_height());
        self.compiler.session_info(width, height, effects)
    }
}

impl GraphCompiler {
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

    /// Compiles a session; with `warm` it is run once, too. With execution-provider=auto, a provider that
    /// cannot run the graph is replaced by the next candidate for good.
    fn compile(&self, job: &GraphKey, warm: bool) -> Result<Lease, Error> {
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
            // Another compile may have advanced to the next provider already.
            if self.place.lock().choice == choice {
                candidates.pass_over(choice.provider, error);
                let next = candidates.advance()?;
                self.place.lock().choice = next;
            }
        }
    }

    /// On this provider; with `verify` the graph is run once, too.
    fn compile_on(&self, choice: &Choice, job: &GraphKey, verify: bool) -> Result<Lease, Error> {
        let network = self.networks.at(choice);
        let Network {
            model, signature, ..
        } = network;
        let effects = self.effects_at(job.inference_height);
        let frame = &job.layout;
        let graph = graph::compile(model, signature, frame, effects, lowering(choice))
            .map_err(Error::of_graph(&network.name))?;
        if let Some(Err(err)) = self.dump.as_ref().map(|file| dump::write(file, &graph)) {
            self.warnings.lock().push(err);
        }
        let (height, width) = effects.sizes(signature, frame.width, frame.height).picture;
        let noise = model.noise().iter();
        let blueprint = Blueprint {
            names: GRAPH_NAMES,
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

    fn session_info(&self, width: u32, height: u32, effects: Effects) -> SessionInfo {
        let place = self.place.lock();
        let network = self.networks.at(&place.choice);
        let (wide, high) = (width as usize, height as usize);
        let sizes = effects.sizes(&network.signature, wide, high);
        let options = &place.choice.options;
        SessionInfo {
            provider: place.choice.provider.nick(),
            precision: place.choice.precision.nick(),
            device: options.device.clone().unwrap_or_default(),
            threads: saturating_u32(options.threads),
            frames_in_flight: saturating_u32(options.streams),
            nodes: saturating_u32(place.assignment.provider),
            nodes_on_cpu: saturating_u32(place.assignment.cpu),
            runtime: self.runtime.version().to_string(),
            model: network.name.clone(),
            signature: network.signature.to_string(),
            frame: (width, height),
            inference: (saturating_u32(sizes.shown.1), saturating_u32(sizes.shown.0)),
            picture: (
                saturating_u32(sizes.picture.1),
                saturating_u32(sizes.picture.0),
            ),
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::engine::Provider;
    use crate::stylize::stream::frame::usual_layout;

    #[test]
    fn nobody_who_streams_waits_for_a_provider_s_trial() {
        gst::init().expect("GStreamer");
        let settings = Settings {
            provider: Provider::Cpu,
            ..Settings::default()
        };
        let threads = BackgroundThreads::default();
        let mut player = ActiveGenerator::load(&settings, None, None, threads).expect("loaded");
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, 64, 48);
        let frame = usual_layout(&info.build().expect("caps")).expect("a layout");
        let compiler = player.compiler.clone();
        let trial = compiler.candidates.lock();
        let (sender, done) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                player.layout_for(&frame, &frame);
                player.has_one_size();
                player.session_info(64, 48);
                assert_eq!(player.streams(), 1);
                let found = player.session(&frame, false).expect("begun");
                let _ = sender.send(matches!(found, Lookup::Compiling));
            });
            // Long before, unless it waits for the trial, which ends after this.
            let seen = done.recv_timeout(Duration::from_secs(60));
            drop(trial);
            assert_eq!(seen, Ok(true));
        });
    }
}
