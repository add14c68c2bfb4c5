# SPDX-License-Identifier: MPL-2.0
"""Convolutions on 8-bit integers: ``stylize-train quantize``.

Static quantization after training (Jacob et al., CVPR 2018, arXiv:1712.05877) in the form of
QuantizeLinear and DequantizeLinear pairs, which ONNX Runtime's providers melt into integer
convolutions. Weights are symmetric with a scale for each output channel; activations are uint8 with
a scale and a zero point for each tensor. All but the chosen convolutions stay in float32.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import math
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    create_calibrator,
    quantize_static,
)
from torch import Tensor
from tqdm import tqdm

from . import __version__
from .arguments import seed
from .card import write_quantized_card
from .cost import read_model
from .data import list_photos, read_pictures
from .errors import UserError
from .files import refuse_folder, write_whole
from .render import Model

CONVOLUTIONS = ("Conv", "ConvTranspose")
METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
GREATEST_BALANCE = 16.0
"""How far ``balance`` scales a channel at most: the square is what it takes off the epsilon of the
normalization that follows, which is there for channels that hardly vary."""

Feeds = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Settings:
    """How to quantize.

    Attributes:
        keep_first: convolutions that stay float at the beginning: those with fewer others on any
            way from the inputs to them.
        keep_last: the same at the end.
        outputs: ``int8``, or ``float`` to leave what convolutions hand on as it is.
        calibration: how ranges of activations are found: one of ``METHODS``.
        percentile: share of the values inside the range, per cent.
        reduce_range: 7-bit weights, whose products with activations fit 16 bits in pairs.
    """

    keep_first: int = 1
    keep_last: int = 2
    outputs: str = "int8"
    calibration: str = "percentile"
    percentile: float = 99.997
    reduce_range: bool = False

    def __post_init__(self) -> None:
        if min(self.keep_first, self.keep_last) < 0:
            raise UserError("--keep-first and --keep-last are numbers of layers, from 0 up.")
        if not 50 < self.percentile <= 100:
            raise UserError(
                f"--percentile is {self.percentile:g} and must be above 50 and at most 100."
            )


@dataclass(frozen=True)
class Distance:
    """How far a model is from another, in grey levels (1/255) of outputs clipped to 0..1."""

    photos: int
    mean: float
    """Mean absolute difference over all photos."""
    worst_photo: float
    """That of the photo where it is largest."""
    largest: float
    """Largest difference of a single value."""
    psnr: float
    """Peak signal-to-noise ratio over all photos, dB."""


class Frames(CalibrationDataReader):
    """Photos as a model's inputs; several styles take turns.

    Args:
        model: the original.
        photos: uint8 [3, H, W].
        label: of the progress bar.
    """

    def __init__(self, model: Model, photos: Sequence[Tensor], label: str) -> None:
        self.model, self.photos, self.label = model, photos, label
        self.bar: tqdm | None = None
        self.set_range(0, len(photos))

    def __len__(self) -> int:
        return len(self.photos)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Go on with these photos: a histogram takes them one by one, so sizes may differ."""
        self._left = iter(range(start_index, end_index))

    def get_next(self) -> Feeds | None:
        """The next inputs, or nothing at the end."""
        if self.bar is None:
            self.bar = tqdm(total=len(self), desc=self.label, unit="photo")
        index = next(self._left, None)
        if index is None:
            if self.bar.n == len(self):
                self.bar.close()
            return None
        self.bar.update()
        return self.feeds(index)

    def __iter__(self) -> Iterator[Feeds]:
        self.set_range(0, len(self))
        while (feeds := self.get_next()) is not None:
            yield feeds

    def feeds(self, index: int) -> Feeds:
        """Inputs for one photo."""
        feeds = self.model.feeds(self.photos[index])
        for name, weights in self.model.style_feeds.items():
            feeds[name] = np.eye(len(weights), dtype=np.float32)[index % len(weights)]
        return feeds


def convolutions(model: onnx.ModelProto, settings: Settings) -> tuple[list[str], list[str]]:
    """Names of the convolutions to quantize, and of those that stay float, in the graph's order."""
    nodes = model.graph.node
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in nodes):
        raise UserError("the model is quantized already; give the one that it was made from.")
    before, after = _depths(nodes, forwards=True), _depths(nodes, forwards=False)
    chosen, kept = [], []
    for node in nodes:
        if node.op_type in CONVOLUTIONS:
            edge = before[node.name] < settings.keep_first or after[node.name] < settings.keep_last
            (kept if edge else chosen).append(node.name)
    if not chosen:
        raise UserError(
            f"all {len(kept)} convolutions are among the first {settings.keep_first} and the last "
            f"{settings.keep_last}, so none is left to quantize: lower --keep-first or --keep-last."
        )
    return chosen, kept


