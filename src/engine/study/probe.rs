// SPDX-License-Identifier: MPL-2.0
//! Measures conventions of a generator that its file does not state, by running it on small test pictures.
//!
//! A run shows the output's range and the sizes that the generator preserves. It cannot show the input's range or
//! channel order: instance normalization cancels scale, and a picture with red and blue exchanged looks just as
//! stylized.

use half::f16;
use ort::value::{DynValue, Tensor};

use super::picture::{TestPicture, index};
use crate::engine::error::EngineError;
use crate::engine::log::CAT;
use crate::engine::provider::choice::Choice;
use crate::engine::run::noise::normal;
use crate::engine::run::session::load;
use crate::engine::runtime::Runtime;
use crate::model::{
    Conventions, DEFAULT_MINIMUM, DeclaredTensor, ElementType, Layout, Model, ModelError, Range,
    Signature,
};

/// Candidate size multiples, each with a picture size (width, height) that is not a multiple of the next candidate
/// and is larger than the usual reflection paddings. For multiple 1, one side is odd and one even.
const SIZES: [(usize, (usize, usize)); 9] = [
    (1, (99, 98)),
    (2, (98, 102)),
    (4, (100, 108)),
    (8, (104, 120)),
    (16, (112, 144)),
    (32, (96, 160)),
    (64, (192, 320)),
    (128, (128, 384)),
    (256, (256, 768)),
];

/// Size (width, height) at which a graph of fixed size is tried, followed by twice that size: not square, a
/// multiple of usual size multiples, and much cheaper than a graph for whole frames.
const HALF: (usize, usize) = (256, 192);

/// The output of a run.
struct Outcome {
    width: usize,
    height: usize,
    /// In the generator's own layout and range.
    values: Vec<f32>,
}

/// Runs the generator on the CPU and returns the measured conventions, to fill the gaps of `conventions`.
///
/// # Errors
/// [`EngineError::Refused`] when the graph does not load or run at any size, and
/// [`ModelError::SizeChanges`] when no size comes back unchanged.
pub fn probe(
    runtime: &Runtime,
    model: &Model,
    conventions: &Conventions,
) -> Result<Conventions, EngineError> {
    let _inside = crate::engine::exit::inside();
    let found = probe_layout(runtime, model, conventions);
    if found.is_ok() || conventions.layout.is_some() || !model.layout_is_open() {
        return found;
    }
    // The layout is unknown and NCHW, the usual one, failed: try NHWC.
    let other = Conventions {
        layout: Some(Layout::Nhwc),
        ..Conventions::default()
    };
    match probe_layout(runtime, model, &conventions.or(other)) {
        Ok(found) => Ok(found.or(other)),
        Err(_) => found,
    }
}

fn probe_layout(
    runtime: &Runtime,
    model: &Model,
    conventions: &Conventions,
) -> Result<Conventions, EngineError> {
    // With an unknown range, probe with 0..255: a network whose output is bounded by a sigmoid returns 0..1
    // regardless of the input's scale, and the others follow it.
    let unknown = conventions
        .input_range
        .or(conventions.output_range)
        .is_none();
    let assumed = Conventions {
        input_range: unknown.then_some(Range::BYTE),
        ..Conventions::default()
    };
    let prober = Prober {
        runtime,
        model,
        signature: &Signature::resolve(model, &conventions.or(assumed)),
        minimum: conventions.minimum.unwrap_or(0),
    };
    let (picture, mut found) = match model.fixed_size(conventions) {
        Some((width, height)) => prober.fixed(width, height)?,
        None => prober.any(conventions)?,
    };
    if unknown && follows_scale(model) {
        // A range of 0..255 may only be the probe's own scale; and a network for -1..1 that is given positive
        // numbers only may not return negative ones. Probe again with the other range.
        let other = match found.output_range {
            Some(Range::BYTE) => Range::UNIT,
            _ => Range::SIGNED,
        };
        let other = Conventions {
            input_range: Some(other),
            ..Conventions::default()
        };
        let prober = Prober {
            signature: &Signature::resolve(model, &conventions.or(found).or(other)),
            ..prober
        };
        found.output_range = Some(range_of(&prober.run(&picture)?.values));
    }
    gst::debug!(CAT, "probe tells {found:?}");
    Ok(found)
}

/// Whether the output's scale may depend on the input's: not in networks with instance normalization, nor in those
/// with u8 inputs or outputs.
fn follows_scale(model: &Model) -> bool {
    let normalized = ["Normalization", "ReduceMean", "GlobalAveragePool"]
        .iter()
        .any(|name| model.has_operator(name));
    let bytes = |tensor: &DeclaredTensor| tensor.element == ElementType::U8;
    !normalized && !bytes(model.input()) && !bytes(model.output())
}

