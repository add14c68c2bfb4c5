// SPDX-License-Identifier: MPL-2.0
//! Asks a generator what its file does not say, by running it on small test pictures.
//!
//! A run tells the output's range and the sizes that come back unchanged. It cannot tell the
//! input's range or channel order: instance normalization cancels scale, and a picture with red
//! and blue exchanged looks just as styled.

use half::f16;
use ort::value::{DynValue, Tensor};

use super::session::load;
use super::{CAT, Choice, EngineError, Precision, Provider, Runtime};
use crate::model::{ElementType, Facts, Layout, Model, ModelError, Range, Signature};

/// Candidate size multiples with a picture size for each: not a multiple of the next candidate, and
/// larger than the reflection paddings in use.
const SIZES: [(usize, (usize, usize)); 6] = [
    (1, (99, 97)),
    (2, (98, 102)),
    (4, (100, 108)),
    (8, (104, 120)),
    (16, (112, 144)),
    (32, (96, 160)),
];

/// A picture in and what came out of it.
struct Outcome {
    width: usize,
    height: usize,
    /// In the generator's own layout and range.
    values: Vec<f32>,
}

/// Runs the generator on the CPU and returns what the runs tell, to stand behind `facts`.
///
/// # Errors
/// [`EngineError::Refused`] when the graph does not load or run at any size, and
/// [`ModelError::SizeChanges`] when no size comes back unchanged.
pub fn probe(runtime: &Runtime, model: &Model, facts: &Facts) -> Result<Facts, EngineError> {
    // Where nothing is known of the range, 0..255 tells more: a network that squashes its output
    // gives 0..1 back all the same.
    let unknown = facts.input_range.or(facts.output_range).is_none();
    let assumed = Facts {
        input_range: unknown.then_some(Range::BYTE),
        ..Facts::default()
    };
    let signature = Signature::resolve(model, &facts.or(assumed));
    let prober = Prober {
        runtime,
        model,
        signature: &signature,
    };
    let found = match model.fixed_size(facts) {
        Some((width, height)) => prober.fixed(width, height)?,
        None => prober.any(facts)?,
    };
    gst::debug!(CAT, "probe tells {found:?}");
    Ok(found)
}

struct Prober<'a> {
    runtime: &'a Runtime,
    model: &'a Model,
    signature: &'a Signature,
}

