// SPDX-License-Identifier: MPL-2.0
//! A compiled graph, ready to run on the caller's memory.

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
use crate::model::MOST_NOISE;

/// Names of the compiled graph's tensors.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Input, u8 `[rows, stride]`, or the same bytes as u32 in one row; so are all inputs and outputs
    /// of u8.
    pub frame: &'static str,
    /// Input, the same bytes; only of a graph that wants them twice.
    pub source: &'static str,
    /// Input, f32 `[1]`.
    pub strength: &'static str,
    /// Input, f32 `[1]`.
    pub split: &'static str,
    /// Input, f32 `[N]`; only of a generator with a style input.
    pub style: &'static str,
    /// Input, u8; only of a graph with a mask.
    pub mask: &'static str,
    /// Input, f32 `[1]`; only of a graph that hands on tensors.
    pub stability: &'static str,
    /// Output, u8 `[rows, stride]`.
    pub out: &'static str,
}

/// What a run reads.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What the generator is shown.
    pub frame: &'a [u8],
    /// What the painting is mixed with: mostly the same bytes, and always laid out like them.
    pub under: &'a [u8],
    /// How both lie in memory.
    pub rows: Rows,
}

/// What a run is given beside the frame.
#[derive(Debug, Clone, Copy)]
pub struct Controls<'a> {
    /// 0..1.
    pub strength: f32,
    /// Columns of pixels at the left that show the source.
    pub split: u32,
    /// Picks the numbers of the noise inputs.
    pub seed: u64,
    /// Values of the style input; empty without one.
    pub style: &'a [f32],
    /// Where the painting is shown, 255 for all of it; without effect on a graph without a mask.
    pub mask: &'a [u8],
    /// Weight of the past, 0..1; without effect on a graph that hands on no tensors.
    pub stability: f32,
    /// Which of a frame's runs it is, 0 or 1.
    pub layer: usize,
}

/// Bytes of a picture in memory: `rows` rows of `stride` bytes; one row for a frame of planes.
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

/// What is known of a compiled graph beside its bytes.
pub struct Blueprint {
    pub names: Names,
    /// Length of the style input, if there is one.
    pub style: Option<usize>,
    /// Noise inputs with their shapes, [`MOST_NOISE`] at most.
    pub noise: Vec<(String, [usize; 4])>,
    /// Sizes of the mask, if there is one.
    pub mask: Option<[usize; 4]>,
    /// State tensors from one run to the next, [`MOST_STATES`] at most.
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

/// What the noise inputs were fed with last.
#[derive(Default)]
pub(crate) struct Noise {
    /// `None` before the first run.
    seed: Option<u64>,
    tensors: Arc<[DynTensor]>,
}

/// Inputs that every compiled graph has, and the one that most have.
const FIXED: usize = 4;
/// Most tensors that go from one run to the next.
const MOST_STATES: usize = 4;
/// Most inputs: those of every graph, style, noise, mask, stability and what it goes with.
const MOST: usize = FIXED + 1 + MOST_NOISE + 1 + 1 + MOST_STATES;

struct NoiseInput {
    name: CString,
    shape: [usize; 4],
}

impl Session {
    /// Loads a compiled graph (a serialized ONNX model) on the chosen provider.
    pub fn new(
        runtime: &Runtime,
        graph: &[u8],
        choice: &Choice,
        blueprint: &Blueprint,
    ) -> Result<Self, EngineError> {
        // Names of our own hold no NUL.
        let c = |name: &str| CString::new(name).unwrap_or_default();
        let Blueprint {
            names,
            style,
            noise,
            mask,
            states,
        } = blueprint;
        let noise = noise.iter().take(MOST_NOISE);
        let session = {
            let _alone = exclusive(choice.provider);
            load(runtime, graph, choice)?
        };
        let assignment = assignment::read(&session, graph, choice.provider)?;
        if assignment.provider == 0 {
            // OpenVINO does so with a device that is not there.
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
            states: states
                .iter()
                .take(MOST_STATES)
                .map(StatePort::new)
                .collect(),
            choice: choice.clone(),
        })
    }

    /// Where it runs.
    pub fn provider(&self) -> Provider {
        self.choice.provider
    }

    /// Length of the style input; 0 without one.
    pub fn style_len(&self) -> usize {
        self.style.as_ref().map_or(0, |(_, len)| *len)
    }

    /// How many bytes a mask has; 0 without one.
    pub fn mask_len(&self) -> usize {
        self.mask
            .as_ref()
            .map_or(0, |(_, shape)| shape.iter().product())
    }

    /// Whether tensors go from one run to the next.
    pub fn remembers(&self) -> bool {
        !self.states.is_empty()
    }

    /// Numbers of this seed for the noise inputs; `noise` keeps them for the next frame.
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

    /// Runs the graph once, reading `source` and writing `out` in place. `memory` is what the run before
    /// left, and gets what this one leaves.
    ///
    /// # Errors
    /// [`EngineError::Run`]; `out` may then hold part of a picture.
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

        let mut input_names = [ptr::null(); MOST];
        let mut inputs = [ptr::null(); MOST];
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
        let mut output_names = [self.output.name.as_ptr(); 1 + MOST_STATES];
        let mut outputs = [out.ptr().cast_mut(); 1 + MOST_STATES];
        for (index, (port, value)) in self.states.iter().zip(after).enumerate() {
            output_names[index + 1] = port.output.as_ptr();
            outputs[index + 1] = value.ptr().cast_mut();
        }
        let api = ort::api();
        // ort's safe calls copy borrowed inputs or allocate outputs; the C function does neither.
        //
        // SAFETY: the session, the options and all tensors are owned or borrowed by this function and
        // outlive the call. `count` names and values were written above; the outputs are one more than the
        // states, in arrays of that capacity at least. Run only reads inputs. Each output value is a tensor
        // over memory that is borrowed mutably (`out`) or owned by `memory`; ONNX Runtime checks its shape
        // and type before it writes, and replaces no value that is not null.
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
        // SAFETY: Run returned this status, and its ownership passes to the error here, once.
        unsafe { ort::Error::result_from_status(status) }.map_err(EngineError::run)?;
        memory.advance();
        Ok(())
    }
}

/// A session of ort's, all options set. Public for the benchmark, which compares with it.
#[doc(hidden)]
pub fn load(
    runtime: &Runtime,
    graph: &[u8],
    choice: &Choice,
) -> Result<ort::session::Session, EngineError> {
    cache::with_folder(cache::place(runtime, choice, graph), |folder| {
        let session = commit(configure::builder(runtime, choice, folder)?, graph);
        exit::watch(choice.provider as u32);
        session
    })
}
