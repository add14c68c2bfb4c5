# SPDX-License-Identifier: MPL-2.0
"""Normalizations against NumPy, and the experiment of freezing one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylize_train.errors import UserError
from stylize_train.export import About, greatest_difference, to_onnx
from stylize_train.frozen import freeze_statistics
from stylize_train.generators import create
from stylize_train.norms import BatchNorm, InstanceNorm


def test_batch_norm_uses_the_batch_in_training_and_averages_in_use() -> None:
    random = np.random.default_rng(2)
    norm = BatchNorm(3)
    scale, shift = np.array([1.0, 2.0, -0.5]), np.array([0.0, 1.0, 2.0])
    norm.load_state_dict(
        {
            "scale": torch.from_numpy(scale),
            "shift": torch.from_numpy(shift),
            "mean": torch.zeros(3),
            "variance": torch.ones(3),
        }
    )
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(4):
        x = random.normal([[[[4.0]], [[-1.0]], [[0.0]]]], 2.0, size=(2, 3, 5, 6))
        expected = np.empty_like(x)
        for c in range(3):
            values = x[:, c].ravel()
            centre = values.sum() / 60
            spread = ((values - centre) ** 2).sum()
            expected[:, c] = (x[:, c] - centre) / np.sqrt(spread / 60 + 1e-5) * scale[c] + shift[c]
            mean[c] = 0.9 * mean[c] + 0.1 * centre
            variance[c] = 0.9 * variance[c] + 0.1 * spread / 59
        actual = norm(torch.from_numpy(x).float()).detach()
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
    norm.eval()
    each = (slice(None), None, None)
    expected = (x - mean[each]) / np.sqrt(variance[each] + 1e-5) * scale[each] + shift[each]
    actual = norm(torch.from_numpy(x).float()).detach()
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [InstanceNorm, BatchNorm])
def test_statistics_are_float32(kind: type[InstanceNorm] | type[BatchNorm]) -> None:
    """Large means with small differences: sums in bfloat16 would find no variance at all."""
    x = torch.linspace(0, 0.5, 4096).view(1, 1, 64, 64) + 8
    half = x.bfloat16()
    output = kind(1)(half)
    assert output.dtype == torch.bfloat16
    values = half.double()
    expected = (values - values.mean()) / (values.var(correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(output.double(), expected, atol=0.02, rtol=0.01)


def pictures(count: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(7)
    return [torch.rand(1, 3, 32, 48, generator=random) ** (1 + i) for i in range(count)]


def test_frozen_statistics_are_the_means_over_photos() -> None:
    torch.manual_seed(1)
    generator = create("residual", {"width": 4, "blocks": 1})
    photos = pictures(3)
    frozen = freeze_statistics(generator, photos)
    features = [
        generator.first.conv(torch.nn.functional.pad(p, (4,) * 4, "reflect")) for p in photos
    ]
    stack = torch.cat(features).detach().double().numpy()
    means = stack.mean(axis=(2, 3))
    variances = ((stack - means[:, :, None, None]) ** 2).mean(axis=(2, 3))
    first = frozen.first.norm
    assert isinstance(first, BatchNorm) and isinstance(generator.first.norm, InstanceNorm)
    np.testing.assert_allclose(first.mean, means.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.variance, variances.mean(0), rtol=1e-4, atol=1e-5)
    together = freeze_statistics(generator, [torch.cat(photos)])
    for a, b in zip(frozen.buffers(), together.buffers(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["lite", "residual", "pyramid"])
def test_frozen_on_one_photo_it_is_right_for_that_photo_only(name: str) -> None:
    torch.manual_seed(1)
    generator = create(name, {"width": 8})
    photo, other = torch.rand(1, 3, 64, 64), 0.5 * torch.rand(1, 3, 64, 64)
    frozen = freeze_statistics(generator, [photo])
    torch.testing.assert_close(frozen(photo), generator(photo), atol=1e-4, rtol=0)
    assert (frozen(other) - generator(other)).abs().mean() > 0.01


def test_a_frozen_generator_is_rebuilt_and_exported() -> None:
    torch.manual_seed(1)
    generator = create("lite", {"width": 8, "dilations": [1]})
    frozen = freeze_statistics(generator, pictures(2))
    again = create("lite", frozen.options())
    again.load_state_dict(frozen.state_dict())
    photo = pictures(1)[0]
    torch.testing.assert_close(again.eval()(photo), frozen(photo))
    model = to_onnx(frozen, About("frozen"))
    assert "InstanceNormalization" not in {node.op_type for node in model.graph.node}
    assert greatest_difference(frozen, model) <= 1
    assert generator.options()["norm"] == "instance"


def test_what_cannot_be_frozen_is_refused() -> None:
    with pytest.raises(UserError, match="instance"):
        freeze_statistics(create("lite", {"norm": "batch"}), pictures(1))
    with pytest.raises(UserError, match="at least one"):
        freeze_statistics(create("lite"), [])
