// SPDX-License-Identifier: MPL-2.0
//! Removes the final `DepthToSpace` of a generator.
//!
//! Many generators compute a block of 2x2 pixels as twelve channels and end with `DepthToSpace` (sub-pixel convolution,
//! Shi et al. 2016). That rearranges floats at the size of the frame, which takes a tenth of the time on a CPU. Without
//! it, the frame's components are computed from the blocks and bytes are rearranged, at a quarter of the cost.

use crate::onnx::{GraphProto, NodeProto, walk};

use crate::graph::write::builder::{Builder, Name};
use crate::model::{Layout, Signature};

/// Width and height of a block, pixels.
pub(crate) const SIDE: usize = 2;

/// A `DepthToSpace` that was removed from the graph.
pub(crate) struct LateShuffle {
    /// Its input, `[1, 12, H/2, W/2]`.
    pub blocks: String,
    /// Whether the channels of one colour are adjacent (mode `CRD`), else those of one pixel (`DCR`).
    by_colour: bool,
}

impl LateShuffle {
    /// The channel of a colour of the pixel at this position (horizontal, vertical) in its block.
    pub(crate) fn channel(&self, [across, down]: [usize; 2], colour: usize) -> usize {
        let pixel = down * SIDE + across;
        match self.by_colour {
            true => colour * SIDE * SIDE + pixel,
            false => pixel * 3 + colour,
        }
    }

    /// Computes the removed node: `[1, 3, H, W]`.
    pub(crate) fn done(&self, b: &mut Builder, blocks: &str) -> Name {
        b.depth_to_space(blocks, self.by_colour)
    }
}

/// Removes the node that writes the generator's output if it is a 2x2 `DepthToSpace`.
pub(crate) fn take(graph: &mut GraphProto, signature: &Signature) -> Option<LateShuffle> {
    let output = &signature.output.name;
    if signature.output.layout != Layout::Nchw {
        return None;
    }
    let makes = |node: &NodeProto| node.output.contains(output);
    let index = graph.node.iter().position(makes)?;
    let node = &graph.node[index];
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let side = attribute("blocksize").map(|a| a.i);
    if node.operator() != "DepthToSpace" || side != Some(SIDE as i64) {
        return None;
    }
    let by_colour = match attribute("mode").map(|a| a.s.as_slice()) {
        None | Some(b"DCR") => false,
        Some(b"CRD") => true,
        Some(_) => return None,
    };
    let reads = |node: &NodeProto| walk::reads(node).any(|name| name == output);
    if graph.node.iter().any(reads) {
        return None;
    }
    let blocks = node.input.first()?.clone();
    graph.node.remove(index);
    Some(LateShuffle { blocks, by_colour })
}
