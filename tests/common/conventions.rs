// SPDX-License-Identifier: MPL-2.0
//! Generators in the conventions of other exporters, each with scalar reference arithmetic.

use half::f16;

use super::generators::{F16, F32, Net, U8, int, ints};
use super::picture::Picture;

/// Format of a generator's input and output tensors.
#[derive(Clone, Copy)]
pub struct Convention {
    pub opset: i64,
    /// `TensorProto.DataType` of input and output.
    pub element: i32,
    pub nhwc: bool,
    pub bgr: bool,
    /// Tensor values for 8-bit 0 and 255.
    pub range: (f32, f32),
    /// Width and height in the graph's shapes; open if `None`.
    pub fixed: Option<(i64, i64)>,
}

impl Default for Convention {
    fn default() -> Self {
        Self {
            opset: 13,
            element: F32,
            nhwc: false,
            bgr: false,
            range: (0.0, 255.0),
            fixed: None,
        }
    }
}

impl Convention {
    pub fn dims(&self) -> [i64; 4] {
        let (width, height) = self.fixed.unwrap_or((-1, -1));
        match self.nhwc {
            false => [1, 3, height, width],
            true => [1, height, width, 3],
        }
    }

    fn bytes(&self) -> bool {
        self.range == (0.0, 255.0)
    }

    /// Gain and offset for the generator's channel `k`, in its own units: different for each, so
    /// that exchanged channels show.
    fn gain(&self, k: usize) -> (f32, f32) {
        match self.range {
            (0.0, 255.0) => [(0.5, 40.0), (1.2, -20.0), (0.8, 10.0)][k],
            (0.0, _) => [(4.0, -2.0), (5.0, -2.5), (3.0, -1.0)][k],
            _ => [(2.0, 0.25), (1.5, -0.25), (1.0, 0.0)][k],
        }
    }

    /// A graph of pixelwise gains in this convention, squashed into the range as trained generators
    /// do it: not at all over 0..255, by a sigmoid over 0..1, by tanh over -1..1.
    pub fn pixelwise(&self) -> Net {
        self.chain("x", "y")
    }

    /// As above from a tensor `first`, for graphs with operators before it.
    pub fn chain(&self, first: &str, last: &str) -> Net {
        let net = Net::new(self.opset)
            .input("x", self.element, &self.dims())
            .output("y", self.element, &self.dims());
        self.gains(net, first, last)
    }

    /// Appends the gains.
    pub fn gains(&self, mut net: Net, first: &str, last: &str) -> Net {
        let dims: [i64; 4] = if self.nhwc {
            [1, 1, 1, 3]
        } else {
            [1, 3, 1, 1]
        };
        let gains: [f32; 3] = std::array::from_fn(|k| self.gain(k).0);
        let offsets: [f32; 3] = std::array::from_fn(|k| self.gain(k).1);
        for (name, values) in [("gains", gains), ("offsets", offsets)] {
            net = match self.element {
                F16 => {
                    let raw = values
                        .iter()
                        .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                        .collect();
                    net.tensor(name, F16, &dims, raw)
                }
                _ => net.floats(name, &dims, &values),
            };
        }
        let mut x = first;
        if self.element == U8 {
            net = net.node("Cast", &[x], "as floats", vec![int("to", 1)]);
            x = "as floats";
        }
        net = net.node("Mul", &[x, "gains"], "scaled", vec![]);
        let squash = match self.range {
            (0.0, 255.0) if self.element == U8 => {
                // Rounded and clamped, as the bytes need it.
                return net
                    .floats("half", &[], &[0.5])
                    .node("Add", &["scaled", "offsets"], "moved", vec![])
                    .node("Relu", &["moved"], "positive", vec![])
                    .floats("top", &[], &[255.0])
                    .node("Min", &["positive", "top"], "clamped", vec![])
                    .node("Add", &["clamped", "half"], "rounded", vec![])
                    .node("Cast", &["rounded"], last, vec![int("to", 2)]);
            }
            (0.0, 255.0) => "Identity",
            (0.0, _) => "Sigmoid",
            _ => "Tanh",
        };
        net.node("Add", &["scaled", "offsets"], "moved", vec![])
            .node(squash, &["moved"], last, vec![])
    }

