// SPDX-License-Identifier: MPL-2.0
//! A session of a compiled graph, which runs on the caller's memory.

use std::ffi::CString;
use std::ptr;
use std::sync::Arc;

use ort::AsPointer;
use ort::session::RunOptions;
use ort::value::{DynTensor, Outlet, Tensor, TensorRef};
use parking_lot::Mutex;

use super::assignment::{self, Assignment};
use super::bytes::BytePort;
use super::load::commit;
use super::memory::{StateMemory, StatePort, StateTensor};
use super::noise::normal;
use crate::engine::error::EngineError;
use crate::engine::exit;
use crate::engine::provider::cache;
use crate::engine::provider::choice::Choice;
use crate::engine::provider::configure;
use crate::engine::provider::exclusive::exclusive;
use crate::engine::provider::kinds::Provider;
use crate::engine::runtime::Runtime;
use crate::model::MAX_NOISE;

/// Names of the compiled graph's tensors.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Input, u8 `[rows, stride]`. Inputs and outputs of u8 may instead be u32 in one row, four bytes each.
    pub frame: &'static str,
    /// Input, the same bytes again; only of a graph with [`FrameInputs::Two`](crate::graph::FrameInputs::Two).
    pub source: &'static str,
    /// Input, f32 `[1]`.
    pub strength: &'static str,
    /// Input, f32 `[1]`.
    pub split: &'static str,
    /// Input, f32 `[N]`; only of a generator with a style input.
    pub style: &'static str,
    /// Input, u8; only of a graph with a mask.
    pub mask: &'static str,
    /// Input, f32 `[1]`; only of a graph with state tensors.
    pub stability: &'static str,
    /// Output, u8 `[rows, stride]`.
    pub out: &'static str,
}

/// The frame that a run reads.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Bytes from which the generator's picture is made.
    pub frame: &'a [u8],
    /// Bytes with which the painting is mixed, in the same layout: those of `frame`, or in a second run the output
    /// of the first.
    pub under: &'a [u8],
    /// Memory layout of both.
    pub rows: Rows,
}

/// Inputs of a run beside the frame.
#[derive(Debug, Clone, Copy)]
pub struct Controls<'a> {
    /// Linear mix of source (0) and painting (1).
    pub strength: f32,
    /// Number of columns at the left that show the source, pixels.
    pub split: u32,
    /// Seed of the noise inputs.
    pub seed: u64,
    /// Values of the style input; empty without one.
    pub style: &'a [f32],
    /// Mask, one byte per pixel, 255 for the painting; without effect on a graph without a mask.
    pub mask: &'a [u8],
    /// Weight of the previous frame, 0..1; without effect on a graph without state tensors.
    pub stability: f32,
    /// Index of the run among those of a frame, 0 or 1; each has its own state tensors.
    pub layer: usize,
}

/// Memory layout of a frame: `rows` rows of `stride` bytes; one row for planar frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    pub rows: usize,
    pub stride: usize,
}

impl From<[usize; 2]> for Rows {
    fn from([rows, stride]: [usize; 2]) -> Self {
        Self { rows, stride }
    }
}

impl Rows {
    fn shape(&self) -> [usize; 2] {
        [self.rows, self.stride]
    }
}

/// Description of a compiled graph's inputs and outputs.
pub struct Blueprint {
    pub names: Names,
    /// Length of the style input, if there is one.
    pub style: Option<usize>,
    /// Names and shapes of the noise inputs, [`MAX_NOISE`] at most.
    pub noise: Vec<(String, [usize; 4])>,
    /// Shape of the mask, if there is one.
    pub mask: Option<[usize; 4]>,
    /// State tensors, [`MAX_STATES`] at most.
    pub states: Vec<StateTensor>,
}

/// A session over one compiled graph.
pub(crate) struct Session {
    session: ort::session::Session,
    pub assignment: Assignment,
    frame: BytePort,
    source: Option<BytePort>,
    strength: CString,
    split: CString,
    output: BytePort,
    /// Name and length.
    style: Option<(CString, usize)>,
    noise: Vec<NoiseInput>,
    mask: Option<(BytePort, [usize; 4])>,
    stability: CString,
    states: Vec<StatePort>,
    choice: Choice,
}

/// Cache of the noise inputs' tensors for the last seed.
#[derive(Default)]
pub(crate) struct Noise {
    /// The last seed; `None` before the first run.
    seed: Option<u64>,
    tensors: Arc<[DynTensor]>,
}

/// Number of the inputs frame, source, strength and split.
const FIXED: usize = 4;
/// Maximum number of state tensors.
const MAX_STATES: usize = 4;
/// Maximum number of inputs: the fixed ones, style, noise, mask, stability and states.
const MAX_INPUTS: usize = FIXED + 1 + MAX_NOISE + 1 + 1 + MAX_STATES;

