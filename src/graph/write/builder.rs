// SPDX-License-Identifier: MPL-2.0
//! Appends nodes to an ONNX graph in forms that are valid in the model's operator set, from version 7 on. Differences
//! between the versions of an operator are handled here.

use std::collections::HashSet;

use crate::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto, walk};

use super::attribute::{float, graph, int, ints, text};
use crate::model::ElementType;
use crate::model::edit::value_info;
use crate::model::names::PREFIX;

/// Name of a tensor in the graph.
pub(crate) type Name = String;

/// Whether a node or tensor was named by the compiler.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Collects nodes and constants for a graph. Each operator's method appends nodes and returns the name of the result.
pub(crate) struct Builder {
    opset: i64,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    serial: usize,
}

impl Builder {
    pub(crate) fn new(opset: i64) -> Self {
        Self {
            opset,
            nodes: Vec::new(),
            constants: Vec::new(),
            serial: 0,
        }
    }

    /// The model's operator set.
    pub(crate) fn opset(&self) -> i64 {
        self.opset
    }

    /// An empty builder whose names continue this one's.
    pub(crate) fn continued(&self) -> Self {
        Self {
            serial: self.serial,
            ..Self::new(self.opset)
        }
    }

    /// Inserts the nodes before the graph's, or appends them, and adds the constants.
    pub(crate) fn append_to(self, graph: &mut GraphProto, before: bool) {
        if before {
            graph.node.splice(0..0, self.nodes);
        } else {
            graph.node.extend(self.nodes);
        }
        graph.initializer.extend(self.constants);
    }

    /// As [`Self::append_to`]; returns an empty builder whose names continue.
    pub(crate) fn appended_to(self, graph: &mut GraphProto, before: bool) -> Self {
        let next = self.continued();
        self.append_to(graph, before);
        next
    }

    /// A new name.
    fn fresh(&mut self, what: &str) -> Name {
        self.serial += 1;
        format!("{PREFIX}{}_{}", what.to_lowercase(), self.serial)
    }

    /// Appends a node with one output and returns the output's name.
    fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> Name {
        let output = self.fresh(op);
        self.nodes.push(NodeProto {
            name: output.clone(),
            op_type: op.into(),
            input: inputs.iter().map(|name| (*name).to_string()).collect(),
            output: vec![output.clone()],
            attribute: attributes,
            ..NodeProto::default()
        });
        output
    }

    /// Renames the output of a node of this builder, which no node may read yet.
    pub(crate) fn name_output(&mut self, x: &str, name: &str) {
        let mut outputs = self
            .nodes
            .iter_mut()
            .rev()
            .flat_map(|node| &mut node.output);
        if let Some(output) = outputs.find(|output| *output == x) {
            *output = name.into();
        }
    }

    /// A constant of the element type with this ONNX number.
    pub(crate) fn constant(&mut self, element: i32, dims: &[i64], raw_data: Vec<u8>) -> Name {
        let name = self.fresh("constant");
        self.constants.push(TensorProto {
            name: name.clone(),
            data_type: element,
            dims: dims.to_vec(),
            raw_data: raw_data.into(),
            ..TensorProto::default()
        });
        name
    }

    /// A float32 constant.
    pub(crate) fn floats(&mut self, dims: &[i64], values: &[f32]) -> Name {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(1, dims, bytes)
    }

    /// An int64 constant of one axis.
    fn integers(&mut self, values: &[i64]) -> Name {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(7, &[values.len() as i64], bytes)
    }

    /// A u8 constant of zeros.
    pub(crate) fn zero_bytes(&mut self, dims: &[i64]) -> Name {
        let len = dims.iter().product::<i64>().max(0) as usize;
        self.constant(2, dims, vec![0; len])
    }

    pub(crate) fn cast(&mut self, x: &str, to: impl Into<i32>) -> Name {
        self.node("Cast", &[x], vec![int("to", to.into().into())])
    }

    pub(crate) fn transpose(&mut self, x: &str, axes: &[i64]) -> Name {
        self.node("Transpose", &[x], vec![ints("perm", axes)])
    }

    pub(crate) fn reshape(&mut self, x: &str, dims: &[i64]) -> Name {
        let shape = self.integers(dims);
        self.node("Reshape", &[x, &shape], vec![])
    }

    /// Elements `start..end` of one axis.
    pub(crate) fn slice(&mut self, x: &str, axis: i64, start: i64, end: i64) -> Name {
        if self.opset < 10 {
            let attributes = vec![
                ints("axes", &[axis]),
                ints("starts", &[start]),
                ints("ends", &[end]),
            ];
            return self.node("Slice", &[x], attributes);
        }
        let [starts, ends, axes] = [start, end, axis].map(|v| self.integers(&[v]));
        self.node("Slice", &[x, &starts, &ends, &axes], vec![])
    }

