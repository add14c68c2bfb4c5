// SPDX-License-Identifier: MPL-2.0
//! The generator in use: gets the session for a frame's layout from a small cache, or has it compiled, at once or in
//! the background.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::compiler::{GraphCompiler, GraphKey, Placement};
use super::networks::{ReadNetworks, predictor};
use crate::engine::{Assignment, Candidates, EngineError, Lease, Runtime, exit};
use crate::graph::Frame;
use crate::model::Extent;
use crate::stylize::adapt::ladder::Ladder;
use crate::stylize::background::{Background, BackgroundThreads};
use crate::stylize::mask::masks::{self, Levels};
use crate::stylize::report::Error;
use crate::stylize::settings::Settings;
use crate::stylize::stats::SessionInfo;
use crate::stylize::style::styling::Styling;

/// Capacity of the least-recently-used cache of sessions, each of which holds memory.
const KEPT: usize = 3;

/// Number of memory layouts beside the caps' default for which graphs are compiled; frames in others are copied.
const OTHER_LAYOUTS: usize = KEPT - 1;

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
