// SPDX-License-Identifier: MPL-2.0
//! State tensors that a graph passes from one run to the next, in device memory where possible.

use std::ffi::CString;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::value::{DynTensor, Tensor};

use crate::engine::error::EngineError;
use crate::engine::provider::choice::Choice;
use crate::engine::provider::kinds::Provider;

/// A float32 tensor that a graph makes for its next run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateTensor {
    /// Name as an input.
    pub input: &'static str,
    /// Name as an output.
    pub output: &'static str,
    /// Sizes of its axes.
    pub shape: [usize; 4],
}

/// The same with names for ONNX Runtime.
pub(crate) struct StatePort {
    pub input: CString,
    pub output: CString,
    shape: [usize; 4],
}

impl StatePort {
    pub fn new(tensor: &StateTensor) -> Self {
        // Names of our own hold no NUL.
        let c = |name: &str| CString::new(name).unwrap_or_default();
        Self {
            input: c(tensor.input),
            output: c(tensor.output),
            shape: tensor.shape,
        }
    }
}

/// One element's state tensors: the previous frame's, which a run reads, and those that it writes.
#[derive(Default)]
pub(crate) struct StateMemory {
    before: Vec<DynTensor>,
    after: Vec<DynTensor>,
    /// `before` holds zeros in host memory.
    zeros: bool,
    /// Whether `before` is of the frame before in the same stream of frames.
    pub valid: bool,
}

impl StateMemory {
    /// Makes room for a run: what it reads, and what it writes.
    pub fn prepared(
        &mut self,
        session: &ort::session::Session,
        choice: &Choice,
        ports: &[StatePort],
    ) -> Result<(&[DynTensor], &[DynTensor]), EngineError> {
        if self.before.len() != ports.len() {
            // Zeros: uninitialized memory may hold NaN.
            let zeros = |port: &StatePort| {
                let values = vec![0.0_f32; port.shape.iter().product()];
                Tensor::from_array((port.shape, values)).map(Tensor::upcast)
            };
            let zeros: Result<_, _> = ports.iter().map(zeros).collect();
            self.before = zeros.map_err(EngineError::run)?;
            self.zeros = true;
            self.valid = false;
        }
        if self.after.len() != ports.len() {
            let room = ports.iter().map(|port| room(session, choice, port.shape));
            self.after = room.collect::<Result<_, _>>()?;
        }
        Ok((&self.before, &self.after))
    }

    /// What was written is what the next run reads.
    pub fn advance(&mut self) {
        std::mem::swap(&mut self.before, &mut self.after);
        if self.zeros {
            // To be made anew where the provider works.
            self.after.clear();
            self.zeros = false;
        }
        self.valid = true;
    }
}

/// A tensor in the provider's device memory, so that it is not copied over a bus for every frame.
fn room(
    session: &ort::session::Session,
    choice: &Choice,
    shape: [usize; 4],
) -> Result<DynTensor, EngineError> {
    let device = match choice.provider {
        Provider::Cuda | Provider::TensorRt => Some(AllocationDevice::CUDA),
        Provider::WebGpu => Some(AllocationDevice::WEBGPU_BUFFER),
        Provider::Dml => Some(AllocationDevice::DIRECTML),
        // Host memory, memory that a provider shares with the host, or none that can be had by name.
        _ => None,
    };
    let number = choice.options.device.as_deref();
    let number = number.and_then(|device| device.parse().ok()).unwrap_or(0);
    let tensor = match device {
        None => Tensor::<f32>::new(&Allocator::default(), shape),
        Some(device) => {
            let kind = AllocatorType::Device;
            MemoryInfo::new(device, number, kind, MemoryType::Default)
                .and_then(|info| Allocator::new(session, info))
                .and_then(|allocator| Tensor::<f32>::new(&allocator, shape))
        }
    };
    tensor.map(Tensor::upcast).map_err(EngineError::run)
}
