# SPDX-License-Identifier: MPL-2.0
"""An independent judge of style: statistics of a network that took no part in training.

The network is the distilled VGG-19 of Wang et al., "Collaborative Distillation for
Ultra-Resolution Universal Style Transfer" (CVPR 2020): VGG-19 with about 1/16 of its
parameters, in which a 1x1 head after the first convolution of each block restores the
full width. Its relu4_1 and relu5_1 see 68 and 156 pixels across, which no layer of
a loss on blocks 1 to 3 does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import UserError
from .losses import gram, relative_error
from .vgg import layer_names, read_safetensors

LAYERS = ("conv4_1", "conv5_1")
"""Layers that judge."""

NAMES = tuple(name for name in layer_names("vgg19") if name <= LAYERS[-1])


class DistilledVgg(nn.Module):
    """The distilled network up to conv5_1; frozen.

    Args:
        weights: ``conv0`` [3, 3, 1, 1], which makes RGB in 0..1 the BGR less its mean that
            VGG expects, ``convB_L`` [out, in, 3, 3] and ``convB_1_aux`` [full, out, 1, 1],
            each ``.weight`` and ``.bias``.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.convs = nn.ModuleDict()
        for name in ("conv0", *NAMES, *(f"{layer}_aux" for layer in LAYERS)):
            parts = {part: weights.get(f"{name}.{part}") for part in ("weight", "bias")}
            if None in parts.values():
                raise UserError(f"the judge's weights lack {name}; a distilled VGG-19 is needed.")
            outputs, inputs, kernel, _ = parts["weight"].shape
            conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")
            conv.load_state_dict(parts)
            self.convs[name] = conv
        self.requires_grad_(False)
        self.eval()

    def forward(self, image: Tensor, layers: Iterable[str] = LAYERS) -> dict[str, Tensor]:
        """Full-width activations after the ReLU of each named layer.

        Args:
            image: [N, 3, H, W], RGB in 0..1; H and W at least 32.
            layers: of ``LAYERS``.

        Returns:
            name to [N, C, H / 2**(block-1), W / 2**(block-1)].
        """
        x = self.convs["conv0"](image)
        features: dict[str, Tensor] = {}
        for name in NAMES:
            if name.endswith("_1") and name != "conv1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(self.convs[name](x))
            if name in layers:
                features[name] = F.relu(self.convs[f"{name}_aux"](x))
        return features


class Judge:
    """Distance of pictures from a painting in statistics that nothing was trained on.

    Args:
        network: the judging network.
        style: the painting, [1, 3, H, W], RGB in 0..1, at the size it was trained with.
    """

    def __init__(self, network: DistilledVgg, style: Tensor) -> None:
        self.network = network.to(style.device)
        self.device = style.device
        self.targets = {name: gram(f) for name, f in network(style).items()}

    @torch.no_grad()
    def __call__(self, output: Tensor) -> dict[str, float]:
        """Gram errors relative to the painting's energy, mean over [N, 3, H, W].

        Keys are ``judge_4_1`` and ``judge_5_1``; 0 is the painting's own statistics.
        """
        features = self.network(output.to(self.device))
        return {
            name.replace("conv", "judge_"): relative_error(gram(features[name]), target).item()
            for name, target in self.targets.items()
        }


def load_judge(path: Path, style: Tensor) -> Judge:
    """Read the distilled network from a safetensors file."""
    weights, _ = read_safetensors(path)
    return Judge(DistilledVgg(weights), style)


def add_argument(p: argparse.ArgumentParser) -> None:
    """``--judge FILE``."""
    p.add_argument(
        "--judge", type=Path, metavar="DISTILLED.safetensors", help="also judge by another network"
    )
