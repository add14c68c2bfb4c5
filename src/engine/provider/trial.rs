// SPDX-License-Identifier: MPL-2.0
//! Smoke test of a provider: loads and runs a tiny graph, because the driver or device may be missing.

use crate::onnx::attribute_proto::AttributeType;
use crate::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use ort::value::TensorRef;

use super::choice::Choice;
use super::configure;
use super::exclusive::exclusive;
use crate::engine::error::EngineError;
use crate::engine::runtime::Runtime;
use crate::model::edit::{serialize, value_info};
use crate::model::{ElementType, ModelError};

/// Loads and runs a graph of one addition, in 16-bit floats if the choice needs a float16 graph.
///
/// # Errors
/// Those of loading and running; [`EngineError::Run`] for a wrong result.
pub(crate) fn run(runtime: &Runtime, choice: &Choice) -> Result<(), EngineError> {
    let graph = tiny_graph(choice.wants_half_graph())?;
    let _alone = exclusive(choice.provider);
    // Without the disk cache, because compiling this graph takes little time.
    let mut session = configure::builder(runtime, choice, None)?
        .commit_from_memory(&graph)
        .map_err(EngineError::refused)?;
    let ones = [1.0_f32; 4];
    let x =
        TensorRef::from_array_view(([1_usize, 1, 2, 2], &ones[..])).map_err(EngineError::run)?;
    let outputs = session
        .run(ort::inputs!["x" => x])
        .map_err(EngineError::run)?;
    let (_, y) = outputs[0]
        .try_extract_tensor::<f32>()
        .map_err(EngineError::run)?;
    if y.iter().all(|v| (v - 2.0).abs() < 1e-3) {
        Ok(())
    } else {
        Err(EngineError::Run(format!("1 + 1 gives {y:?}")))
    }
}

/// `y = x + x` over f32 `[1, 1, 2, 2]`, with `half` computed in f16; serialized.
fn tiny_graph(half: bool) -> Result<Vec<u8>, ModelError> {
    let value = |name| value_info(name, ElementType::F32, Some(&[1, 1, 2, 2]));
    let node = |op: &str, inputs: &[&str], output: &str| NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(|name| (*name).into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    };
    let cast = |input: &str, output: &str, to: ElementType| NodeProto {
        attribute: vec![AttributeProto {
            name: "to".into(),
            r#type: AttributeType::Int.into(),
            i: to.to_onnx().into(),
            ..AttributeProto::default()
        }],
        ..node("Cast", &[input], output)
    };
    let nodes = match half {
        false => vec![node("Add", &["x", "x"], "y")],
        true => vec![
            cast("x", "a", ElementType::F16),
            node("Add", &["a", "a"], "b"),
            cast("b", "y", ElementType::F32),
        ],
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            version: 13,
            ..OperatorSetIdProto::default()
        }],
        graph: Some(GraphProto {
            name: "check".into(),
            node: nodes,
            input: vec![value("x")],
            output: vec![value("y")],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    serialize(&model)
}
