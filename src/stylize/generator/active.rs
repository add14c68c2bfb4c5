// SPDX-License-Identifier: MPL-2.0
//! The generator in use: compiles a session for a frame's layout, at once or in the background, and keeps the
//! latest sessions in a small cache.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::dump;
use super::lowering::lowering;
use super::networks::{Network, Networks, ReadNetworks, predictor};
use crate::engine::session::{Blueprint, Names, Rows};
use crate::engine::{
    Assignment, Candidates, Choice, EngineError, Lease, Runtime, StateTensor, exit,
};
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

/// Names of the inputs and outputs of compiled graphs.
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

/// Capacity of the least-recently-used cache of sessions, each of which holds memory.
const KEPT: usize = 3;

/// Number of memory layouts beside the caps' default for which graphs are compiled; frames in others are copied.
const OTHER_LAYOUTS: usize = KEPT - 1;

/// Key of a session in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GraphKey {
    layout: Frame,
    /// As [`Effects::inference_height`].
    inference_height: usize,
}

/// A parsed generator and the execution provider that runs it: compiles sessions. Shared with the
/// threads that compile in the background.
struct GraphCompiler {
    runtime: Arc<Runtime>,
    placement: Mutex<Placement>,
    /// Other providers to fall back to. Locked during a trial, for which the streaming thread never waits.
    candidates: Mutex<Candidates>,
    networks: Networks,
    effects: Effects,
    /// File to which compiled graphs are written.
    dump: Option<PathBuf>,
    /// Errors that do not stop the stream and have not been posted yet.
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
    /// The mask file that was read at start, until the first frame takes it.
    pub mask: Option<Levels>,
    /// Sizes of the picture shown to the generator, and the one in use.
    pub ladder: Ladder,
    /// Width and height of the frames for which `ladder` was made.
    fitted: Option<(usize, usize)>,
    /// Whether the warning that a generator of fixed size cannot be adapted has been posted.
    pub warned_of_fixed_size: bool,
    /// Cache of sessions, most recently used last.
    sessions: Vec<(GraphKey, Lease)>,
    /// The compile in progress, and when it began.
    compiling: Option<(GraphKey, Instant, Background<Lease>)>,
    threads: BackgroundThreads,
    /// The default memory layout of the negotiated caps.
    usual: Option<Frame>,
    /// Other memory layouts for which graphs are compiled, [`OTHER_LAYOUTS`] at most.
    others: Vec<Frame>,
}

/// Result of looking up a session.
pub(crate) enum Lookup {
    /// The session was in the cache.
    Ready(Lease),
    /// The session has just been compiled, in this time.
    Compiled(Lease, Duration),
    /// The session is being compiled in the background.
    Compiling,
}

