// SPDX-License-Identifier: MPL-2.0
//! Options of lowering the frame job to ONNX operators: which of several equivalent subgraphs is written.
//! The pixels are the same; each provider runs one of them fastest.

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
pub enum FrameInputs {
    /// [`FRAME`] and [`SOURCE`]: two inputs, so that the provider's compiler cannot share one conversion
    /// from u8 to f32 and keep its result alive until the mix.
    Two,
    /// [`FRAME`] alone, so that the frame is copied to the device once. With a mask there are two all
    /// the same: with two styles, the second run mixes with the output of the first.
    One,
}

/// Which kernels a provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// For all operators and types that the compiler writes.
    All,
    /// No u8 kernels except casts of graph inputs and outputs (TensorRT).
    Floats,
    /// Those of WebGPU, which has no u8: bytes are passed packed into u32, four in each, in one row.
    WebGpu,
}

/// Which of several equivalent subgraphs is written for a provider; the pixels are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lowering {
    pub blend: Blend,
    pub scaling: Scaling,
    /// Whether a padding that the generator begins with is done on the frame's bytes: saves a
    /// twentieth of the time where the provider is a compiler that orders tensors by itself.
    pub early_pad: bool,
    /// Whether a float32 generator is converted to float16, because the provider computes in what
    /// the graph says.
    pub half: bool,
    /// How many times a frame is given.
    pub frame: FrameInputs,
    /// For which operators and types there are kernels.
    pub kernels: Kernels,
}