def _depths(nodes: Sequence[onnx.NodeProto], forwards: bool) -> dict[str, int]:
    """For each node the greatest number of convolutions on a way to it from the graph's edge."""
    reached: dict[str, int] = {}
    depths: dict[str, int] = {}
    for node in nodes if forwards else reversed(nodes):
        near, far = (node.input, node.output) if forwards else (node.output, node.input)
        depth = max((reached.get(name, 0) for name in near), default=0)
        depths[node.name] = depth
        for name in far:
            beyond = depth + (node.op_type in CONVOLUTIONS)
            reached[name] = max(reached.get(name, 0), beyond)
    return depths


def balance(model: onnx.ModelProto, names: Sequence[str], frames: Frames) -> onnx.ModelProto:
    """Give all output channels of a convolution the same range where that changes nothing.

    An instance normalization takes scale and offset of each channel out again (up to its epsilon),
    so the convolution before it may have any. With the same range for all channels, one scale for
    the tensor does for each what a scale of its own would: on a net with instance normalization
    that is all of the equalization of Nagel et al. (ICCV 2019, arXiv:1906.04721), for nothing.
    """
    balanced = onnx.ModelProto()
    balanced.CopyFrom(model)
    graph = balanced.graph
    readers = [name for node in graph.node for name in node.input]
    normalized = {n.input[0] for n in graph.node if n.op_type == "InstanceNormalization"}
    weights = {weight.name: weight for weight in graph.initializer}
    nodes = [
        node
        for node in graph.node
        if node.name in names
        and node.output[0] in normalized
        and readers.count(node.output[0]) == 1
        and all(readers.count(name) == 1 and name in weights for name in node.input[1:])
    ]
    if not nodes:
        return balanced
    ranges = _channel_ranges(model, frames)
    for node in nodes:
        low, high = ranges[node.output[0]]
        middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-12)
        factor = np.exp(np.log(half).mean()) / half
        factor = factor.clip(1 / GREATEST_BALANCE, GREATEST_BALANCE).astype(np.float32)
        weight = weights[node.input[1]]
        axis = [-1, 1, 1, 1] if node.op_type == "Conv" else [1, -1, 1, 1]
        value = numpy_helper.to_array(weight) * factor.reshape(axis)
        weight.CopyFrom(numpy_helper.from_array(value, weight.name))
        offset = -(middle * factor).astype(np.float32)
        if len(node.input) > 2:
            bias = weights[node.input[2]]
            value = numpy_helper.to_array(bias) * factor + offset
            bias.CopyFrom(numpy_helper.from_array(value, bias.name))
        else:
            node.input.append(f"{node.name}.balance")
            graph.initializer.append(numpy_helper.from_array(offset, f"{node.name}.balance"))
    return balanced


def _channel_ranges(
    model: onnx.ModelProto, frames: Frames
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Least and greatest value [C] of what goes into and comes out of convolutions."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        calibrator = create_calibrator(
            path,
            CONVOLUTIONS,
            str(path.with_name("watched.onnx")),
            CalibrationMethod.MinMax,
            extra_options={"per_channel": True, "moving_average": True},
        )
        calibrator.collect_data(frames)
        found = calibrator.compute_data()
    return {name: found[name].range_value for name in found.keys()}  # noqa: SIM118