impl Prober<'_> {
    /// For a graph that fixes its size: the range, and whether the graph means it.
    fn fixed(&self, width: usize, height: usize) -> Result<Facts, EngineError> {
        let half = Picture::new(width / 2, height / 2);
        let even = width % 2 == 0 && height % 2 == 0;
        let whole = if even {
            half.mirrored()
        } else {
            Picture::new(width, height)
        };
        let outcome = self.run(&whole)?;
        same_size(&whole, &outcome)?;
        let resizable = even
            && match self.run(&half) {
                Ok(small) => self.agree(&half, &small, &outcome),
                Err(err) => {
                    gst::debug!(CAT, "runs at {width}x{height} only: {err}");
                    false
                }
            };
        let mut facts = Facts {
            output_range: Some(range_of(&outcome.values)),
            resizable: Some(resizable),
            ..Facts::default()
        };
        if resizable {
            facts.multiple = self.multiple().ok().map(|(multiple, _)| multiple);
            facts.resizable = Some(facts.multiple.is_some());
        }
        Ok(facts)
    }

    /// For a graph of open size: the range and the multiple.
    fn any(&self, facts: &Facts) -> Result<Facts, EngineError> {
        let (multiple, outcome) = match facts.multiple {
            Some(multiple) => {
                let side = 96_usize.next_multiple_of(multiple);
                (multiple, self.run(&Picture::new(side, side))?)
            }
            None => self.multiple()?,
        };
        Ok(Facts {
            output_range: Some(range_of(&outcome.values)),
            multiple: Some(multiple),
            ..Facts::default()
        })
    }

    /// The smallest candidate for which the size comes back unchanged.
    fn multiple(&self) -> Result<(usize, Outcome), EngineError> {
        let mut last = None;
        for (multiple, (width, height)) in SIZES {
            let picture = Picture::new(width, height);
            let outcome = self.run(&picture).and_then(|outcome| {
                same_size(&picture, &outcome)?;
                Ok(outcome)
            });
            match outcome {
                Ok(outcome) => return Ok((multiple, outcome)),
                Err(err) => last = Some(err),
            }
        }
        Err(last.unwrap_or_else(|| EngineError::Refused("no size runs".into())))
    }

    fn run(&self, picture: &Picture) -> Result<Outcome, EngineError> {
        let layout = self.signature.input.layout;
        let (width, height) = (picture.width, picture.height);
        let graph = self.model.at_size(layout, width, height)?;
        let choice = Choice {
            provider: Provider::Cpu,
            precision: Precision::Fp32,
            threads: 0,
        };
        let mut session = load(self.runtime, &graph, &choice)?;
        let shape = match layout {
            Layout::Nchw => [1, 3, height, width],
            Layout::Nhwc => [1, height, width, 3],
        };
        let range = self.signature.input.range;
        let values = picture.values(layout, &range);
        let input = self.tensor(shape, values)?;
        let name = &self.signature.input.name;
        let outputs = session
            .run(ort::inputs![name.as_str() => input])
            .map_err(EngineError::run)?;
        let (shape, values) = floats(&outputs[0])?;
        let (height, width) = match (self.signature.output.layout, shape.as_slice()) {
            (Layout::Nchw, &[_, 3, h, w])
            | (Layout::Nhwc, &[_, h, w, 3]) => (h, w),
            _ => {
                let name = &self.signature.output.name;
                let outputs = vec![format!("{name} {shape:?}")];
                let inputs = vec![self.signature.input.name.clone()];
                return Err(ModelError::NoImageOutput { inputs, outputs }.into());
            }
        };
        Ok(Outcome {
            width: usize::try_from(width).unwrap_or(0),
            height: usize::try_from(height).unwrap_or(0),
            values,
        })
    }

    fn tensor(&self, shape: [usize; 4], values: Vec<f32>) -> Result<DynValue, EngineError> {
        let tensor = match self.signature.input.element {
            ElementType::F32 => Tensor::from_array((shape, values)).map(Tensor::into_dyn),
            ElementType::F16 => {
                let values: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
                Tensor::from_array((shape, values)).map(Tensor::into_dyn)
            }
            ElementType::U8 => {
                let values: Vec<u8> = values.into_iter().map(|v| v as u8).collect();
                Tensor::from_array((shape, values)).map(Tensor::into_dyn)
            }
        };
        tensor.map_err(EngineError::run)
    }

    /// Whether the graph does to a picture what it does to the same picture inside its four-fold
    /// mirror image. Mirroring keeps the statistics that instance normalization sees, so a graph
    /// that truly works at any size agrees; one with its size baked in (a mean taken as a sum over
    /// a constant, for instance) runs but does not.
    fn agree(&self, half: &Picture, small: &Outcome, whole: &Outcome) -> bool {
        if same_size(half, small).is_err() {
            return false;
        }
        let layout = self.signature.output.layout;
        let (mut difference, mut count) = (0.0, 0.0);
        for y in half.height / 4..half.height * 3 / 4 {
            for x in half.width / 4..half.width * 3 / 4 {
                for c in 0..3 {
                    let a = small.values[index(layout, (half.width, half.height), (c, y, x))];
                    let b = whole.values[index(layout, (whole.width, whole.height), (c, y, x))];
                    difference += f64::from((a - b).abs());
                    count += 1.0;
                }
            }
        }
        let (low, high) = spread(&small.values);
        let relative = difference / count / f64::from(high - low).max(1e-6);
        gst::debug!(CAT, "at half the size the output differs by {relative:.4} of its range");
        relative < 0.05
    }
}

