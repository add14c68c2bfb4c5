# SPDX-License-Identifier: MPL-2.0
"""In which precision convolutions run: float32, or bfloat16 where it is faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor


def autocast_helps(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are native: on CUDA, or a CPU with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported())


def faster_in_bfloat16(
    forward: Callable[[], Iterable[Tensor]], inputs: Sequence[Tensor] = (), rounds: int = 4
) -> bool:
    """Whether a CPU takes less time for a network's passes in bfloat16.

    Native bfloat16 is no guarantee: wide convolutions such as VGG's take half the time, those of a
    small network may take longer, because their inputs and results are converted.

    Args:
        forward: one pass; returns the results.
        inputs: tensors, whose gradients belong to the work; without any, one pass forward is all.
        rounds: passes of each kind, in turn, of which the fastest counts.
    """
    if not autocast_helps(torch.device("cpu")):
        return False
    fastest = dict.fromkeys((True, False), float("inf"))
    for _ in range(rounds):
        for half in fastest:
            began = time.perf_counter()
            with torch.set_grad_enabled(len(inputs) > 0):
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                    results = list(forward())
                if inputs:
                    total = torch.stack([x.float().square().mean() for x in results]).sum()
                    torch.autograd.grad(total, inputs)
            fastest[half] = min(fastest[half], time.perf_counter() - began)
    return fastest[True] < fastest[False]