struct NoiseInput {
    name: CString,
    shape: [usize; 4],
}

impl Session {
    /// Loads a compiled graph (a serialized ONNX model) on the chosen provider.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if it cannot be loaded, [`EngineError::ProviderMissing`] if the provider leaves all
    /// nodes to the CPU, [`EngineError::Run`] for a graph that does not match the blueprint.
    pub fn new(
        runtime: &Runtime,
        graph: &[u8],
        choice: &Choice,
        blueprint: &Blueprint,
    ) -> Result<Self, EngineError> {
        // The compiler's names contain no NUL.
        let c = |name: &str| CString::new(name).unwrap_or_default();
        let Blueprint {
            names,
            style,
            noise,
            mask,
            states,
        } = blueprint;
        let noise = noise.iter().take(MAX_NOISE);
        let session = {
            let _alone = exclusive(choice.provider);
            load(runtime, graph, choice)?
        };
        let assignment = assignment::read(&session, graph, choice.provider)?;
        if assignment.provider == 0 {
            // OpenVINO does so if the device does not exist.
            let reason = "it leaves all of the graph to the CPU".to_string();
            let reason = match &choice.options.device {
                Some(device) => format!("{reason} with device \"{device}\""),
                None => reason,
            };
            return Err(choice.provider.missing(reason));
        }
        let port = |outlets: &[Outlet], name| {
            BytePort::find(outlets, name)
                .ok_or_else(|| EngineError::Run(format!("the graph has no {name}")))
        };
        let mask = match mask {
            Some(shape) => Some((port(session.inputs(), names.mask)?, *shape)),
            None => None,
        };
        Ok(Self {
            frame: port(session.inputs(), names.frame)?,
            source: BytePort::find(session.inputs(), names.source),
            strength: c(names.strength),
            split: c(names.split),
            output: port(session.outputs(), names.out)?,
            mask,
            session,
            assignment,
            style: style.map(|len| (c(names.style), len)),
            noise: noise
                .map(|(name, shape)| NoiseInput {
                    name: c(name),
                    shape: *shape,
                })
                .collect(),
            stability: c(names.stability),
            states: states.iter().take(MAX_STATES).map(StatePort::new).collect(),
            choice: choice.clone(),
        })
    }

    /// The provider that runs it.
    pub fn provider(&self) -> Provider {
        self.choice.provider
    }

    /// Length of the style input; 0 without one.
    pub fn style_len(&self) -> usize {
        self.style.as_ref().map_or(0, |(_, len)| *len)
    }

    /// Size of the mask, bytes; 0 without one.
    pub fn mask_len(&self) -> usize {
        self.mask
            .as_ref()
            .map_or(0, |(_, shape)| shape.iter().product())
    }

    /// Whether the graph has state tensors.
    pub fn remembers(&self) -> bool {
        !self.states.is_empty()
    }

    /// Tensors of the noise inputs for this seed, from the cache `noise` if it has them.
    ///
    /// # Errors
    /// If memory cannot be allocated.
    pub fn numbers(
        &self,
        noise: &Mutex<Noise>,
        seed: u64,
    ) -> Result<Arc<[DynTensor]>, EngineError> {
        let mut noise = noise.lock();
        if noise.seed != Some(seed) {
            let tensor = |(index, input): (usize, &NoiseInput)| {
                let numbers = normal(seed, index, input.shape.iter().product());
                let tensor = Tensor::from_array((input.shape, numbers)).map_err(EngineError::run);
                Ok(tensor?.upcast())
            };
            let tensors: Result<Vec<_>, EngineError> =
                self.noise.iter().enumerate().map(tensor).collect();
            *noise = Noise {
                seed: Some(seed),
                tensors: tensors?.into(),
            };
        }
        Ok(noise.tensors.clone())
    }