/// A test picture of smooth and sharp parts, dark and bright, grey and saturated; 8-bit values.
struct Picture {
    width: usize,
    height: usize,
    /// Interleaved RGB.
    pixels: Vec<u8>,
}

impl Picture {
    fn new(width: usize, height: usize) -> Self {
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
                let wave = (u * 19.0 + v * 7.0).sin() * (v * 13.0 - u * 5.0).cos();
                let block = ((x / 8 + y / 8) % 3) as f32 / 2.0;
                for c in 0..3 {
                    let tint = (u * 6.3 + v * 4.1 + c as f32 * 2.1).sin();
                    let value = 0.5 + 0.25 * wave + 0.2 * (block - 0.5) + 0.35 * tint;
                    pixels.push((value * 255.0).clamp(0.0, 255.0) as u8);
                }
            }
        }
        Self {
            width,
            height,
            pixels,
        }
    }

    /// Twice as wide and high: the picture and its mirror images.
    fn mirrored(&self) -> Self {
        let (width, height) = (self.width * 2, self.height * 2);
        let fold = |i: usize, n: usize| if i < n { i } else { 2 * n - 1 - i };
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let at = (fold(y, self.height) * self.width + fold(x, self.width)) * 3;
                pixels.extend_from_slice(&self.pixels[at..at + 3]);
            }
        }
        Self {
            width,
            height,
            pixels,
        }
    }

    fn values(&self, layout: Layout, range: &Range) -> Vec<f32> {
        let (scale, offset) = range.scale_offset();
        let mut values = vec![0.0; self.pixels.len()];
        for y in 0..self.height {
            for x in 0..self.width {
                for c in 0..3 {
                    let byte = self.pixels[(y * self.width + x) * 3 + c];
                    values[index(layout, (self.width, self.height), (c, y, x))] =
                        f32::from(byte) * scale[c] + offset[c];
                }
            }
        }
        values
    }
}

fn index(
    layout: Layout,
    (width, height): (usize, usize),
    (c, y, x): (usize, usize, usize),
) -> usize {
    match layout {
        Layout::Nchw => (c * height + y) * width + x,
        Layout::Nhwc => (y * width + x) * 3 + c,
    }
}

fn same_size(picture: &Picture, outcome: &Outcome) -> Result<(), ModelError> {
    let (input, output) = (
        (picture.width, picture.height),
        (outcome.width, outcome.height),
    );
    if input == output {
        Ok(())
    } else {
        Err(Model::size_changes(input, output))
    }
}

fn floats(value: &DynValue) -> Result<(Vec<i64>, Vec<f32>), EngineError> {
    if let Ok((shape, values)) = value.try_extract_tensor::<f32>() {
        return Ok((shape.to_vec(), values.to_vec()));
    }
    if let Ok((shape, values)) = value.try_extract_tensor::<f16>() {
        return Ok((shape.to_vec(), values.iter().map(|v| v.to_f32()).collect()));
    }
    let (shape, values) = value
        .try_extract_tensor::<u8>()
        .map_err(EngineError::run)?;
    Ok((shape.to_vec(), values.iter().map(|v| f32::from(*v)).collect()))
}

/// First and last percentile: single pixels overshoot.
fn spread(values: &[f32]) -> (f32, f32) {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let at = |share: f64| {
        let index = (sorted.len() as f64 * share) as usize;
        sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
    };
    (at(0.01), at(0.99))
}

/// The output's nominal range from what came out of a full-range picture. Generators overshoot
/// their range by a fifth or so, which sets the bounds.
fn range_of(values: &[f32]) -> Range {
    match spread(values) {
        (_, high) if high > 4.0 => Range::BYTE,
        (low, _) if low < -0.4 => Range::SIGNED,
        _ => Range::UNIT,
    }
}
