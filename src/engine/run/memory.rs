// SPDX-License-Identifier: MPL-2.0
//! State tensors that a graph passes from one run to the next, in device memory where possible.

use std::ffi::CString;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::value::{DynTensor, Tensor};

use crate::engine::error::EngineError;
use crate::engine::provider::choice::Choice;
use crate::engine::provider::kinds::Provider;

/// A float32 tensor that a run of a graph passes to its next run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateTensor {
    /// Name as an input.
    pub input: &'static str,
    /// Name as an output.
    pub output: &'static str,
    /// Sizes of its axes.
    pub shape: [usize; 4],
}

/// A [`StateTensor`] with its names as C strings.
pub(crate) struct StatePort {
    pub input: CString,
    pub output: CString,
    shape: [usize; 4],
}

impl StatePort {
    pub fn new(tensor: &StateTensor) -> Self {
        // The compiler's names contain no NUL.
        let c = |name: &str| CString::new(name).unwrap_or_default();
        Self {
            input: c(tensor.input),
            output: c(tensor.output),
            shape: tensor.shape,
        }
    }
}

/// One element's state tensors (double buffer).
#[derive(Default)]
pub(crate) struct StateMemory {
    /// Those of the previous frame, which the next run reads.
    before: Vec<DynTensor>,
    /// Those that the next run writes.
    after: Vec<DynTensor>,
    /// Whether `before` holds zeros in host memory.
    zeros: bool,
    /// Whether `before` holds the state of a previous frame.
    pub valid: bool,
}

impl StateMemory {
    /// Allocates the tensors of a run if needed; returns those to read and those to write.
    ///
    /// # Errors
    /// If memory cannot be allocated.
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

    /// Makes the tensors that a run wrote those that the next one reads.
    pub fn advance(&mut self) {
        std::mem::swap(&mut self.before, &mut self.after);
        if self.zeros {
            // Host memory; `prepared` allocates tensors on the device instead.
            self.after.clear();
            self.zeros = false;
        }
        self.valid = true;
    }
}

/// An uninitialized tensor in the provider's device memory, so that it is not copied over a bus for every frame.
fn room(
    session: &ort::session::Session,
    choice: &Choice,
    shape: [usize; 4],
) -> Result<DynTensor, EngineError> {
    let device = match choice.provider {
        Provider::Cuda | Provider::TensorRt => Some(AllocationDevice::CUDA),
        Provider::WebGpu => Some(AllocationDevice::WEBGPU_BUFFER),
        Provider::Dml => Some(AllocationDevice::DIRECTML),
        // Providers in host memory or memory shared with the host, and those without a named allocator.
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
