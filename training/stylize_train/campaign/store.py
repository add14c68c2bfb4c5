# SPDX-License-Identifier: MPL-2.0
"""The checkpoint of a campaign: one small file that any machine goes on from.

Weights are kept in float32; what surrounds them in bfloat16, relative to the weights where that
helps: 10 bytes for each weight. The live state is rounded likewise when a checkpoint is written, so
a run that goes on and one that starts from the file do the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import read_checkpoint
from ..errors import UserError
from ..generators import Generator
from ..generators.layers import Block
from ..norms import ConditionalNorm

HELD = {"name", "generator", "styles", "weights", "average", "first", "second", "step", "samples"}
"""What every checkpoint of a campaign holds."""


PARTS = ("weights", "average", "first", "second")
"""What it holds for each parameter."""


def rounded(value: Tensor) -> Tensor:
    """The nearest values that the checkpoint can hold."""
    return value.bfloat16().float()


class Adam:
    """Adam (Kingma and Ba, arXiv:1412.6980) with its moments by the parameter's name.

    ``torch.optim.Adam`` numbers them, and a style that is added later would shift the numbers.
    """

    BETAS = (0.9, 0.999)
    EPSILON = 1e-8

    def __init__(self, generator: Generator) -> None:
        self.parameters = dict(generator.named_parameters())
        self.first = {n: torch.zeros_like(p) for n, p in self.parameters.items()}
        self.second = {n: torch.zeros_like(p) for n, p in self.parameters.items()}

    @torch.no_grad()
    def step(self, number: int, rate: float) -> None:
        """Update the parameters from their gradients; ``number`` counts from 1."""
        beta1, beta2 = self.BETAS
        size = rate / (1 - beta1**number)
        root = (1 - beta2**number) ** 0.5
        for name, parameter in self.parameters.items():
            gradient = parameter.grad
            if gradient is None:
                continue
            first = self.first[name].lerp_(gradient, 1 - beta1)
            second = self.second[name].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            parameter.addcdiv_(first, second.sqrt().div_(root).add_(self.EPSILON), value=-size)


@torch.no_grad()
def round_state(adam: Adam, average: dict[str, Tensor]) -> None:
    """Round the live state as the checkpoint does."""
    for moments in (adam.first, adam.second):
        for value in moments.values():
            value.copy_(rounded(value))
    for name, parameter in adam.parameters.items():
        average[name].copy_(parameter + rounded(average[name] - parameter))


def small(adam: Adam, average: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Weights and what surrounds them, as the checkpoint holds them."""
    weights = {name: p.detach().cpu() for name, p in adam.parameters.items()}
    return {
        "weights": weights,
        "average": {n: (average[n].cpu() - w).bfloat16() for n, w in weights.items()},
        "first": {name: value.cpu().bfloat16() for name, value in adam.first.items()},
        "second": {name: value.cpu().bfloat16() for name, value in adam.second.items()},
    }


@torch.no_grad()
def load_small(stored: dict[str, Any], adam: Adam, average: dict[str, Tensor]) -> None:
    """Take up what ``small`` made; shapes must be right by now."""
    for name, parameter in adam.parameters.items():
        try:
            weight = stored["weights"][name]
            parameter.copy_(weight)
            average[name].copy_(weight + stored["average"][name].float())
            adam.first[name].copy_(stored["first"][name].float())
            adam.second[name].copy_(stored["second"][name].float())
        except (KeyError, RuntimeError):
            raise UserError(
                f"the checkpoint's {name} does not fit the plan's generator; "
                "give the plan that it was made with, or begin anew in another folder."
            ) from None


def rearrange(
    stored: dict[str, Any], generator: Generator, styles: Sequence[str]
) -> dict[str, Any]:
    """The stored state with the rows of the styles that a plan asks for now.

    A style that the checkpoint does not know begins as the mean of those that it knows, with
    nothing remembered; one that the plan no longer has is left out.
    """
    had = list(stored["styles"])
    if had == list(styles):
        return stored
    tables = {
        f"{name}.{part}"
        for name, norm in generator.named_modules()
        if isinstance(norm, ConditionalNorm)
        for part in ("scale", "shift")
    }

    def rows(table: Tensor, fill: Tensor) -> Tensor:
        return torch.stack([table[had.index(s)] if s in had else fill for s in styles])

    result = dict(stored)
    for part in PARTS:
        result[part] = dict(stored[part])
        for name in tables & stored[part].keys():
            table = stored[part][name]
            remembered = part in ("weights", "average")
            mean = table.float().mean(0).to(table.dtype)
            result[part][name] = rows(table, mean if remembered else torch.zeros_like(mean))
    result["styles"] = list(styles)
    return result


@torch.no_grad()
def grow(stored: dict[str, Any], generator: Generator) -> dict[str, Any]:
    """The stored state for a generator that is wider or deeper than the checkpoint's.

    What it computes stays the same until the next step (as in Net2Net of Chen, Goodfellow and
    Shlens, arXiv:1511.05641): new channels begin with random weights into them and zeros out of
    them, new residual blocks with a scale of zero behind the last convolution, noise with weights
    of zero. What is smaller than the checkpoint's is left to ``load_small``, which refuses it.
    """
    held = stored["weights"]
    closing = {
        f"{name}.norm2.scale"
        for name, module in generator.named_modules()
        if isinstance(module, Block) and f"{name}.conv1.weight" not in held
    }
    closing |= {
        f"{name}.noise_conv.weight"
        for name, module in generator.named_modules()
        if getattr(module, "noise_conv", None) is not None
    }
    changed = {
        name: parameter
        for name, parameter in generator.named_parameters()
        if name not in held or _larger(parameter, held[name])
    }
    if not changed:
        return stored
    result = {**stored, **{part: dict(stored[part]) for part in PARTS}}
    for name, parameter in changed.items():
        fresh = torch.zeros_like(parameter) if name in closing else parameter.detach().clone()
        if name in held:
            shape = held[name].shape
            if len(shape) == 4:
                fresh[: shape[0], shape[1] :] = 0
            fresh[tuple(map(slice, shape))] = held[name]
        result["weights"][name] = fresh
        for part in ("average", "first", "second"):
            around = torch.zeros_like(fresh, dtype=torch.bfloat16)
            if name in held:
                around[tuple(map(slice, held[name].shape))] = stored[part][name]
            result[part][name] = around
    return result


def _larger(parameter: Tensor, stored: Tensor) -> bool:
    """Whether no side is smaller than the stored one's, and one is larger."""
    sides = list(zip(parameter.shape, stored.shape, strict=False))
    return parameter.shape != stored.shape and all(new >= old for new, old in sides)


def load(path: Path) -> dict[str, Any]:
    """Read the checkpoint of a campaign."""
    return read_checkpoint(path, HELD, "is not the checkpoint of a campaign, or damaged")