impl ActiveGenerator {
    /// Loads ONNX Runtime and the generator, selects the provider, and compiles the session for `frame`, if given;
    /// `below` is the argument of [`Ladder::new`].
    ///
    /// # Errors
    /// Those of files, settings, provider and compiler.
    pub fn load(
        settings: &Settings,
        frame: Option<&Frame>,
        below: Option<usize>,
        threads: BackgroundThreads,
    ) -> Result<Self, Error> {
        // Before any lock: it does not return once the process is ending.
        let _inside = exit::inside();
        let networks = ReadNetworks::new(settings)?;
        // A missing mask file is an error at start; while playing, the previous mask stays in use.
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
            placement: Mutex::new(Placement {
                choice,
                assignment: Assignment::default(),
            }),
            candidates: Mutex::new(candidates),
            networks,
            effects: settings.effects(),
            dump: settings.dump_graph.clone(),
            warnings: Mutex::default(),
        };
        let mut generator = Self {
            sessions: Vec::new(),
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
            generator.fit(frame, below);
            let key = generator.key(frame);
            let session = generator.compiler.compile(&key, false)?;
            generator.sessions.push((key, session));
        }
        Ok(generator)
    }

    /// The memory layout to compile for when buffers arrive with the strides and offsets of `frame`: that layout
    /// itself (zero copy), or the `usual` layout of the caps, into which rows are repacked, where another graph would
    /// take minutes to compile or the source has many layouts.
    pub fn layout_for(&mut self, frame: &Frame, usual: &Frame) -> Frame {
        if self.usual.replace(*usual) != Some(*usual) {
            self.others.clear();
        }
        if frame == usual || self.others.contains(frame) {
            return *frame;
        }
        let compiles_slowly = self.compiler.placement.lock().choice.on_gpu();
        let adapted = self.ladder.rung() > 0;
        let busy = self.compiling.is_some();
        if compiles_slowly || adapted || busy || self.others.len() >= OTHER_LAYOUTS {
            return *usual;
        }
        self.others.push(*frame);
        *frame
    }

    /// The session for frames of this layout. If there is none, it is compiled in the background; with `wait`,
    /// this function waits for it.
    ///
    /// # Errors
    /// Those of the compiler and of loading; [`EngineError::Cancelled`] if the wait is interrupted by a flush.
    pub fn session(&mut self, frame: &Frame, wait: bool) -> Result<Lookup, Error> {
        self.fit(frame, self.ladder.below());
        let key = self.key(frame);
        let found = self.in_background(&key, false)?;
        match (&found, &self.compiling) {
            (Lookup::Compiling, Some((_, begin, session))) if wait => {
                let begin = *begin;
                // Interrupted by a flush: the compile goes on, and its result is fetched later.
                let session = match session.wait() {
                    Err(err @ Error::Engine(EngineError::Cancelled)) => return Err(err),
                    result => result,
                };
                self.compiling = None;
                Ok(self.keep(key, session?, begin))
            }
            _ => Ok(found),
        }
    }

    /// The session for frames of this layout from the cache.
    pub fn existing(&mut self, frame: &Frame) -> Option<Lease> {
        let key = self.key(frame);
        self.ready(&key)
    }

    /// The session for another height of the picture shown to the generator, compiled in the background and run once.
    pub fn prepare(&mut self, frame: &Frame, inference_height: usize) -> Result<Lookup, Error> {
        let wanted = GraphKey {
            layout: *frame,
            inference_height,
        };
        match self.compiling.as_ref().map(|(key, ..)| *key) {
            // One compile at a time: the one in progress is finished first.
            Some(other) if other != wanted => {
                self.in_background(&other, true)?;
                Ok(Lookup::Compiling)
            }
            _ => self.in_background(&wanted, true),
        }
    }

    /// The session for this key from the cache, or from a compile in the background, which is started if needed.
    fn in_background(&mut self, key: &GraphKey, warm: bool) -> Result<Lookup, Error> {
        if let Some(session) = self.ready(key) {
            return Ok(Lookup::Ready(session));
        }
        match self.compiling.take() {
            Some((known, begin, session)) if known == *key => match session.poll() {
                Some(session) => Ok(self.keep(known, session?, begin)),
                None => {
                    self.compiling = Some((known, begin, session));
                    Ok(Lookup::Compiling)
                }
            },
            _ => {
                let (compiler, key) = (self.compiler.clone(), *key);
                let compile = move || compiler.compile(&key, warm);
                let session = self.threads.start("stylize-compiler", compile)?;
                self.compiling = Some((key, Instant::now(), session));
                Ok(Lookup::Compiling)
            }
        }
    }

    fn ready(&mut self, key: &GraphKey) -> Option<Lease> {
        let index = self.sessions.iter().position(|(known, _)| known == key)?;
        self.sessions[index..].rotate_left(1);
        self.sessions.last().map(|(_, session)| session.clone())
    }

    /// Whether the session for this layout is in the cache or being compiled.
    pub fn knows(&self, frame: &Frame) -> bool {
        let wanted = self.key(frame);
        let compiling = self.compiling.as_ref().map(|(key, ..)| key);
        let ready = self.sessions.iter().map(|(key, _)| key);
        ready.chain(compiling).any(|key| *key == wanted)
    }

    /// Adds a compiled session to the cache.
    fn keep(&mut self, key: GraphKey, session: Lease, begin: Instant) -> Lookup {
        if self.sessions.len() == KEPT {
            let (_, oldest) = self.sessions.remove(0);
            self.threads.dispose(oldest);
        }
        self.sessions.push((key, session.clone()));
        Lookup::Compiled(session, begin.elapsed())
    }

    fn key(&self, frame: &Frame) -> GraphKey {
        GraphKey {
            layout: *frame,
            inference_height: self.inference_height(),
        }
    }

    /// Height in use of the picture shown to the generator, as [`Effects::inference_height`].
    pub fn inference_height(&self) -> usize {
        let asked = self.compiler.effects.inference_height;
        self.ladder.height().unwrap_or(asked)
    }

    /// Makes the ladder for frames of this size, unless it is that already; `below` as in [`Ladder::new`].
    fn fit(&mut self, frame: &Frame, below: Option<usize>) {
        let size = (frame.width, frame.height);
        if self.fitted.replace(size) != Some(size) {
            self.ladder = self.compiler.ladder(size, below);
        }
    }

    /// Whether the generator takes pictures of one size only.
    pub fn has_one_size(&self) -> bool {
        let placement = self.compiler.placement.lock();
        let network = self.compiler.networks.at(&placement.choice);
        matches!(network.signature.extent, Extent::Fixed { .. })
    }

    /// Takes the errors since the last call that did not stop the stream.
    pub fn warnings(&self) -> Vec<Error> {
        std::mem::take(&mut *self.compiler.warnings.lock())
    }

    /// Number of concurrent runs of the provider, at least 1.
    pub fn streams(&self) -> usize {
        self.compiler.placement.lock().choice.options.streams
    }

    /// The session's description in `stats` and in the log, for frames of this size in pixels.
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

    /// The ladder for frames of this width and height.
    fn ladder(&self, (width, height): (usize, usize), below: Option<usize>) -> Ladder {
        let placement = self.placement.lock();
        let signature = &self.networks.at(&placement.choice).signature;
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

    /// Compiles a session; with `warm`, it is also run once. A provider of `auto` that cannot run it is replaced.
    fn compile(&self, key: &GraphKey, warm: bool) -> Result<Lease, Error> {
        loop {
            let choice = self.placement.lock().choice.clone();
            let more = self.candidates.lock().more();
            let error = match self.compile_on(&choice, key, more || warm) {
                Ok(lease) => {
                    self.placement.lock().assignment = lease.assignment();
                    return Ok(lease);
                }
                Err(err @ Error::Engine(EngineError::Cancelled)) => return Err(err),
                Err(Error::Refused { error, .. } | Error::Engine(error)) if more => error,
                Err(err) => return Err(err),
            };
            let mut candidates = self.candidates.lock();
            // Another compile may have advanced to the next provider already.
            if self.placement.lock().choice == choice {
                candidates.pass_over(choice.provider, error);
                let next = candidates.advance()?;
                self.placement.lock().choice = next;
            }
        }
    }

    /// Compiles a session for this provider; with `verify`, it is also run once.
    fn compile_on(&self, choice: &Choice, key: &GraphKey, verify: bool) -> Result<Lease, Error> {
        let network = self.networks.at(choice);
        let Network {
            model, signature, ..
        } = network;
        let effects = self.effects_at(key.inference_height);
        let frame = &key.layout;
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
        let placement = self.placement.lock();
        let network = self.networks.at(&placement.choice);
        let (wide, high) = (width as usize, height as usize);
        let sizes = effects.sizes(&network.signature, wide, high);
        let options = &placement.choice.options;
        SessionInfo {
            provider: placement.choice.provider.nick(),
            precision: placement.choice.precision.nick(),
            device: options.device.clone().unwrap_or_default(),
            threads: saturating_u32(options.threads),
            frames_in_flight: saturating_u32(options.streams),
            nodes: saturating_u32(placement.assignment.provider),
            nodes_on_cpu: saturating_u32(placement.assignment.cpu),
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

/// A state tensor of the graph as the engine describes it.
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
    fn the_streaming_thread_does_not_wait_for_a_provider_trial() {
        gst::init().expect("GStreamer");
        let settings = Settings {
            provider: Provider::Cpu,
            ..Settings::default()
        };
        let threads = BackgroundThreads::default();
        let mut generator = ActiveGenerator::load(&settings, None, None, threads).expect("loaded");
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, 64, 48);
        let frame = usual_layout(&info.build().expect("caps")).expect("a layout");
        let compiler = generator.compiler.clone();
        let trial = compiler.candidates.lock();
        let (sender, done) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                generator.layout_for(&frame, &frame);
                generator.has_one_size();
                generator.session_info(64, 48);
                assert_eq!(generator.streams(), 1);
                let found = generator.session(&frame, false).expect("begun");
                let _ = sender.send(matches!(found, Lookup::Compiling));
            });
            // Times out only if the thread waits for the trial, which ends after this line.
            let seen = done.recv_timeout(Duration::from_secs(60));
            drop(trial);
            assert_eq!(seen, Ok(true));
        });
    }
}