    /// The slices of `axis` at `indices`.
    pub(crate) fn gather(&mut self, x: &str, axis: i64, indices: &[i64]) -> Name {
        let indices = self.integers(indices);
        self.node("Gather", &[x, &indices], vec![int("axis", axis)])
    }

    pub(crate) fn concat(&mut self, axis: i64, parts: &[&str]) -> Name {
        self.node("Concat", parts, vec![int("axis", axis)])
    }

    pub(crate) fn mul(&mut self, a: &str, b: &str) -> Name {
        self.node("Mul", &[a, b], vec![])
    }

    pub(crate) fn add(&mut self, a: &str, b: &str) -> Name {
        self.node("Add", &[a, b], vec![])
    }

    /// `x · factor`.
    pub(crate) fn times(&mut self, x: &str, factor: f32) -> Name {
        let factor = self.floats(&[], &[factor]);
        self.mul(x, &factor)
    }

    /// `x + offset`.
    pub(crate) fn plus(&mut self, x: &str, offset: f32) -> Name {
        let offset = self.floats(&[], &[offset]);
        self.add(x, &offset)
    }

    pub(crate) fn sub(&mut self, a: &str, b: &str) -> Name {
        self.node("Sub", &[a, b], vec![])
    }

    /// Elementwise maximum.
    pub(crate) fn max(&mut self, a: &str, b: &str) -> Name {
        if self.opset < 8 {
            // `Max` does not broadcast before operator set 8.
            let above = self.sub(a, b);
            let above = self.node("Relu", &[&above], vec![]);
            return self.add(b, &above);
        }
        self.node("Max", &[a, b], vec![])
    }

    /// Values of 0..1023 with NaN replaced by 0, so that it does not remain in a state tensor.
    pub(crate) fn without_nan(&mut self, x: &str) -> Name {
        if self.opset >= 9 {
            // Comparisons with NaN are false.
            let [lowest, zero] = [f32::MIN, 0.0].map(|number| self.floats(&[], &[number]));
            let is_number = self.node("Greater", &[x, &lowest], vec![]);
            return self.node("Where", &[&is_number, x, &zero], vec![]);
        }
        // Operator sets 7 and 8 have no `Where`. A NaN casts to a negative integer or 0, by processor.
        const FINE: f32 = 65_536.0;
        const INT32: i32 = crate::onnx::tensor_proto::DataType::Int32 as i32;
        let x = self.clip(x, 0.0, 1023.0);
        let x = self.times(&x, FINE);
        let x = self.cast(&x, INT32);
        let x = self.cast(&x, ElementType::F32);
        let x = self.times(&x, 1.0 / FINE);
        self.clip(&x, 0.0, 1023.0)
    }

    /// Elementwise maximum by a comparison, from operator set 9 on.
    pub(crate) fn max_by_comparison(&mut self, a: &str, b: &str) -> Name {
        let is_greater = self.node("Greater", &[a, b], vec![]);
        self.node("Where", &[&is_greater, a, b], vec![])
    }

    pub(crate) fn abs(&mut self, x: &str) -> Name {
        self.node("Abs", &[x], vec![])
    }

    /// The maximum of all channels at each pixel, `[1, channels, H, W]` to `[1, 1, H, W]`.
    pub(crate) fn max_of_channels(&mut self, x: &str, channels: i64) -> Name {
        let parts: Vec<Name> = (0..channels).map(|c| self.slice(x, 1, c, c + 1)).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.node("Max", &parts, vec![])
    }

