# SPDX-License-Identifier: MPL-2.0
"""An independent judge of style: statistics of a network that took no part in training.

The network is the distilled VGG-19 (``distilled.py``): its relu4_1 and relu5_1 see 68 and 156
pixels across, which no layer of a loss on blocks 1 to 3 does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from .distilled import CONTENT_LAYER, DistilledVgg
from .losses import content_loss, gram, relative_error
from .vgg import read_safetensors

LAYERS = ("conv4_1", "conv5_1")
"""Layers that judge."""


class Judge:
    """Distance of pictures from a painting in statistics that nothing was trained on.

    Args:
        network: the judging network.
        style: the painting, [1, 3, H, W], RGB in 0..1, at the size it was trained with.
    """

    def __init__(self, network: DistilledVgg, style: Tensor) -> None:
        self.network = network.to(style.device)
        self.device = style.device
        self.targets = {name: gram(f) for name, f in network(style, LAYERS).items()}

    @torch.no_grad()
    def __call__(self, output: Tensor) -> dict[str, float]:
        """Gram errors relative to the painting's energy, mean over [N, 3, H, W].

        Keys are ``judge_4_1`` and ``judge_5_1``; 0 is the painting's own statistics.
        """
        features = self.network(output.to(self.device), LAYERS)
        return {
            name.replace("conv", "judge_"): relative_error(gram(features[name]), target).item()
            for name, target in self.targets.items()
        }


class ContentJudge:
    """How far a picture's content is from its photo's, by the distilled network's relu3_1.

    ``losses.content_loss``: squared difference of standardized features; 0 is a perfect copy,
    unrelated pictures have 2. It can be compared between generators whatever they learned from.

    Args:
        path: the distilled network (.safetensors).
    """

    def __init__(self, path: Path) -> None:
        weights, _ = read_safetensors(path)
        self.network = DistilledVgg(weights, (CONTENT_LAYER,))

    @torch.no_grad()
    def __call__(self, output: Tensor, photo: Tensor) -> float:
        """Mean over pictures [N, 3, H, W] in 0..1."""
        pair = (self.network(x.cpu(), [CONTENT_LAYER])[CONTENT_LAYER] for x in (output, photo))
        return content_loss(*pair).item()


def load_judge(path: Path, style: Tensor) -> Judge:
    """Read the distilled network from a safetensors file."""
    weights, _ = read_safetensors(path)
    return Judge(DistilledVgg(weights, LAYERS, heads=True), style)


def add_argument(p: argparse.ArgumentParser) -> None:
    """``--judge FILE``."""
    p.add_argument(
        "--judge", type=Path, metavar="DISTILLED.safetensors", help="also judge by another network"
    )
