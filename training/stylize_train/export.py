# SPDX-License-Identifier: MPL-2.0
"""From a trained generator to an ONNX file that says what it is."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from .errors import UserError
from .files import write_whole
from .generators import Generator
from .onnx_graph import INPUT, STYLE_INPUT, GraphWriter

CHECK_SIZES = ((64, 64), (68, 120), (180, 320))
"""Heights and widths at which an exported file is compared with PyTorch."""


@dataclass
class About:
    """What the file says about itself."""

    name: str
    title: str = ""
    artist: str = ""
    license: str = "MPL-2.0"
    styles: tuple[str, ...] = ()
    """Names of a conditional generator's styles, in the order of their weights."""

    def metadata(self, generator: Generator) -> dict[str, str]:
        """Entries of ``metadata_props``.

        ``stylize.*`` is read by the GStreamer element; ``Image.*`` are the names that the
        ONNX metadata proposal gives to image properties. ``stylize.noise`` lists the inputs
        besides the image as NAME:CHANNELS:DIVISOR,...: each wants standard normal numbers
        [1, channels, height / divisor, width / divisor]. ``stylize.style-input`` is the input
        for the weights of the styles, [N] with the sum 1, that ``stylize.styles`` names.
        """
        held = generator.styles if generator.normalization.conditional else 0
        if len(self.styles) != held:
            raise UserError(
                f"the generator holds {held} styles, and {len(self.styles)} have names."
            )
        noise = [f"{n.name}:{n.channels}:{n.divisor}" for n in generator.noise_inputs()]
        entries = {
            "stylize.version": "1",
            "stylize.name": self.name,
            "stylize.generator": generator.NAME,
            "stylize.input-range": "0,1",
            "stylize.output-range": "0,1",
            "stylize.channel-order": "rgb",
            "stylize.size-multiple": str(generator.size_multiple),
            "stylize.size-minimum": str(generator.minimum_size),
            "stylize.license": self.license,
            "stylize.style-title": self.title,
            "stylize.style-artist": self.artist,
            "Image.BitmapPixelFormat": "Rgb8",
            "Image.NominalPixelRange": "Normalized_0_1",
            "Image.ColorSpaceGamma": "SRGB",
        }
        if self.styles:
            entries["stylize.styles"] = ",".join(self.styles)
            entries["stylize.style-input"] = STYLE_INPUT
        return {**entries, "stylize.noise": ",".join(noise)} if noise else entries


def to_onnx(generator: Generator, about: About) -> onnx.ModelProto:
    """The generator as a graph: ``image`` to ``stylized``, float32 [1, 3, height, width].

    A generator with noise has an input for each of its ``noise_inputs`` besides, a conditional
    one ``style_weights``, float32 [styles]. One of textures reads ``image`` with weights of
    zero, so that it fits wherever a picture is filtered.
    """
    writer = GraphWriter()
    noise = [writer.input(n.name, n.channels, n.divisor) for n in generator.noise_inputs()]
    if generator.task == "texture":
        # An input that nothing reads will not do: ONNX Runtime's OpenVINO provider drops it,
        # and then hands each of the others to its neighbour.
        zeros = np.zeros((generator.noise_channels, 3, 1, 1), np.float32)
        blind = writer.conv(INPUT, "blind", zeros)
        noise[0] = writer.node("Add", [noise[0], blind], "blind.noise")
    output = generator.write(writer, INPUT, noise)
    made = "Texture" if generator.task == "texture" else "Style transfer"
    painting = about.title or about.name
    artist = f" by {about.artist}" if about.artist else ""
    doc = f"{made} after {painting}{artist}; generator {generator.NAME}; RGB in 0..1."
    return writer.finish(output, about.name, doc, about.metadata(generator))


def session(model: bytes | Path) -> onnxruntime.InferenceSession:
    """Open a model on ONNX Runtime's CPU provider."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        source = str(model) if isinstance(model, Path) else model
        return onnxruntime.InferenceSession(source, options, ["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own, private types
        text = str(error).splitlines()[0]
        raise UserError(f"ONNX Runtime cannot load {model!s:.200}: {text}") from None


@torch.no_grad()
def greatest_difference(
    generator: Generator, model: onnx.ModelProto, sizes: Sequence[tuple[int, int]] = CHECK_SIZES
) -> float:
    """Largest difference between ONNX Runtime and PyTorch, in grey levels (1/255).

    Compared on random pictures with structure at several scales, one per size, which is
    rounded up to one that the generator takes. Styles are mixed at random, too, and the first
    ones taken alone.
    """
    runtime = session(model.SerializeToString())
    generator = copy.deepcopy(generator).cpu().eval()
    random = torch.Generator().manual_seed(0)
    multiple = generator.size_multiple
    worst = 0.0
    for index, size in enumerate(sizes):
        least = (max(side, generator.minimum_size) for side in size)
        height, width = (-(-side // multiple) * multiple for side in least)
        image = torch.rand(1, 3, height, width, generator=random)
        coarse = torch.rand(1, 3, height // 16 + 1, width // 16 + 1, generator=random)
        coarse = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        image = 0.7 * coarse + 0.3 * image
        noise = generator.draw_noise(image, random)
        feeds = {INPUT: image.numpy()}
        for entry, value in zip(generator.noise_inputs(), noise, strict=True):
            feeds[entry.name] = value.numpy()
        for mix in _mixes(generator, index, random):
            expected = generator(image, noise, mix[None]).numpy()
            if generator.normalization.conditional:
                feeds[STYLE_INPUT] = mix.numpy()
            (actual,) = runtime.run(None, feeds)
            worst = max(worst, 255 * float(np.abs(actual - expected).max()))
    return worst


def _mixes(generator: Generator, index: int, random: torch.Generator) -> list[torch.Tensor]:
    """Mixes of styles [N] to compare with: one style, and some of each."""
    one = torch.eye(generator.styles)[index % generator.styles]
    if generator.styles == 1:
        return [one]
    some = torch.rand(generator.styles, generator=random)
    return [one, some / some.sum()]


def export(generator: Generator, about: About, path: Path) -> float:
    """Write ``path`` after checking it against PyTorch.

    Returns the greatest difference in grey levels; refuses to write above 1.
    """
    model = to_onnx(generator, about)
    difference = greatest_difference(generator, model)
    if not difference <= 1:
        raise UserError(
            f"the exported graph differs from PyTorch by {difference:.2f} grey levels; "
            "this is a defect of the exporter, nothing was written."
        )
    write_whole(path, model.SerializeToString())
    return difference