#[derive(Clone, Copy)]
struct Prober<'a> {
    runtime: &'a Runtime,
    model: &'a Model,
    signature: &'a Signature,
    /// Smallest side in pixels that the generator is known to take.
    minimum: usize,
}

impl Prober<'_> {
    /// Probes a graph of fixed size: output range, and whether it also works at other sizes.
    fn fixed(
        &self,
        width: usize,
        height: usize,
    ) -> Result<(TestPicture, Conventions), EngineError> {
        // Running a graph that has its size in constants at another size could crash.
        if !self.model.is_baked() {
            match self.resizable() {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => gst::debug!(CAT, "works at {width}x{height} only"),
                Err(err) => gst::debug!(CAT, "runs at {width}x{height} only: {err}"),
            }
        }
        let picture = TestPicture::test(width, height);
        let outcome = self.run(&picture)?;
        same_size(&picture, &outcome)?;
        let found = Conventions {
            output_range: Some(range_of(&outcome.values)),
            resizable: Some(false),
            ..Conventions::default()
        };
        Ok((picture, found))
    }

    /// Probes a graph of fixed size at other sizes; `None` if it runs but its output is not consistent.
    fn resizable(&self) -> Result<Option<(TestPicture, Conventions)>, EngineError> {
        let (width, height) = self.at_least(HALF, 64);
        let half = TestPicture::test(width, height);
        let small = self.run(&half)?;
        same_size(&half, &small)?;
        let whole = half.mirrored();
        let outcome = self.run(&whole)?;
        same_size(&whole, &outcome)?;
        if !self.agree(&half, &small, &outcome) {
            return Ok(None);
        }
        let (multiple, ..) = self.multiple()?;
        let found = Conventions {
            output_range: Some(range_of(&outcome.values)),
            resizable: Some(true),
            multiple: Some(multiple),
            ..Conventions::default()
        };
        Ok(Some((whole, found)))
    }

    /// Probes a graph that takes any size: output range and size multiple.
    fn any(&self, conventions: &Conventions) -> Result<(TestPicture, Conventions), EngineError> {
        if self.model.is_baked() {
            let reason = "The size of its input is open, but a ConvTranspose in it states the size of its output.";
            return Err(EngineError::Refused(reason.into()));
        }
        let (multiple, picture, outcome) = match conventions.multiple {
            Some(multiple) => {
                let side = DEFAULT_MINIMUM.max(conventions.minimum.unwrap_or(0));
                let side = side.next_multiple_of(multiple);
                let picture = TestPicture::test(side, side);
                let outcome = self.run(&picture)?;
                same_size(&picture, &outcome)?;
                (multiple, picture, outcome)
            }
            None => self.multiple()?,
        };
        let found = Conventions {
            output_range: Some(range_of(&outcome.values)),
            multiple: Some(multiple),
            ..Conventions::default()
        };
        Ok((picture, found))
    }

    /// The smallest candidate of [`SIZES`] at which the output has the input's size.
    fn multiple(&self) -> Result<(usize, TestPicture, Outcome), EngineError> {
        let mut last = None;
        for (multiple, size) in SIZES {
            let (width, height) = self.at_least(size, 2 * multiple);
            let picture = TestPicture::test(width, height);
            let outcome = self.run(&picture).and_then(|outcome| {
                same_size(&picture, &outcome)?;
                Ok(outcome)
            });
            match outcome {
                Ok(outcome) => return Ok((multiple, picture, outcome)),
                Err(err) => last = Some(err),
            }
        }
        Err(last.unwrap_or_else(|| EngineError::Refused("no size runs".into())))
    }

    /// A size of at least `minimum`, enlarged by multiples of `step`.
    fn at_least(&self, (width, height): (usize, usize), step: usize) -> (usize, usize) {
        let side = |side: usize| side + self.minimum.saturating_sub(side).next_multiple_of(step);
        (side(width), side(height))
    }

    /// Runs the generator on a picture.
    fn run(&self, picture: &TestPicture) -> Result<Outcome, EngineError> {
        let layout = self.signature.input.layout;
        let (width, height) = (picture.width, picture.height);
        let graph = self.model.at_size(layout, width, height)?;
        let mut session = load(self.runtime, &graph, &Choice::cpu())?;
        let shape = match layout {
            Layout::Nchw => [1, 3, height, width],
            Layout::Nhwc => [1, height, width, 3],
        };
        let range = self.signature.input.range;
        let values = picture.values(layout, &range);
        let input = self.tensor(shape, values)?;
        let mut inputs = vec![(self.signature.input.name.clone(), input)];
        for (index, noise) in self.model.noise().iter().enumerate() {
            let shape = noise.shape(width, height);
            let numbers = normal(0, index, shape.iter().product());
            let tensor = Tensor::from_array((shape, numbers)).map_err(EngineError::run)?;
            inputs.push((noise.name.clone(), tensor.into_dyn()));
        }
        if let Some(style) = self.model.style() {
            // The mean of all styles, or a style vector of zeros, the usual mean of a predictor's vectors.
            let value = f32::from(u8::from(style.has_weights())) / style.size() as f32;
            let values = (style.dims.clone(), vec![value; style.size()]);
            let tensor = Tensor::from_array(values).map_err(EngineError::run)?;
            inputs.push((style.name.clone(), tensor.into_dyn()));
        }
        let outputs = session.run(inputs).map_err(EngineError::run)?;
        let (shape, values) = floats(&outputs[0])?;
        let (height, width) = match (self.signature.output.layout, shape.as_slice()) {
            (Layout::Nchw, &[_, 3, h, w]) | (Layout::Nhwc, &[_, h, w, 3]) => (h, w),
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

    /// An input tensor in the generator's element type.
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

    /// Whether the output for a picture equals that part of the output for the picture tiled to twice the size with
    /// mirrored copies. Mirroring keeps the statistics that instance normalization computes, so the outputs of a
    /// graph that works at any size agree; those of one with its size in constants (a mean computed as a sum divided
    /// by a constant, for instance) do not.
    fn agree(&self, half: &TestPicture, small: &Outcome, whole: &Outcome) -> bool {
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
        let range = f64::from(high - low).max(1e-6);
        let pixels = difference / count / range;
        let contrast = (deviation(&small.values) - deviation(&whole.values)).abs() / range;
        gst::debug!(
            CAT,
            "at half the size the output differs by {pixels:.4} of its range, its contrast by {contrast:.4}"
        );
        // Measured: generators that work at any size differ by at most 0.07 and 0.025 (they add texture in flat
        // areas), those with constant divisors in their normalizations by at least 0.1 or 0.07.
        pixels < 0.085 && contrast < 0.045
    }
}

/// Standard deviation.
fn deviation(values: &[f32]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let square = |v: &f32| (f64::from(*v) - mean).powi(2);
    (values.iter().map(square).sum::<f64>() / count).sqrt()
}

/// An error if the output has another size than the picture.
fn same_size(picture: &TestPicture, outcome: &Outcome) -> Result<(), ModelError> {
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

/// Shape and values of a tensor of any supported element type.
fn floats(value: &DynValue) -> Result<(Vec<i64>, Vec<f32>), EngineError> {
    if let Ok((shape, values)) = value.try_extract_tensor::<f32>() {
        return Ok((shape.to_vec(), values.to_vec()));
    }
    if let Ok((shape, values)) = value.try_extract_tensor::<f16>() {
        return Ok((shape.to_vec(), values.iter().map(|v| v.to_f32()).collect()));
    }
    let (shape, values) = value.try_extract_tensor::<u8>().map_err(EngineError::run)?;
    Ok((
        shape.to_vec(),
        values.iter().map(|v| f32::from(*v)).collect(),
    ))
}

/// 1st and 99th percentile of the finite values, because single pixels overshoot the range.
fn spread(values: &[f32]) -> (f32, f32) {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let at = |share: f64| {
        let index = (sorted.len() as f64 * share) as usize;
        sorted
            .get(index.min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0.0)
    };
    (at(0.01), at(0.99))
}

/// The nominal range of an output for a picture of full range. The thresholds allow for generators that overshoot
/// their range by about a fifth.
fn range_of(values: &[f32]) -> Range {
    match spread(values) {
        (_, high) if high > 4.0 => Range::BYTE,
        (low, _) if low < -0.4 => Range::SIGNED,
        _ => Range::UNIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values spread evenly from `low` to `high`.
    fn ramp(low: f32, high: f32) -> Vec<f32> {
        let step = |i: i16| low + (high - low) * f32::from(i) / 999.0;
        (0..1000).map(step).collect()
    }

    #[test]
    fn ranges_are_told_with_their_overshoot() {
        for (low, high, range) in [
            (0.0, 255.0, Range::BYTE),
            (-46.0, 274.0, Range::BYTE),
            (60.0, 180.0, Range::BYTE),
            (0.0, 1.0, Range::UNIT),
            (-0.2, 1.2, Range::UNIT),
            (0.3, 0.6, Range::UNIT),
            (-1.0, 1.0, Range::SIGNED),
            (-0.9, 0.7, Range::SIGNED),
            (-1.3, 1.3, Range::SIGNED),
        ] {
            assert_eq!(range_of(&ramp(low, high)), range, "{low}..{high}");
        }
    }

    #[test]
    fn single_values_do_not_decide_the_range() {
        let mut values = ramp(0.0, 1.0);
        values[..3].copy_from_slice(&[f32::NAN, 300.0, -300.0]);
        assert_eq!(range_of(&values), Range::UNIT);
        assert_eq!(range_of(&[]), Range::UNIT);
    }
}
