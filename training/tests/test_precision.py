# SPDX-License-Identifier: MPL-2.0
"""Bfloat16 is for what is faster in it: each network is tried by itself."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from stylize_train.precision import faster_in_bfloat16


def network(slow: torch.dtype, passes: list[bool]) -> nn.Conv2d:
    """A convolution that takes its time in one type, and notes which passes had gradients."""
    conv = nn.Conv2d(3, 4, 3)

    def linger(_module: nn.Module, _inputs: object, result: Tensor) -> None:
        passes.append(result.requires_grad)
        if result.dtype == slow:
            time.sleep(0.05)

    conv.register_forward_hook(linger)
    return conv


@pytest.mark.parametrize("slow", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("learning", [True, False])
def test_the_faster_type_is_found_by_trying(
    slow: torch.dtype, learning: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    passes: list[bool] = []
    conv = network(slow, passes)
    image = torch.rand(1, 3, 8, 8)
    inputs = list(conv.parameters()) if learning else []
    assert faster_in_bfloat16(lambda: [conv(image)], inputs, rounds=2) == (slow == torch.float32)
    assert passes == [learning] * 4
    assert all(parameter.grad is None for parameter in conv.parameters())


def test_a_processor_without_it_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert not faster_in_bfloat16(lambda: pytest.fail("tried"))