    /// The maximum in each pixel's 3x3 neighbourhood.
    pub(crate) fn max_of_neighbours(&mut self, x: &str) -> Name {
        let attributes = vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])];
        self.node("MaxPool", &[x], attributes)
    }

    /// The mean of each channel, `[N, C, 1, 1]`.
    pub(crate) fn mean_of_picture(&mut self, x: &str) -> Name {
        self.node("GlobalAveragePool", &[x], vec![])
    }

    /// Means of blocks of `block` pixels (height, width); blocks at the right and the bottom may be smaller.
    pub(crate) fn mean_of_blocks(&mut self, x: &str, block: [usize; 2], size: [usize; 2]) -> Name {
        let [bottom, right] = [0, 1].map(|a| (size[a].next_multiple_of(block[a]) - size[a]) as i64);
        let block = block.map(|side| side as i64);
        let mut attributes = vec![ints("kernel_shape", &block), ints("strides", &block)];
        if [bottom, right] != [0, 0] {
            attributes.push(ints("pads", &[0, 0, bottom, right]));
        }
        self.node("AveragePool", &[x], attributes)
    }

    pub(crate) fn matmul(&mut self, a: &str, b: &str) -> Name {
        self.node("MatMul", &[a, b], vec![])
    }

    pub(crate) fn div(&mut self, a: &str, b: &str) -> Name {
        self.node("Div", &[a, b], vec![])
    }

    pub(crate) fn sqrt(&mut self, x: &str) -> Name {
        self.node("Sqrt", &[x], vec![])
    }

    /// Weighted sums of the three channels of pictures, `[1, 3, h, w]`, one for each row of weights. A matrix product,
    /// because a convolution with so few channels takes ten times as long on a CPU.
    pub(crate) fn weighted(
        &mut self,
        x: &str,
        rows: &[[f32; 3]],
        (height, width): (usize, usize),
    ) -> Name {
        let (count, height, width) = (rows.len() as i64, height as i64, width as i64);
        let weights = self.floats(&[count, 3], &rows.concat());
        let pixels = self.reshape(x, &[3, height * width]);
        let sums = self.matmul(&weights, &pixels);
        self.reshape(&sums, &[1, count, height, width])
    }

    /// Means of windows without padding.
    pub(crate) fn average(&mut self, x: &str, window: [i64; 2], strides: [i64; 2]) -> Name {
        let attributes = vec![ints("kernel_shape", &window), ints("strides", &strides)];
        self.node("AveragePool", &[x], attributes)
    }

    /// Scales pictures to this height and width by linear interpolation with pixel centres at half integers, without
    /// antialiasing. From operator set 11 on.
    pub(crate) fn resize(
        &mut self,
        x: &str,
        (height, width): (usize, usize),
        channels: i64,
    ) -> Name {
        let sizes = self.integers(&[1, channels, height as i64, width as i64]);
        let attributes = vec![
            text("mode", "linear"),
            text("coordinate_transformation_mode", "half_pixel"),
        ];
        if self.opset >= 13 {
            return self.node("Resize", &[x, "", "", &sizes], attributes);
        }
        // Before operator set 13, region and scales must be present, but may be empty.
        let nothing = self.floats(&[0], &[]);
        self.node("Resize", &[x, &nothing, &nothing, &sizes], attributes)
    }

    /// Convolution without padding.
    pub(crate) fn conv(
        &mut self,
        x: &str,
        weights: &str,
        bias: Option<&str>,
        strides: [i64; 2],
    ) -> Name {
        let inputs: Vec<&str> = [x, weights].into_iter().chain(bias).collect();
        self.node("Conv", &inputs, vec![ints("strides", &strides)])
    }

    /// Transposed convolution; `crop`: elements removed at the top, left, bottom and right.
    pub(crate) fn conv_transpose(
        &mut self,
        x: &str,
        weights: &str,
        bias: Option<&str>,
        strides: [i64; 2],
        crop: [i64; 4],
    ) -> Name {
        let attributes = vec![ints("strides", &strides), ints("pads", &crop)];
        let inputs: Vec<&str> = [x, weights].into_iter().chain(bias).collect();
        self.node("ConvTranspose", &inputs, attributes)
    }

    /// Sums over one axis, which is removed unless `keep` is set.
    pub(crate) fn sum(&mut self, x: &str, axis: i64, keep: bool) -> Name {
        let keep = int("keepdims", keep.into());
        if self.opset < 13 {
            return self.node("ReduceSum", &[x], vec![ints("axes", &[axis]), keep]);
        }
        let axes = self.integers(&[axis]);
        self.node("ReduceSum", &[x, &axes], vec![keep])
    }

    /// `[1, 4 · C, h, w]` to `[1, C, 2 · h, 2 · w]` in mode `DCR`, or with `by_colour` in `CRD`, which needs operator
    /// set 11.
    pub(crate) fn depth_to_space(&mut self, x: &str, by_colour: bool) -> Name {
        let mut attributes = vec![int("blocksize", 2)];
        if by_colour {
            attributes.push(text("mode", "CRD"));
        }
        self.node("DepthToSpace", &[x], attributes)
    }

    /// Values clamped to `low..high`.
    pub(crate) fn clip(&mut self, x: &str, low: f32, high: f32) -> Name {
        if self.opset >= 11 {
            let [low, high] = [low, high].map(|limit| self.floats(&[], &[limit]));
            return self.node("Clip", &[x, &low, &high], vec![]);
        }
        self.node("Clip", &[x], vec![float("min", low), float("max", high)])
    }

    /// Padding with `mode` "reflect", "edge" or "constant" (zeros) by `pads` before each axis, then after each. For u8
    /// from operator set 11 on.
    pub(crate) fn pad(&mut self, x: &str, mode: &str, pads: &[i64; 8]) -> Name {
        let mode = text("mode", mode);
        if self.opset < 11 {
            return self.node("Pad", &[x], vec![mode, ints("pads", pads)]);
        }
        let pads = self.integers(pads);
        self.node("Pad", &[x, &pads], vec![mode])
    }

    /// Reflection padding (without repeating the edge) of pictures at the right and the bottom to this size, repeated
    /// if it is longer than the picture; `axis` is that of the rows, followed by that of the columns.
    pub(crate) fn pad_reflect(
        &mut self,
        x: &str,
        axis: usize,
        (mut height, mut width): (usize, usize),
        (to_height, to_width): (usize, usize),
    ) -> Name {
        let mut x = x.to_string();
        while height < to_height || width < to_width {
            let bottom = (to_height - height).min(height - 1);
            let right = (to_width - width).min(width - 1);
            let mut pads = [0; 8];
            (pads[4 + axis], pads[5 + axis]) = (bottom as i64, right as i64);
            x = self.pad(&x, "reflect", &pads);
            height += bottom;
            width += right;
        }
        x
    }

    /// Converts u8 to floats: `x · scale`.
    pub(crate) fn dequantize(&mut self, x: &str, scale: f32) -> Name {
        // With DequantizeLinear here and QuantizeLinear at the end, ONNX Runtime would treat the generator as quantized.
        let x = self.cast(x, ElementType::F32);
        if scale == 1.0 {
            return x;
        }
        self.times(&x, scale)
    }

    /// Converts floats to u8: `x / scale`, rounded to nearest and clamped to 0..255, because a plain cast wraps.
    pub(crate) fn quantize(&mut self, x: &str, scale: f32) -> Name {
        if self.opset >= 10 {
            let scale = self.floats(&[], &[scale]);
            let zero = self.zero_bytes(&[]);
            return self.node("QuantizeLinear", &[x, &scale, &zero], vec![]);
        }
        if scale == 1.0 {
            return self.round_to_bytes(x);
        }
        let x = self.times(x, 1.0 / scale);
        self.round_to_bytes(&x)
    }

    /// As [`Self::quantize`] with scale 1, by elementwise operators, which a compiler fuses with the preceding ones.
    pub(crate) fn round_to_bytes(&mut self, x: &str) -> Name {
        let rounded = self.round(x, 255.0);
        self.cast(&rounded, ElementType::U8)
    }

    /// Values clamped to `0..most` and rounded to the nearest integer.
    pub(crate) fn round(&mut self, x: &str, most: f32) -> Name {
        let clipped = self.clip(x, 0.0, most);
        if self.opset >= 11 {
            return self.node("Round", &[&clipped], vec![]);
        }
        self.round_half_up(&clipped)
    }

    /// The nearest integer, the greater of two, without `Round`.
    pub(crate) fn round_half_up(&mut self, x: &str) -> Name {
        let raised = self.plus(x, 0.5);
        self.floor(&raised)
    }

    /// Rounded down.
    pub(crate) fn floor(&mut self, x: &str) -> Name {
        self.node("Floor", &[x], vec![])
    }

    /// `then()` if the one-element float tensor `x` is below `limit`, else `otherwise()`. Only the branch taken is
    /// computed. Both return one u8 tensor of the same shape.
    pub(crate) fn if_below(
        &mut self,
        x: &str,
        limit: f32,
        then: impl FnOnce(&mut Self) -> Name,
        otherwise: impl FnOnce(&mut Self) -> Name,
    ) -> Name {
        let limit = self.floats(&[1], &[limit]);
        let condition = self.node("Less", &[x, &limit], vec![]);
        let then = self.subgraph("then", then);
        let otherwise = self.subgraph("otherwise", otherwise);
        let attributes = vec![graph("then_branch", then), graph("else_branch", otherwise)];
        self.node("If", &[&condition], attributes)
    }

    /// Removes nodes and constants on which none of these outputs depends.
    pub(crate) fn drop_unread<'a>(&mut self, outputs: impl IntoIterator<Item = &'a str>) {
        let mut read: HashSet<String> = outputs.into_iter().map(String::from).collect();
        let mut kept = Vec::new();
        for node in std::mem::take(&mut self.nodes).into_iter().rev() {
            if node.output.iter().any(|name| read.contains(name)) {
                read.extend(walk::reads(&node).map(String::from));
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
        self.constants.retain(|tensor| read.contains(&tensor.name));
    }

    /// A branch's graph, which returns the u8 tensor of `body`.
    fn subgraph(&mut self, name: &str, body: impl FnOnce(&mut Self) -> Name) -> GraphProto {
        let mut branch = self.continued();
        let output = body(&mut branch);
        self.serial = branch.serial;
        GraphProto {
            name: format!("{PREFIX}{name}"),
            output: vec![value_info(&output, ElementType::U8, None)],
            node: branch.nodes,
            initializer: branch.constants,
            ..GraphProto::default()
        }
    }
}
