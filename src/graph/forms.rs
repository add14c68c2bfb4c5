// SPDX-License-Identifier: MPL-2.0
//! Several forms of the same job, of which each provider has its fastest; the pictures are the same.

/// How the mix with the source frame is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blend {
    /// On every frame: free where the provider fuses elementwise operators.
    Always,
    /// In a branch that is only taken below full strength: for providers that do not fuse.
    Branch,
}

/// How pictures are scaled and their parts put in place; they come out alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// By `AveragePool` and `Resize`, where they can, and by copies.
    Kernels,
    /// By products with small matrices and by transposition: for providers that are slow at the
    /// others.
    Products,
}

/// How many inputs have the frame's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// [`FRAME`] and [`SOURCE`]: what a compiler does not see to be one, it does not keep in between.
    Twice,
    /// [`FRAME`] alone, which crosses a bus once. With a mask they are two all the same, because
    /// there may be two styles, and then the second is mixed with what the first made.
    Once,
}

/// Which kernels a provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// Those for all that the compiler writes.
    All,
    /// None for bytes but conversions of inputs and outputs, as TensorRT has them.
    Floats,
    /// Those of WebGPU, which knows no bytes: they come and go as u32, four in each, in one row.
    WebGpu,
}

/// Which of several forms of the same job a provider executes fastest; the pictures are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forms {
    pub blend: Blend,
    pub scaling: Scaling,
    /// Whether a padding that the generator begins with is done on the frame's bytes: saves a
    /// twentieth of the time where the provider is a compiler that orders tensors by itself.
    pub early_pad: bool,
    /// Whether a float32 generator is converted to float16, because the provider computes in what
    /// the graph says.
    pub half: bool,
    /// How many times a frame is given.
    pub frame: Given,
    /// For which operators and types there are kernels.
    pub kernels: Kernels,
}