def quantize(
    path: Path, photos: Sequence[Tensor], settings: Settings = Settings()
) -> onnx.ModelProto:
    """The model with its convolutions in int8, with the same inputs, outputs and metadata.

    Args:
        path: the exported generator.
        photos: to find the ranges of activations on, uint8 [3, H, W], of any sizes.
        settings: how.
    """
    model, runtime = read_model(path), any_style(path)
    names, _ = convolutions(model, settings)
    ready = model
    extra: dict[str, object] = {"CalibPercentile": settings.percentile, "CalibStridedMinMax": 1}
    if settings.outputs == "int8":
        ready = balance(model, names, Frames(runtime, photos, "balancing"))
    else:
        extra["OpTypesToExcludeOutputQuantization"] = list(CONVOLUTIONS)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "quantized.onnx"
        quantize_static(
            ready,
            target,
            Frames(runtime, photos, "calibrating"),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(CONVOLUTIONS),
            nodes_to_quantize=names,
            per_channel=True,
            reduce_range=settings.reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[settings.calibration],
            extra_options=extra,
        )
        quantized = onnx.load(target)
    # ONNX Runtime adds a metadata entry of its own, its name as the producer, and shapes.
    del quantized.metadata_props[:], quantized.graph.value_info[:]
    quantized.metadata_props.extend(model.metadata_props)
    quantized.producer_name, quantized.producer_version = "stylize-train", __version__
    quantized.doc_string = quantized.graph.doc_string = f"{model.doc_string} Convolutions in int8."
    quantized.graph.name = model.graph.name
    onnx.checker.check_model(quantized)
    return quantized


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without ONNX Runtime's reports on standard output and its advice to optimize beforehand."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def any_style(path: Path) -> Model:
    """Open a model; of several styles, ``Frames`` gives each its turn."""
    if not path.is_file():
        raise UserError(f"the model {path} does not exist.")
    metadata = {entry.key: entry.value for entry in read_model(path).metadata_props}
    styles = metadata.get("stylize.styles", "").split(",")
    return Model(path, mix=styles[0] or None)


def distance(original: Path, quantized: Path, photos: Sequence[Tensor]) -> Distance:
    """How far ``quantized`` is from ``original`` on photos, uint8 [3, H, W]."""
    one, other = any_style(original), any_style(quantized)
    means, squares, sizes, largest = [], [], [], 0.0
    for feeds in Frames(one, photos, "comparing"):
        (expected,), (actual,) = one.session.run(None, feeds), other.session.run(None, feeds)
        apart = 255 * np.abs(actual.clip(0, 1) - expected.clip(0, 1)).astype(np.float64)
        means.append(float(apart.mean()))
        squares.append(float(np.square(apart).sum()))
        sizes.append(apart.size)
        largest = max(largest, float(apart.max()))
    error = sum(squares) / sum(sizes)
    psnr = 10 * math.log10(255**2 / error) if error else math.inf
    return Distance(len(photos), float(np.mean(means)), float(np.max(means)), largest, psnr)


