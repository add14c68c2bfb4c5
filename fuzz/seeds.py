# SPDX-License-Identifier: MPL-2.0
"""Writes seeds for the target `model`: shipped generators without their weights, and small graphs.

    training/.venv/bin/python fuzz/seeds.py
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

HERE = Path(__file__).parent
MODELS = HERE.parent / "models"
OPEN = ["n", 3, "h", "w"]


def strip(tensor: TensorProto) -> None:
    """What the compiler does not look at: large weights."""
    if len(tensor.raw_data) > 128:
        tensor.raw_data = tensor.raw_data[:16]


def shipped(name: str) -> onnx.ModelProto:
    model = onnx.load(MODELS / f"{name}.onnx")
    for tensor in model.graph.initializer:
        strip(tensor)
    for node in model.graph.node:
        node.doc_string = ""
        for attribute in node.attribute:
            if attribute.HasField("t"):
                strip(attribute.t)
    del model.graph.value_info[:]
    return model


def small(nodes, opset=13, inputs=(), constants=(), shape=None, **metadata) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, shape or [1, 3, None, None]), *inputs],
        [value("y", TensorProto.FLOAT, None)],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.producer_name = ""
    for key, text in metadata.items():
        model.metadata_props.add(key="stylize." + key.replace("_", "-"), value=text)
    return model


def seeds():
    node = helper.make_node
    for name in ("gallery-lite", "gallery-lite-int8", "gallery-full"):
        yield name, shipped(name)
    yield "identity", small([node("Identity", ["x"], ["y"])], input_range="0,1")
    pads = helper.make_tensor("p", TensorProto.INT64, [8], [0, 0, 4, 4, 0, 0, 4, 4])
    yield (
        "pad",
        small(
            [
                node("Pad", ["x", "p"], ["a"], mode="reflect"),
                node("Conv", ["a", "w"], ["b"], kernel_shape=[9, 9]),
                node("DepthToSpace", ["b"], ["y"], blocksize=2, mode="CRD"),
            ],
            constants=[pads, helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])],
        ),
    )
    yield (
        "baked",
        small(
            [
                node("ImageScaler", ["x"], ["a"], bias=[1.0, 2.0, 3.0], scale=0.5),
                node("Conv", ["a", "w"], ["b"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
                node("Crop", ["b"], ["c"], border=[1, 1, 1, 1]),
                node("ConvTranspose", ["c", "w"], ["y"], kernel_shape=[3, 3], strides=[2, 2], output_shape=[38, 58]),
            ],
            opset=7,
            shape=[1, 3, 40, 60],
            constants=[helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])],
        ),
    )
    value = helper.make_tensor_value_info
    branch = helper.make_graph(
        [node("Relu", ["x"], ["inner"])], "b", [], [value("inner", TensorProto.FLOAT, None)]
    )
    yield (
        "branch",
        small(
            [
                node("Constant", [], ["c"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True])),
                node("If", ["c"], ["a"], then_branch=branch, else_branch=branch),
                node("Constant", [], ["half"], value_float=0.5),
                node("Mul", ["a", "half"], ["b"]),
                node("Add", ["b", "z"], ["y"]),
            ],
            inputs=[value("z", TensorProto.FLOAT, None)],
            noise="z:3:1",
        ),
    )


def main() -> None:
    corpus = HERE / "corpus" / "model"
    corpus.mkdir(parents=True, exist_ok=True)
    for name, model in seeds():
        (corpus / f"{name}.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
