# SPDX-License-Identifier: MPL-2.0
"""What a model costs: parameters, multiply-accumulates, milliseconds."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto

from .errors import UserError
from .render import Model

SIDE = 512
"""Pixels of the square on which work is counted: a multiple of every stride."""

PAUSE = 0.01
"""Seconds between timed runs, in which the threads of the last one fall asleep."""


def parameter_count(model: onnx.ModelProto) -> int:
    """Float values stored in the file; merged kernels may make them more than were learned."""
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    return sum(math.prod(w.dims) for w in model.graph.initializer if w.data_type in kinds)


def macs_per_pixel(model: onnx.ModelProto) -> float:
    """Multiply-accumulates of all convolutions per pixel of the picture, as exported.

    A convolution takes one for each output value and each weight that leads to it. A
    transposed convolution of stride s skips all but one in s x s of those; positions that
    are cut off again are not counted.
    """
    shapes = _shapes(model, SIDE)
    total = 0.0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        output, weight = shapes.get(node.output[0]), shapes.get(node.input[1])
        if not output or not weight or 0 in output:
            raise UserError(f"the size of '{node.output[0]}' in the model cannot be inferred.")
        work = math.prod(output[2:]) * math.prod(weight)
        if node.op_type == "ConvTranspose":
            work /= math.prod(next((a.ints for a in node.attribute if a.name == "strides"), [1]))
        total += work
    return total / SIDE**2


def _shapes(model: onnx.ModelProto, side: int) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors for a square picture; what stays unknown is 0.

    Free sizes of inputs are called ``height``, ``width`` or ``height/N``, ``width/N``.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            name, _, divisor = dim.dim_param.partition("/")
            if name in ("height", "width"):
                dim.dim_value = side // int(divisor or 1)
    graph = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    shapes = {
        v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
        for v in (*graph.input, *graph.value_info, *graph.output)
    }
    return shapes | {w.name: tuple(w.dims) for w in graph.initializer}


def read_model(path: Path) -> onnx.ModelProto:
    """Read a model for counting."""
    try:
        return onnx.load(path)
    except Exception as error:  # the protobuf runtime's own types
        raise UserError(f"{path} is not an ONNX model: {error!s:.200}.") from None


def frame_times(models: Sequence[Model], height: int, width: int, runs: int) -> list[float]:
    """Median milliseconds of ONNX Runtime for one frame, for each model.

    The models take turns, so that whatever else the machine does hits all of them. Frames are
    padded beforehand to sizes that the models take.
    """
    random = torch.Generator().manual_seed(0)
    frame = torch.randint(0, 256, (3, height, width), generator=random, dtype=torch.uint8)
    feeds = [model.feeds(frame) for model in models]

    def turn(model: Model, feed: dict[str, np.ndarray]) -> Callable[[], object]:
        return lambda: model.session.run(None, feed)

    calls = [turn(model, feed) for model, feed in zip(models, feeds, strict=True)]
    return [1000 * seconds for seconds in interleaved_medians(calls, runs)]


def interleaved_medians(calls: Sequence[Callable[[], object]], runs: int) -> list[float]:
    """Median seconds of each call over ``runs`` rounds of all; the first round is not counted."""
    seconds: list[list[float]] = [[] for _ in calls]
    for round_ in range(runs + 1):
        for call, taken in zip(calls, seconds, strict=True):
            time.sleep(PAUSE)
            began = time.perf_counter()
            call()
            if round_ > 0:
                taken.append(time.perf_counter() - began)
    return [statistics.median(taken) for taken in seconds]