    /// The result of the gains for a byte (as a real number) in channel `c` of red, green, blue.
    pub fn value(&self, byte: f64, c: usize) -> f64 {
        let (gain, offset) = self.gain(if self.bgr { 2 - c } else { c });
        let (min, max) = (f64::from(self.range.0), f64::from(self.range.1));
        let x = byte * (max - min) / 255.0 + min;
        let z = f64::from(gain) * x + f64::from(offset);
        let y = match self.range {
            _ if self.bytes() => z,
            (0.0, _) => 1.0 / (1.0 + (-z).exp()),
            _ => z.tanh(),
        };
        (y - min) * 255.0 / (max - min)
    }

    /// The expected picture.
    pub fn reference(&self, picture: &Picture) -> Picture {
        picture.map(|rgb| std::array::from_fn(|c| clamp(self.value(f64::from(rgb[c]), c))))
    }
}

/// To the nearest byte.
pub fn clamp(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// Takes every `step`-th pixel and repeats it: sizes come back rounded up to a multiple of `step`.
pub fn blocks(opset: i64, step: i64) -> Net {
    let open = Convention {
        opset,
        ..Convention::default()
    };
    let net = Net::new(opset)
        .input("x", F32, &open.dims())
        .output("y", F32, &open.dims())
        .node(
            "MaxPool",
            &["x"],
            "few",
            vec![ints("kernel_shape", &[1, 1]), ints("strides", &[step; 2])],
        )
        .floats("scales", &[4], &[1.0, 1.0, step as f32, step as f32]);
    match opset {
        ..10 => net.node("Upsample", &["few", "scales"], "y", vec![]),
        // Before opset 13 the input `roi` is required, even if it is empty.
        10..13 => net.floats("region", &[0], &[]).node(
            "Resize",
            &["few", "region", "scales"],
            "y",
            vec![],
        ),
        _ => net.node("Resize", &["few", "", "scales"], "y", vec![]),
    }
}

/// The same for `step` 2, by a transposed convolution that states the size of its output, from an
/// input of `open` size or not.
pub fn transposed(size: i64, open: bool) -> Net {
    let dims = match open {
        true => [1, 3, -1, -1],
        false => [1, 3, size, size],
    };
    let mut kernel = [[0.0; 3]; 3];
    // Of the first row and column, which the stated size cuts off, nothing is left.
    for (y, x) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        kernel[y][x] = 1.0;
    }
    let kernel = kernel.concat();
    Net::new(7)
        .input("x", F32, &dims)
        .output("y", F32, &dims)
        .floats("weights", &[3, 1, 3, 3], &kernel.repeat(3))
        .node(
            "MaxPool",
            &["x"],
            "few",
            vec![ints("kernel_shape", &[1, 1]), ints("strides", &[2, 2])],
        )
        .node(
            "ConvTranspose",
            &["few", "weights"],
            "y",
            vec![
                int("group", 3),
                ints("kernel_shape", &[3, 3]),
                ints("strides", &[2, 2]),
                ints("output_shape", &[size, size]),
            ],
        )
}

/// The expected output of [`blocks`] and [`transposed`].
pub fn blocky(picture: &Picture, step: usize) -> Picture {
    let width = picture.width;
    let pixel = |i: usize| {
        let (x, y) = (i % width, i / width);
        let mut pixel = picture.pixels[y / step * step * width + x / step * step];
        pixel[3] = picture.pixels[i][3];
        pixel
    };
    Picture {
        pixels: (0..picture.pixels.len()).map(pixel).collect(),
        ..*picture
    }
}

/// Mean and deviation of every channel to 128 and 50, by instance normalization.
pub fn normalized(opset: i64) -> Net {
    let open = Convention::default().dims();
    Net::new(opset)
        .input("x", F32, &open)
        .output("y", F32, &open)
        .floats("deviation", &[3], &[50.0; 3])
        .floats("mean", &[3], &[128.0; 3])
        .node(
            "InstanceNormalization",
            &["x", "deviation", "mean"],
            "y",
            vec![],
        )
}

