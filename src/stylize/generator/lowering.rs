// SPDX-License-Identifier: MPL-2.0
//! Chooses for each execution provider the form of the graph that it runs fastest.

use crate::engine::{Choice, Provider};
use crate::graph::{Blend, FrameInputs, Kernels, Lowering, Scaling};

/// The graph options for the chosen provider. Those of the CPU providers were measured (`docs/decisions.md`).
pub(super) fn lowering(choice: &Choice) -> Lowering {
    Lowering {
        blend: match choice.provider {
            Provider::Cpu => Blend::Branch,
            _ => Blend::Always,
        },
        scaling: match choice.provider {
            Provider::Cpu => Scaling::Kernels,
            _ => Scaling::Products,
        },
        early_pad: choice.provider == Provider::OpenVino,
        half: choice.wants_half_graph(),
        frame: match choice.provider.is_behind_a_bus() {
            true => FrameInputs::One,
            false => FrameInputs::Two,
        },
        kernels: match choice.provider {
            Provider::WebGpu => Kernels::WebGpu,
            Provider::TensorRt | Provider::NvTensorRtRtx => Kernels::Floats,
            _ => Kernels::All,
        },
    }
}
