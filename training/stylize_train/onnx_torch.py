# SPDX-License-Identifier: MPL-2.0
"""An exported model in PyTorch: the operations that ``onnx_graph`` writes, with gradients.

A shipped model has no checkpoint beside it, and its kernels are rewritten for runtimes
(``generators/kernels.py``); run as it stands it needs none. Only what is given as the row of a
style gets a gradient, all weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional as F

from .errors import UserError
from .onnx_graph import INPUT, OUTPUT, STYLE_INPUT

TABLE = "styles"
"""The initializer [styles, values] that holds the scales and shifts of all styles side by side."""

MIXING = ("style.row", "style", "style.flat")
"""Nodes that mix the table's rows; ``Slice`` nodes then part the result."""


class Graph:
    """A conditional generator, read from its ONNX model.

    Args:
        model: as ``GraphWriter.finish`` made it.
        device: where to compute.
    """

    def __init__(self, model: onnx.ModelProto, device: torch.device | str = "cpu") -> None:
        graph = model.graph
        held = {w.name: numpy_helper.to_array(w).copy() for w in graph.initializer}
        self.weights = {name: torch.from_numpy(value).to(device) for name, value in held.items()}
        inputs = {i.name: i for i in graph.input}
        table = self.weights.get(TABLE)
        if STYLE_INPUT not in inputs or INPUT not in inputs or table is None:
            raise UserError("the model holds one style for good, or was not made by stylize-train.")
        self.table: Tensor = table
        self.parts: dict[str, slice] = {}
        self.nodes: list[tuple[Operation, onnx.NodeProto, dict[str, Any]]] = []
        for node in graph.node:
            if node.name in MIXING:
                continue
            if node.op_type == "Slice":
                begin, end = (int(held[name][0]) for name in node.input[1:3])
                self.parts[node.output[0]] = slice(begin, end)
                continue
            if node.op_type not in OPERATIONS:
                raise UserError(
                    f"the model has the operation {node.op_type}, which cannot be learned through; "
                    "give one of 32-bit floats as stylize-train exported it."
                )
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            self.nodes.append((OPERATIONS[node.op_type], node, attributes))

    def __call__(
        self, image: Tensor, row: Tensor, noise: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Paint pictures in one style.

        Args:
            image: [N, 3, H, W] in 0..1, sides as the model wants them.
            row: scales and shifts of the style, [values], as a row of ``table``.
            noise: of the model's inputs besides, by name.

        Returns:
            [N, 3, H, W] in 0..1.
        """
        values = {**self.weights, INPUT: image, **(noise or {})}
        values |= {name: row[part] for name, part in self.parts.items()}
        for operation, node, attributes in self.nodes:
            inputs = [values[name] if name else None for name in node.input]
            values[node.output[0]] = operation(inputs, attributes)
        return values[OUTPUT]


Operation = Callable[[list[Tensor | None], dict[str, Any]], Tensor]


def _conv(x: list[Tensor | None], a: dict[str, Any]) -> Tensor:
    _no_padding(a)
    bias = x[2] if len(x) > 2 else None
    groups = a.get("group", 1)
    return F.conv2d(x[0], x[1], bias, a["strides"], 0, a.get("dilations", 1), groups)


def _no_padding(a: dict[str, Any]) -> None:
    if any(a.get("pads", ())) or "auto_pad" in a:
        raise UserError("the model's convolutions pad by zeros: it is not of stylize-train.")


def _conv_transpose(x: list[Tensor | None], a: dict[str, Any]) -> Tensor:
    bias = x[2] if len(x) > 2 else None
    return F.conv_transpose2d(x[0], x[1], bias, a["strides"], a["pads"][:2])


def _pad(x: list[Tensor | None], a: dict[str, Any]) -> Tensor:
    pads, half = x[1].tolist(), x[1].numel() // 2
    # ONNX: begins of all axes, then ends; PyTorch: pairs from the last axis on.
    pairs = [(pads[axis], pads[axis + half]) for axis in reversed(range(2, half))]
    mode = {b"reflect": "reflect", b"edge": "replicate", b"constant": "constant"}
    return F.pad(x[0], [side for pair in pairs for side in pair], mode[a.get("mode", b"constant")])


def _instance_norm(x: list[Tensor | None], a: dict[str, Any]) -> Tensor:
    return F.instance_norm(x[0], weight=x[1], bias=x[2], eps=a.get("epsilon", 1e-5))


def _batch_norm(x: list[Tensor | None], a: dict[str, Any]) -> Tensor:
    return F.batch_norm(x[0], x[3], x[4], x[1], x[2], eps=a.get("epsilon", 1e-5))


def _depth_to_space(x: list[Tensor | None], a: dict[str, Any]) -> Tensor:
    block = a["blocksize"]
    if a.get("mode", b"DCR") == b"CRD":
        return F.pixel_shuffle(x[0], block)
    n, c, h, w = x[0].shape
    parts = x[0].view(n, block, block, c // block**2, h, w)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(n, c // block**2, h * block, w * block)


def _space_to_depth(x: list[Tensor | None], a: dict[str, Any]) -> Tensor:
    block = a["blocksize"]
    n, c, h, w = x[0].shape
    parts = x[0].view(n, c, h // block, block, w // block, block)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(n, c * block**2, h // block, w // block)


def _resize(x: list[Tensor | None], a: dict[str, Any]) -> Tensor:
    factor = x[2].tolist()
    if a.get("mode") != b"nearest" or factor[:2] != [1, 1]:
        raise UserError("the model resizes otherwise than to the nearest pixel.")
    return F.interpolate(x[0], scale_factor=tuple(factor[2:]), mode="nearest")


OPERATIONS: dict[str, Operation] = {
    "Add": lambda x, _: x[0] + x[1],
    "AveragePool": lambda x, a: F.avg_pool2d(x[0], a["kernel_shape"], a["strides"]),
    "BatchNormalization": _batch_norm,
    "Concat": lambda x, a: torch.cat(x, a["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "InstanceNormalization": _instance_norm,
    "LeakyRelu": lambda x, a: F.leaky_relu(x[0], a["alpha"]),
    "Pad": _pad,
    "Relu": lambda x, _: F.relu(x[0]),
    "Resize": _resize,
    "Sigmoid": lambda x, _: torch.sigmoid(x[0]),
    "SpaceToDepth": _space_to_depth,
}
"""What ``GraphWriter`` writes between a picture and another, by ONNX's names."""
