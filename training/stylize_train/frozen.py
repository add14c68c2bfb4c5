# SPDX-License-Identifier: MPL-2.0
"""Instance normalization with fixed statistics, for comparison with batch normalization."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from .errors import UserError
from .generators import Generator
from .norms import BatchNorm, InstanceNorm, Normalization

Network = TypeVar("Network", bound=Generator)


@torch.no_grad()
def freeze_statistics(generator: Network, images: Iterable[Tensor]) -> Network:
    """A copy of a generator that applies its instance norms with fixed statistics.

    The means and (biased) variances that each norm meets over all ``images`` are averaged,
    and used as batch normalization uses its running averages. What instance normalization
    would lose if it were applied at training only, as batch normalization is. The copy
    counts as one with batch normalization: it can be saved, rebuilt and exported.

    Args:
        generator: trained with instance normalization; not changed.
        images: batches [N, 3, H, W] in 0..1, of any sizes; every sample counts the same.
    """
    frozen = copy.deepcopy(generator).eval()
    norms = {n: m for n, m in frozen.named_modules() if isinstance(m, InstanceNorm)}
    if not norms:
        raise UserError("only a generator with instance normalization can be frozen.")
    sums = {
        name: torch.zeros(2, *m.scale.shape, device=m.scale.device) for name, m in norms.items()
    }
    samples = 0

    def gather(name: str, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0].float(), dim=(2, 3), correction=0)
        sums[name] += torch.stack([mean.sum(0), variance.sum(0)])

    hooks = [m.register_forward_pre_hook(partial(gather, name)) for name, m in norms.items()]
    for batch in images:
        frozen(batch)
        samples += len(batch)
    for hook in hooks:
        hook.remove()
    if not samples:
        raise UserError("statistics need at least one image.")
    for name, norm in norms.items():
        fixed = BatchNorm(norm.scale.numel()).to(norm.scale.device)
        mean, variance = sums[name] / samples
        fixed.load_state_dict(
            {"scale": norm.scale, "shift": norm.shift, "mean": mean, "variance": variance}
        )
        frozen.set_submodule(name, fixed)
    frozen.normalization = Normalization("batch")
    return frozen.eval()
