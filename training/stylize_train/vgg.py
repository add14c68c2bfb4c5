# SPDX-License-Identifier: MPL-2.0
"""The loss network: features of VGG-19 (Simonyan and Zisserman, arXiv:1409.1556)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import UserError

PLAN: tuple[tuple[int, ...], ...] = (
    (64, 64),
    (128, 128),
    (256, 256, 256, 256),
    (512, 512, 512, 512),
    (512, 512, 512, 512),
)
"""Output channels of each 3x3 convolution, block by block; blocks are joined by 2x2 max pooling."""

LAYERS: tuple[str, ...] = tuple(
    f"conv{b}_{i}" for b, block in enumerate(PLAN, 1) for i in range(1, len(block) + 1)
)
CONVENTIONS = ("caffe", "torchvision")


class Vgg(nn.Module):
    """VGG-19 up to the deepest layer asked for; frozen.

    Args:
        weights: ``convB_L.weight`` [out, in, 3, 3] and ``convB_L.bias`` [out].
        convention: how pixels are prepared. ``caffe``: 0..255, BGR, channel means
            subtracted. ``torchvision``: 0..1, RGB, mean subtracted, divided by deviation.
        layers: the layers that will be read; deeper ones are left out.
    """

    def __init__(
        self, weights: dict[str, Tensor], convention: str, layers: Collection[str]
    ) -> None:
        super().__init__()
        unknown = sorted(set(layers) - set(LAYERS))
        if unknown:
            raise UserError(f"VGG-19 has no layer '{unknown[0]}' (conv1_1 ... conv5_4).")
        self.names = LAYERS[: 1 + max(LAYERS.index(name) for name in layers)]
        missing = [name for name in self.names if f"{name}.weight" not in weights]
        if missing:
            raise UserError(
                f"the VGG weights lack {missing[0]}, which a loss on {self.names[-1]} needs; "
                "choose shallower layers or a more complete file."
            )
        self.convs = nn.ModuleDict()
        for name in self.names:
            weight = weights[f"{name}.weight"]
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            conv.load_state_dict({"weight": weight, "bias": weights[f"{name}.bias"]})
            self.convs[name] = conv
        if convention == "caffe":
            scale, mean = torch.full((3,), 255.0), torch.tensor([123.68, 116.779, 103.939])
            self._swap = True
        elif convention == "torchvision":
            deviation = torch.tensor([0.229, 0.224, 0.225])
            scale, mean = 1 / deviation, torch.tensor([0.485, 0.456, 0.406]) / deviation
            self._swap = False
        else:
            raise UserError(f"unknown VGG convention '{convention}': use caffe or torchvision.")
        self.register_buffer("_scale", scale.view(1, 3, 1, 1))
        self.register_buffer("_mean", mean.view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations after the ReLU of each named layer.

        Args:
            image: [N, 3, H, W], RGB in 0..1.
            layers: names such as ``conv3_1``.

        Returns:
            name to [N, C, H / 2**(block-1), W / 2**(block-1)].
        """
        wanted = set(layers)
        last = max(self.names.index(name) for name in wanted)
        x = image * self._scale - self._mean
        if self._swap:
            x = x.flip(1)
        x = x.contiguous(memory_format=torch.channels_last)
        features: dict[str, Tensor] = {}
        for name in self.names[: last + 1]:
            if name.endswith("_1") and name != "conv1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(self.convs[name](x))
            if name in wanted:
                features[name] = x
        return features


def load(path: Path | None, convention: str, layers: Collection[str]) -> Vgg:
    """Read weights from a safetensors file, or (``path`` None) those torchvision downloads.

    ``convention`` is ``caffe``, ``torchvision`` or ``auto``: tell it from the file.
    """
    if path is None:
        return Vgg(_from_torchvision(), "torchvision", layers)
    weights, found = _from_file(path)
    if convention == "auto":
        if found is None:
            raise UserError(
                f"{path} does not say how pixels are prepared; "
                "give --vgg-convention caffe or torchvision."
            )
        convention = found
    return Vgg(weights, convention, layers)


def random_weights(seed: int = 0, widths: tuple[tuple[int, ...], ...] = PLAN) -> dict[str, Tensor]:
    """Untrained weights, for tests and trials without the real ones."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    inputs = 3
    for b, block in enumerate(widths, 1):
        for i, outputs in enumerate(block, 1):
            w = torch.randn(outputs, inputs, 3, 3, generator=generator)
            weights[f"conv{b}_{i}.weight"] = w * (2 / (9 * inputs)) ** 0.5
            weights[f"conv{b}_{i}.bias"] = torch.zeros(outputs)
            inputs = outputs
    return weights


def _from_file(path: Path) -> tuple[dict[str, Tensor], str | None]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"the VGG file {path} does not exist.") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}.") from None
    if "features.0.weight" in weights:
        return _rename_torchvision(weights), metadata.get("convention", "torchvision")
    if "conv1_1.weight" not in weights:
        raise UserError(f"{path} holds no VGG-19: neither conv1_1.weight nor features.0.weight.")
    said = metadata.get("convention")
    if said is None and "BGR" in metadata.get("preprocessing", ""):
        said = "caffe"
    return weights, said


def _rename_torchvision(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """``features.N`` to ``convB_L``: indices count convolutions, ReLUs and poolings."""
    renamed: dict[str, Tensor] = {}
    index = 0
    for b, block in enumerate(PLAN, 1):
        for i in range(1, len(block) + 1):
            for part in ("weight", "bias"):
                key = f"features.{index}.{part}"
                if key in weights:
                    renamed[f"conv{b}_{i}.{part}"] = weights[key]
            index += 2
        index += 1
    return renamed


def _from_torchvision() -> dict[str, Tensor]:
    try:
        from torchvision.models import VGG19_Weights
    except ImportError:
        raise UserError(
            "the default VGG-19 weights need torchvision (pip install 'stylize-train[vgg]'); "
            "or give a file with --vgg."
        ) from None
    try:
        state = VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True)
    except OSError as error:
        raise UserError(f"torchvision could not download VGG-19: {error}.") from None
    return _rename_torchvision(state)
