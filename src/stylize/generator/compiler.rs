// SPDX-License-Identifier: MPL-2.0
//! Compiles the graph for a frame layout into a session of the execution provider in use, and falls back to the next
//! provider of `auto` if that fails.

use std::path::PathBuf;
use std::sync::Arc;

use gst::glib;
use parking_lot::Mutex;

use super::dump;
use super::lowering::lowering;
use super::networks::{Network, Networks};
use crate::engine::session::{Blueprint, Names, Rows};
use crate::engine::{Assignment, Candidates, Choice, EngineError, Lease, Runtime, StateTensor};
use crate::graph::{self, Effects, Frame};
use crate::model::{Extent, StyleInput};
use crate::numbers::saturating_u32;
use crate::stylize::adapt::ladder::Ladder;
use crate::stylize::adapt::rungs::rungs;
use crate::stylize::report::Error;
use crate::stylize::stats::SessionInfo;

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

/// Key of a session in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GraphKey {
    pub layout: Frame,
    /// As [`Effects::inference_height`].
    pub inference_height: usize,
}

/// A parsed generator and the execution provider that runs it: compiles sessions. Shared with the
/// threads that compile in the background.
pub(super) struct GraphCompiler {
    pub runtime: Arc<Runtime>,
    pub placement: Mutex<Placement>,
    /// Other providers to fall back to. Locked during a trial, for which the streaming thread never waits.
    pub candidates: Mutex<Candidates>,
    pub networks: Networks,
    pub effects: Effects,
    /// File to which compiled graphs are written.
    pub dump: Option<PathBuf>,
    /// Errors that do not stop the stream and have not been posted yet.
    pub warnings: Mutex<Vec<Error>>,
}

/// The provider in use.
pub(super) struct Placement {
    pub choice: Choice,
    /// Nodes per provider of the last compiled graph.
    pub assignment: Assignment,
}

impl GraphCompiler {
    pub fn effects_at(&self, inference_height: usize) -> Effects {
        Effects {
            inference_height,
            ..self.effects
        }
    }

    /// The ladder for frames of this width and height.
    pub fn ladder(&self, (width, height): (usize, usize), below: Option<usize>) -> Ladder {
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
    pub fn compile(&self, key: &GraphKey, warm: bool) -> Result<Lease, Error> {
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

    pub fn session_info(&self, width: u32, height: u32, effects: Effects) -> SessionInfo {
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
fn nick(value: impl Into<glib::Value>) -> String {
    let value = value.into();
    let found = glib::EnumValue::from_value(&value);
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