/// As above with a constant number of pixels: it runs at any size, but is correct at one only.
pub fn normalized_for(size: i64) -> Net {
    let dims = [1, 3, size, size];
    let sum = || vec![ints("axes", &[2, 3]), int("keepdims", 1)];
    Net::new(9)
        .input("x", F32, &dims)
        .output("y", F32, &dims)
        .floats("pixels", &[], &[(size * size) as f32])
        .floats("deviation", &[], &[50.0])
        .floats("middle", &[], &[128.0])
        .node("ReduceSum", &["x"], "sum", sum())
        .node("Div", &["sum", "pixels"], "mean", vec![])
        .node("Sub", &["x", "mean"], "centred", vec![])
        .node("Mul", &["centred", "centred"], "squares", vec![])
        .node("ReduceSum", &["squares"], "total", sum())
        .node("Div", &["total", "pixels"], "variance", vec![])
        .node("Sqrt", &["variance"], "root", vec![])
        .node("Div", &["centred", "root"], "unit", vec![])
        .node("Mul", &["unit", "deviation"], "scaled", vec![])
        .node("Add", &["scaled", "middle"], "y", vec![])
}

/// Real-valued planes scaled with the triangle filter, pixel centres at half integers.
pub fn scaled(plane: &[f64], from: (usize, usize), to: (usize, usize)) -> Vec<f64> {
    let weights = |from: usize, to: usize| -> Vec<Vec<f64>> {
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        let row = |out: usize| {
            let centre = (out as f64 + 0.5) * scale;
            let weight = |i: usize| (1.0 - (i as f64 + 0.5 - centre).abs() / support).max(0.0);
            let row: Vec<f64> = (0..from).map(weight).collect();
            let sum: f64 = row.iter().sum();
            row.iter().map(|w| w / sum).collect()
        };
        (0..to).map(row).collect()
    };
    let (across, down) = (weights(from.0, to.0), weights(from.1, to.1));
    let mut result = Vec::with_capacity(to.0 * to.1);
    for v in &down {
        for h in &across {
            let mut sum = 0.0;
            for (y, wy) in v.iter().enumerate().filter(|(_, w)| **w > 0.0) {
                for (x, wx) in h.iter().enumerate().filter(|(_, w)| **w > 0.0) {
                    sum += wy * wx * plane[y * from.0 + x];
                }
            }
            result.push(sum);
        }
    }
    result
}

/// Pixelwise gains with the operators that the first converters from Core ML wrote, on a border
/// that is padded on and cut off.
pub fn legacy(opset: i64) -> Net {
    let float = |name: &str, f: f32| gststylize::onnx::AttributeProto {
        f,
        r#type: gststylize::onnx::attribute_proto::AttributeType::Float.into(),
        ..int(name, 0)
    };
    let bias = gststylize::onnx::AttributeProto {
        floats: vec![-20.0, 0.0, 20.0],
        r#type: gststylize::onnx::attribute_proto::AttributeType::Floats.into(),
        ..int("bias", 0)
    };
    let open = Convention::default().dims();
    let net = Net::new(opset)
        .input("x", F32, &open)
        .output("y", F32, &open)
        .node(
            "ImageScaler",
            &["x"],
            "biased",
            vec![bias, float("scale", 0.5)],
        );
    let padded = if opset < 11 {
        net.node(
            "Pad",
            &["biased"],
            "padded",
            vec![ints("pads", &[0, 0, 2, 1, 0, 0, 0, 3])],
        )
    } else {
        net.integers("pads", &[0, 0, 2, 1, 0, 0, 0, 3]).node(
            "Pad",
            &["biased", "pads"],
            "padded",
            vec![],
        )
    };
    padded
        .node(
            "Crop",
            &["padded"],
            "cropped",
            vec![ints("border", &[1, 2, 3, 0])],
        )
        .node(
            "Affine",
            &["cropped"],
            "y",
            vec![float("alpha", 0.5), float("beta", 60.0)],
        )
}
