// SPDX-License-Identifier: MPL-2.0
//! Style predictor: the network that computes a style vector from a painting, for generators of the two-network
//! kind (Ghiasi et al. 2017, arXiv:1705.06830).

use ort::value::{Tensor, TensorElementType};
use parking_lot::Mutex;

use super::picture::TestPicture;
use crate::engine::error::EngineError;
use crate::engine::provider::choice::Choice;
use crate::engine::run::session::load;
use crate::engine::runtime::Runtime;
use crate::model::{Layout, Range};

/// Width and height of the painting for a predictor that takes any size, pixels.
const SIDE: usize = 256;

/// A loaded predictor. It runs on the CPU, because it runs once per painting only.
pub struct Predictor {
    session: Mutex<ort::session::Session>,
    input: String,
    layout: Layout,
    width: usize,
    height: usize,
}

impl Predictor {
    /// Loads an ONNX model with one float32 image input of values 0..1, `[1, 3, H, W]` or
    /// `[1, H, W, 3]`.
    ///
    /// # Errors
    /// [`EngineError::Refused`] for a model that does not load or has other inputs.
    pub fn load(runtime: &Runtime, model: &[u8]) -> Result<Self, EngineError> {
        let session = load(runtime, model, &Choice::cpu())?;
        let refused = || {
            let inputs = session.inputs().iter();
            let inputs: Vec<_> = inputs
                .map(|i| format!("{} {}", i.name(), i.dtype()))
                .collect();
            EngineError::Refused(format!(
                "A style predictor has one float32 image input, [1, 3, H, W] or [1, H, W, 3]; this model has {}.",
                inputs.join(", ")
            ))
        };
        let [input] = session.inputs() else {
            return Err(refused());
        };
        let side = |size: i64| usize::try_from(size).unwrap_or(SIDE);
        let float = input.dtype().tensor_type() == Some(TensorElementType::Float32);
        let shape = input.dtype().tensor_shape().filter(|_| float);
        let (layout, height, width) = match shape.map(|shape| &shape[..]) {
            Some(&[_, 3, h, w]) => (Layout::Nchw, side(h), side(w)),
            Some(&[_, h, w, 3]) => (Layout::Nhwc, side(h), side(w)),
            _ => return Err(refused()),
        };
        let input = input.name().to_string();
        Ok(Self {
            session: Mutex::new(session),
            input,
            layout,
            width,
            height,
        })
    }

    /// Width and height in pixels of the painting that [`Predictor::predict`] takes.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The style vector, `len` values, of a painting of [`Self::size`], interleaved RGB.
    ///
    /// # Errors
    /// [`EngineError::Run`], also for a vector of another length or with values that are not finite.
    pub fn predict(&self, painting: Vec<u8>, len: usize) -> Result<Vec<f32>, EngineError> {
        let _inside = crate::engine::exit::inside();
        let (width, height) = self.size();
        let picture = TestPicture {
            width,
            height,
            pixels: painting,
        };
        let shape = match self.layout {
            Layout::Nchw => [1, 3, height, width],
            Layout::Nhwc => [1, height, width, 3],
        };
        let values = picture.values(self.layout, &Range::UNIT);
        let tensor = Tensor::from_array((shape, values)).map_err(EngineError::run)?;
        let mut session = self.session.lock();
        let outputs = session.run(ort::inputs![self.input.as_str() => tensor]);
        let outputs = outputs.map_err(EngineError::run)?;
        let (_, vector) = outputs[0]
            .try_extract_tensor::<f32>()
            .map_err(EngineError::run)?;
        if vector.len() == len && vector.iter().all(|v| v.is_finite()) {
            Ok(vector.to_vec())
        } else {
            Err(EngineError::Run(format!(
                "The style predictor gives {} values, where the generator takes {len} finite ones.",
                vector.len()
            )))
        }
    }
}
