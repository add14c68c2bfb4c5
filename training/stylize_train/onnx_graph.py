# SPDX-License-Identifier: MPL-2.0
"""A small ONNX graph writer.

Generators describe themselves to it operation by operation, so an exported
file holds exactly the nodes that do work: no shape arithmetic, no constants
that are folded at load, sizes left free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from . import __version__

OPSET = 17
IR_VERSION = 8
INPUT = "image"
OUTPUT = "stylized"
STYLE_INPUT = "style_weights"


class GraphWriter:
    """Collects nodes and weights; every method returns the name of its output tensor.

    All tensors are float32 NCHW. The graph's first input is the image.
    """

    def __init__(self) -> None:
        self.inputs: list[onnx.ValueInfoProto] = []
        self.input(INPUT, 3)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._styled: dict[str, NDArray[np.float32]] = {}
        self._scope: list[str] = []

    def input(self, name: str, channels: int, divisor: int = 1) -> str:
        """Add a graph input [1, channels, height / divisor, width / divisor]."""
        self.inputs.append(_value(name, channels, divisor))
        return name

    def scoped(self, name: str) -> _Scope:
        """Prefix of node and tensor names: ``with writer.scoped("block1"): ...``."""
        return _Scope(self, name)

    def node(self, op: str, inputs: Sequence[str], label: str, **attributes: object) -> str:
        """Append one node and return its only output."""
        name = self._name(label)
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, label: str, value: NDArray[np.generic]) -> str:
        """Store an initializer."""
        name = self._name(label)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def styled(self, label: str, table: NDArray[np.float32]) -> str:
        """A tensor [C] that the graph mixes from the rows of ``table`` [styles, C].

        Gives the graph the input ``style_weights`` [styles]. ``finish`` puts all tables side by
        side, so that one matrix product mixes them all.
        """
        name = self._name(label)
        self._styled[name] = table
        return name

    def _name(self, label: str) -> str:
        return ".".join([*self._scope, label])

    def conv(
        self,
        x: str,
        label: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None = None,
        stride: int = 1,
        dilation: int = 1,
    ) -> str:
        """Convolution without padding; ``weight`` is [out, in, kh, kw]."""
        inputs = [x, self.weight(f"{label}.weight", weight)]
        if bias is not None:
            inputs.append(self.weight(f"{label}.bias", bias))
        return self.node(
            "Conv",
            inputs,
            label,
            kernel_shape=list(weight.shape[2:]),
            strides=[stride, stride],
            dilations=[dilation, dilation],
            pads=[0, 0, 0, 0],
        )

    def conv_transpose(
        self,
        x: str,
        label: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        stride: int,
        crop: int,
    ) -> str:
        """Transposed convolution; ``weight`` is [in, out, kh, kw], ``crop`` is cut all round."""
        inputs = [x, self.weight(f"{label}.weight", weight)]
        if bias is not None:
            inputs.append(self.weight(f"{label}.bias", bias))
        return self.node(
            "ConvTranspose",
            inputs,
            label,
            kernel_shape=list(weight.shape[2:]),
            strides=[stride, stride],
            pads=[crop] * 4,
        )

    def instance_norm(
        self,
        x: str,
        label: str,
        scale: str,
        shift: str,
        epsilon: float,
    ) -> str:
        """Instance normalization (Ulyanov et al. 2016, eq. 3) with scale and shift, both [C]."""
        return self.node("InstanceNormalization", [x, scale, shift], label, epsilon=epsilon)

    def batch_norm(
        self, x: str, label: str, parameters: Sequence[NDArray[np.float32]], epsilon: float
    ) -> str:
        """Batch normalization in use; ``parameters`` are scale, shift, mean, variance, all [C]."""
        names = ("scale", "shift", "mean", "variance")
        pairs = zip(names, parameters, strict=True)
        inputs = [x, *(self.weight(f"{label}.{name}", value) for name, value in pairs)]
        return self.node("BatchNormalization", inputs, label, epsilon=epsilon)

    def relu(self, x: str, label: str, slope: float = 0.0) -> str:
        """ReLU, leaky with a ``slope`` other than 0."""
        if slope:
            return self.node("LeakyRelu", [x], label, alpha=slope)
        return self.node("Relu", [x], label)

    def concat(self, parts: Sequence[str], label: str) -> str:
        """Put channels side by side."""
        return self.node("Concat", parts, label, axis=1)

    def average_pool(self, x: str, label: str, factor: int = 2) -> str:
        """Mean of each ``factor`` x ``factor`` block."""
        size = [factor, factor]
        return self.node("AveragePool", [x], label, kernel_shape=size, strides=size)

    def nearest(self, x: str, label: str, factor: int = 2) -> str:
        """Repeat each pixel ``factor`` times in both directions."""
        scales = self.weight(f"{label}.scales", np.array([1, 1, factor, factor], np.float32))
        return self.node(
            "Resize",
            [x, "", scales],
            label,
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )

    def pad(self, x: str, label: str, amount: int, mode: str = "reflect") -> str:
        """Pad height and width by ``amount`` on every side; ``mode`` is reflect or edge."""
        if not amount:
            return x
        pads = np.array([0, 0, amount, amount, 0, 0, amount, amount], dtype=np.int64)
        return self.node("Pad", [x, self.weight(f"{label}.pads", pads)], label, mode=mode)

    def depth_to_space(self, x: str, label: str, block: int = 2, mode: str = "DCR") -> str:
        """[N, C*b*b, H, W] to [N, C, H*b, W*b]; CRD is the order of ``torch.pixel_shuffle``."""
        return self.node("DepthToSpace", [x], label, blocksize=block, mode=mode)

    def space_to_depth(self, x: str, label: str, block: int = 2) -> str:
        """[N, C, H*b, W*b] to [N, C*b*b, H, W], channels in (row, column, channel) order."""
        return self.node("SpaceToDepth", [x], label, blocksize=block)

    def finish(self, x: str, name: str, doc: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Name ``x`` the graph's output and return the checked model."""
        for node in self.nodes:
            node.output[:] = [OUTPUT if o == x else o for o in node.output]
        self._mix_styles()
        output = _value(OUTPUT, 3)
        graph = helper.make_graph(
            self.nodes, name, self.inputs, [output], self.weights, doc_string=doc
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="stylize-train",
            producer_version=__version__,
            doc_string=doc,
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        return model

    def _mix_styles(self) -> None:
        """Put the product of ``style_weights`` and all tables in front of the other nodes."""
        if not self._styled:
            return
        tables = list(self._styled.values())
        styles = tables[0].shape[0]
        self.inputs.append(helper.make_tensor_value_info(STYLE_INPUT, TensorProto.FLOAT, [styles]))
        rows = self.weight("styles", np.concatenate(tables, axis=1))
        # As a matrix of one row: ONNX Runtime's WebGPU provider has no product with a vector.
        row = self.weight("styles.row", np.array([1, styles], np.int64))
        flat = self.weight("styles.flat", np.array([-1], np.int64))
        mixed = [
            helper.make_node("Reshape", [STYLE_INPUT, row], ["style.row"], name="style.row"),
            helper.make_node("MatMul", ["style.row", rows], ["style.mixed"], name="style"),
            helper.make_node("Reshape", ["style.mixed", flat], ["style"], name="style.flat"),
        ]
        # Slices: a Split with so many outputs is more than that provider's shaders can bind.
        axis, begin = self.weight("styles.axis", np.array([0], np.int64)), 0
        for name, table in self._styled.items():
            ends = [begin, begin + table.shape[1]]
            places = [
                self.weight(f"{name}.{end}", np.array([at], np.int64))
                for end, at in zip(("begin", "end"), ends, strict=True)
            ]
            mixed.append(helper.make_node("Slice", ["style", *places, axis], [name], name=name))
            begin = ends[1]
        self.nodes[:0] = mixed


def _value(name: str, channels: int, divisor: int = 1) -> onnx.ValueInfoProto:
    sides = [f"{side}/{divisor}" if divisor > 1 else side for side in ("height", "width")]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, *sides])


class _Scope:
    def __init__(self, writer: GraphWriter, name: str) -> None:
        self._writer = writer
        self._name = name

    def __enter__(self) -> None:
        self._writer._scope.append(self._name)

    def __exit__(self, *_: object) -> None:
        self._writer._scope.pop()
