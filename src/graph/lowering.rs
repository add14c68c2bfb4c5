// SPDX-License-Identifier: MPL-2.0
//! Options of lowering: which of several equivalent forms of the graph is written. They give the same pixels, and
//! each provider runs one of them fastest.

/// How the mix with the source frame is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blend {
    /// On every frame: costs nothing if the provider fuses elementwise operators.
    Always,
    /// In a branch that is only run below full strength: for providers that do not fuse.
    Branch,
}

/// How pictures are scaled and pixels rearranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// By `AveragePool` and `Resize` where they compute the same, and by copies.
    Kernels,
    /// By products with small matrices and by transposition: for providers on which these are faster.
    Products,
}

/// Number of inputs that take the frame's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameInputs {
    /// [`FRAME`](super::FRAME) and [`SOURCE`](super::SOURCE), so that the provider's compiler cannot share one
    /// conversion from u8 to f32 and keep its result alive until the mix.
    Two,
    /// [`FRAME`](super::FRAME) alone, so that the frame is copied to the device once. Graphs with a mask always have
    /// two: with two styles, the second run mixes with the output of the first.
    One,
}

/// The kernels that a provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// For all operators and types that the compiler writes.
    All,
    /// No u8 kernels except casts of graph inputs and outputs (TensorRT).
    Floats,
    /// Those of WebGPU, which has no u8: bytes are passed packed into u32, four in each, in one row.
    WebGpu,
}

/// The form of the graph for a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lowering {
    pub blend: Blend,
    pub scaling: Scaling,
    /// Whether the generator's first padding is applied to the frame's bytes: saves 5 % of the time with a provider
    /// that chooses memory layouts itself.
    pub early_pad: bool,
    /// Whether a float32 generator is converted to float16, because the provider computes in the graph's types.
    pub half: bool,
    /// Number of inputs that take the frame.
    pub frame: FrameInputs,
    /// Operators and types for which the provider has kernels.
    pub kernels: Kernels,
}