def choose(
    folder: Path, count: int, checks: int, short_side: int, held_out: str | None, seed: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Photos to calibrate on and others to compare on, uint8 [3, H, W].

    Args:
        folder: of the photos.
        count: to calibrate on at most.
        checks: to compare on at most; all that there are if ``held_out`` chooses them.
        short_side: that larger photos are shrunk to, pixels.
        held_out: pattern of file names to compare on and never calibrate on.
        seed: of the choice.
    """
    files = list_photos(folder, [held_out] if held_out else [])
    order = np.random.default_rng(seed).permutation(len(files))
    pictures = read_pictures([files[index] for index in order], short_side=short_side)
    if held_out:
        calibrate = _take(pictures, count)
        others = [path for path in list_photos(folder) if path not in set(files)]
        check = [image for _, image in read_pictures(others, short_side=short_side)]
        if not calibrate or not check:
            which = "match" if calibrate else "do not match"
            raise UserError(f"{folder} holds no pictures whose names {which} '{held_out}'.")
        return calibrate, check
    taken = _take(pictures, count + checks)
    if len(taken) < 2:
        raise UserError(
            f"the number of pictures in {folder} is {len(taken)} and must be at least 2: one to "
            "calibrate on and one to compare on."
        )
    checks = min(checks, max(1, len(taken) // 4))
    return taken[checks:], taken[:checks]


def _take(pictures: Iterator[tuple[Path, Tensor]], count: int) -> list[Tensor]:
    """The first ``count`` pictures, or all; no further file is read."""
    taken = []
    for _, image in pictures:
        taken.append(image)
        if len(taken) == count:
            break
    return taken


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``quantize``."""
    p = commands.add_parser("quantize", help="put a model's convolutions on 8-bit integers")
    _options(p)
    p.set_defaults(run=_run)


def _options(p: argparse.ArgumentParser) -> None:
    d = Settings()
    p.add_argument("model", type=Path, metavar="MODEL.onnx", help="not changed")
    p.add_argument("--content", type=Path, required=True, help="folder of photos, a few dozen")
    p.add_argument("--out", type=Path, required=True, metavar="MODEL-int8.onnx")
    p.add_argument("--photos", type=int, default=24, help="to calibrate on at most")
    p.add_argument("--checks", type=int, default=8, help="photos to compare on")
    p.add_argument("--held-out", metavar="PATTERN", help="compare on the photos of these names")
    p.add_argument("--size", type=int, default=512, help="shorter side that photos shrink to")
    p.add_argument("--seed", type=seed, default=1, help="of the choice of photos")
    p.add_argument("--keep-first", type=int, default=d.keep_first, help="layers that stay float")
    p.add_argument("--keep-last", type=int, default=d.keep_last, help="layers that stay float")
    p.add_argument(
        "--outputs",
        choices=("int8", "float"),
        default=d.outputs,
        help="of the convolutions; float is nearer, but only fast with OpenVINO",
    )
    p.add_argument("--calibration", choices=tuple(METHODS), default=d.calibration)
    p.add_argument("--percentile", type=float, default=d.percentile, help="of its values")
    p.add_argument("--reduce-range", action="store_true", help="7-bit weights: CPUs without VNNI")
    p.add_argument("--tolerance", type=float, default=8.0, help="mean difference, grey levels")


def _run(args: argparse.Namespace) -> None:
    settings = Settings(
        args.keep_first,
        args.keep_last,
        args.outputs,
        args.calibration,
        args.percentile,
        args.reduce_range,
    )
    _check(args)
    any_style(args.model)
    names, kept = convolutions(read_model(args.model), settings)
    calibrate, check = choose(
        args.content, args.photos, args.checks, args.size, args.held_out, args.seed
    )
    quantized = quantize(args.model, calibrate, settings).SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / args.out.name
        trial.write_bytes(quantized)
        found = distance(args.model, trial, check)
    if not found.mean <= args.tolerance:  # Nor may NaN pass.
        raise UserError(
            f"the quantized model is {found.mean:.2f} grey levels from {args.model} in the mean, "
            f"and --tolerance is {args.tolerance:g}: try --outputs float, more of --keep-first or "
            "--keep-last, or another --calibration; nothing was written."
        )
    write_whole(args.out, quantized)
    how = {
        "In int8": f"{len(names)} of {len(names) + len(kept)} convolutions: {', '.join(names)}",
        "In float32": ", ".join([*kept, "normalizations and everything else"]),
        "Weights": f"{7 if settings.reduce_range else 8} bits, symmetric, a scale for each channel",
        "Activations": _activations(settings),
        "Calibrated on": _count(len(calibrate), "photo"),
        "Compared on": f"{_count(found.photos, 'other photo')}, as those at most {args.size} "
        "pixels on the shorter side",
        "Difference from the original": f"{found.mean:.2f} grey levels in the mean, "
        f"{found.worst_photo:.2f} on the worst photo, {found.largest:.0f} at most",
        "PSNR against the original": f"{found.psnr:.1f} dB",
    }
    write_quantized_card(args.out.with_suffix(".md"), args.model, how, _command(args))
    print(
        f"{args.out}: {found.mean:.2f} grey levels from {args.model.name} in the mean, "
        f"{found.largest:.0f} at most, PSNR {found.psnr:.1f} dB on {_count(found.photos, 'photo')}"
    )


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot work before any work is done."""
    for name in ("photos", "checks", "size"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} is {getattr(args, name)} and must be at least 1.")
    if not args.tolerance > 0:
        raise UserError(f"--tolerance is {args.tolerance:g} and must be above 0 grey levels.")
    refuse_folder(args.out)
    if args.out.exists() and args.model.exists() and args.out.samefile(args.model):
        raise UserError(f"--out {args.out} is the model itself; give the new one another name.")
    if args.out.suffix != ".onnx":
        raise UserError(f"--out {args.out} does not end in .onnx, as models do: add that.")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _activations(settings: Settings) -> str:
    """How activations became integers, for the card."""
    method = settings.calibration
    if method == "percentile":
        method = f"{settings.percentile:g} % of the values"
    where = "into and out of" if settings.outputs == "int8" else "into"
    return f"uint8, asymmetric, {where} these convolutions; range: {method}"


def _command(args: argparse.Namespace) -> str:
    """The command, with placeholders for its paths and without what is the default."""
    words = ["stylize-train quantize MODEL.onnx --content PHOTOS --out MODEL-int8.onnx"]
    p = argparse.ArgumentParser()
    _options(p)
    defaults = p.parse_args(["", "--content", "", "--out", ""])
    for name, default in vars(defaults).items():
        value = getattr(args, name)
        if name in ("model", "content", "out") or value == default:
            continue
        option = "--" + name.replace("_", "-")
        words += [option] if value is True else [option, shlex.quote(str(value))]
    return " ".join(words)
