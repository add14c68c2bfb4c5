// SPDX-License-Identifier: MPL-2.0
//! What the element is held against.

use std::time::{Duration, Instant};

use gststylize::engine::session::load;
use gststylize::engine::{Choice, Precision, Provider, Runtime};
use gststylize::model::{Layout, Model};
use ort::value::TensorRef;

use super::bytes;

/// The generator alone on float tensors: what an application would call without GStreamer.
pub struct Bare {
    session: ort::session::Session,
    picture: Vec<f32>,
    shape: [usize; 4],
    input: String,
    /// Name and values of the style input.
    style: (String, Vec<f32>),
}

impl Bare {
    pub fn new(provider: Provider, precision: Precision, width: usize, height: usize) -> Self {
        let runtime = Runtime::get(None).expect("ONNX Runtime");
        let model = Model::parse(gststylize::gallery::LITE.onnx).expect("the built-in generator");
        let graph = model
            .at_size(Layout::Nchw, width, height)
            .expect("a fixed size");
        let choice = Choice {
            provider,
            precision,
            ..Choice::cpu()
        };
        let session = load(&runtime, &graph, &choice).expect("a session");
        let plane = width * height;
        let bytes = bytes(width, 3 * plane);
        let at = |i: usize| f32::from(bytes[i % plane * 3 + i / plane]) / 255.0;
        Self {
            input: session.inputs()[0].name().to_string(),
            style: {
                let style = &session.inputs()[1];
                let shape = style.dtype().tensor_shape().expect("a tensor");
                let mut values = vec![0.0; shape[0] as usize];
                values[0] = 1.0;
                (style.name().to_string(), values)
            },
            session,
            shape: [1, 3, height, width],
            picture: (0..plane * 3).map(at).collect(),
        }
    }

    pub fn run(&mut self) -> Duration {
        let begin = Instant::now();
        let picture =
            TensorRef::from_array_view((self.shape, &self.picture[..])).expect("a tensor");
        let (_, style) = &self.style;
        let style = TensorRef::from_array_view(([style.len()], &style[..])).expect("a tensor");
        let outputs = self
            .session
            .run(ort::inputs![self.input.as_str() => picture, self.style.0.as_str() => style])
            .expect("a run");
        assert_eq!(outputs.len(), 1);
        begin.elapsed()
    }
}
