// SPDX-License-Identifier: MPL-2.0
//! Which forms of the graph each provider runs fastest.

use crate::engine::{Choice, Provider};
use crate::graph::{Blend, Forms, Given, Kernels, Scaling};

/// Measured for the CPU providers; see `docs/decisions.md`.
pub(super) fn forms(choice: &Choice) -> Forms {
    Forms {
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
            true => Given::Once,
            false => Given::Twice,
        },
        kernels: match choice.provider {
            Provider::WebGpu => Kernels::WebGpu,
            Provider::TensorRt | Provider::NvTensorRtRtx => Kernels::Floats,
            _ => Kernels::All,
        },
    }
}