    /// Runs the graph once, reading `source` and writing `out` in place. `memory` holds the state tensors, which the
    /// run reads and replaces.
    ///
    /// # Errors
    /// [`EngineError::Run`] or [`EngineError::OutOfMemory`]; `out` may then hold part of a picture.
    pub fn run(
        &self,
        options: &RunOptions,
        source: Source,
        controls: Controls,
        noise: &[DynTensor],
        memory: &mut StateMemory,
        (out, out_rows): (&mut [u8], Rows),
    ) -> Result<(), EngineError> {
        let _inside = exit::inside();
        let stability = [if memory.valid {
            controls.stability
        } else {
            0.0
        }];
        let stability =
            TensorRef::from_array_view(([1_usize], &stability[..])).map_err(EngineError::run)?;
        let (before, after) = memory.prepared(&self.session, &self.choice, &self.states)?;
        let (strength, split) = ([controls.strength], [controls.split as f32]);
        let shape = source.rows.shape();
        let frame = self.frame.read(shape, source.frame)?;
        let under = match &self.source {
            Some(port) => Some((&port.name, port.read(shape, source.under)?)),
            None => None,
        };
        let strength =
            TensorRef::from_array_view(([1_usize], &strength[..])).map_err(EngineError::run)?;
        let split =
            TensorRef::from_array_view(([1_usize], &split[..])).map_err(EngineError::run)?;
        let out = self.output.written(out_rows.shape(), out)?;

        let style = match &self.style {
            Some((name, len)) => {
                let values = TensorRef::from_array_view(([*len], controls.style));
                Some((name, values.map_err(EngineError::run)?))
            }
            None => None,
        };

        let mask = match &self.mask {
            Some((port, shape)) => Some((&port.name, port.read(*shape, controls.mask)?)),
            None => None,
        };

        let mut input_names = [ptr::null(); MAX_INPUTS];
        let mut inputs = [ptr::null(); MAX_INPUTS];
        let fixed = [
            (&self.frame.name, frame.ptr()),
            (&self.strength, strength.ptr()),
            (&self.split, split.ptr()),
        ];
        let under = under.iter().map(|(name, bytes)| (*name, bytes.ptr()));
        let style = style.iter().map(|(name, values)| (*name, values.ptr()));
        let noise = self.noise.iter().zip(noise);
        let noise = noise.map(|(input, numbers)| (&input.name, numbers.ptr()));
        let mask = mask.iter().map(|(name, bytes)| (*name, bytes.ptr()));
        let stability = [(&self.stability, stability.ptr())];
        let stability = stability.into_iter().filter(|_| !self.states.is_empty());
        let states = self.states.iter().zip(before);
        let states = states.map(|(port, value)| (&port.input, value.ptr()));
        let mut count = 0;
        for (name, value) in fixed
            .into_iter()
            .chain(under)
            .chain(style)
            .chain(noise)
            .chain(mask)
            .chain(stability)
            .chain(states)
        {
            input_names[count] = name.as_ptr();
            inputs[count] = value;
            count += 1;
        }
        let mut output_names = [self.output.name.as_ptr(); 1 + MAX_STATES];
        let mut outputs = [out.ptr().cast_mut(); 1 + MAX_STATES];
        for (index, (port, value)) in self.states.iter().zip(after).enumerate() {
            output_names[index + 1] = port.output.as_ptr();
            outputs[index + 1] = value.ptr().cast_mut();
        }
        let api = ort::api();
        // The C function, because ort's safe calls copy borrowed inputs or allocate outputs.
        //
        // SAFETY: session, options and tensors are owned or borrowed by this function and outlive the call. Run may
        // be called from several threads, although it takes a mutable pointer. The first `count` names and inputs
        // were written above, by indexing that checks the arrays' length; of outputs, one for `out` and one for each
        // state (`Session::new` keeps at most MAX_STATES) in arrays of 1 + MAX_STATES. Names are NUL-terminated
        // (`CString`). Run only reads inputs. Each output is a tensor over memory that is borrowed mutably (`out`)
        // or owned by `memory`, which this function borrows mutably, so that no other reference or run accesses it.
        // ONNX Runtime checks an output's type and shape before it writes, and replaces no value that is not null.
        let status = unsafe {
            (api.Run)(
                self.session.ptr().cast_mut(),
                options.ptr(),
                input_names.as_ptr(),
                inputs.as_ptr(),
                count,
                output_names.as_ptr(),
                1 + self.states.len(),
                outputs.as_mut_ptr(),
            )
        };
        debug_assert!(ptr::eq(outputs[0], out.ptr()));
        // SAFETY: `status` is the value that Run returned, null for success, and is passed on only here, so that it
        // is released once.
        unsafe { ort::Error::result_from_status(status) }.map_err(EngineError::run)?;
        memory.advance();
        Ok(())
    }
}

/// Loads a serialized graph into a session of ort's, with all options and the disk cache. Public for the benchmark.
///
/// # Errors
/// Those of the provider's configuration and of [`commit`].
#[doc(hidden)]
pub fn load(
    runtime: &Runtime,
    graph: &[u8],
    choice: &Choice,
) -> Result<ort::session::Session, EngineError> {
    cache::with_folder(cache::place(runtime, choice, graph), |folder| {
        exit::set_up(choice.provider as u32, || {
            commit(configure::builder(runtime, choice, folder)?, graph)
        })
    })
}
