# SPDX-License-Identifier: MPL-2.0
"""The judge against a NumPy computation of the distilled network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stylize_train.distilled import STYLE_LAYERS, DistilledVgg
from stylize_train.errors import UserError
from stylize_train.judge import LAYERS, ContentJudge, Judge, load_judge
from stylize_train.vgg import layer_names

WIDTHS = {1: 3, 2: 4, 3: 4, 4: 5, 5: 6}
FULL = {1: 5, 2: 6, 3: 8, 4: 9, 5: 7}
NAMES = tuple(name for name in layer_names("vgg19") if name <= "conv5_1")


def distilled_weights() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)

    def conv(outputs: int, inputs: int, kernel: int) -> tuple[torch.Tensor, torch.Tensor]:
        scale = (2 / (inputs * kernel**2)) ** 0.5
        weight = scale * torch.randn(outputs, inputs, kernel, kernel, generator=random)
        return weight, 0.1 * torch.randn(outputs, generator=random)

    shapes: dict[str, tuple[int, int, int]] = {"conv0": (3, 3, 1)}
    inputs = 3
    for name in NAMES:
        block = int(name[4])
        shapes[name] = (WIDTHS[block], inputs, 3)
        inputs = WIDTHS[block]
    shapes |= {f"conv{b}_1_aux": (full, WIDTHS[b], 1) for b, full in FULL.items()}
    weights: dict[str, torch.Tensor] = {}
    for name, shape in shapes.items():
        weights[f"{name}.weight"], weights[f"{name}.bias"] = conv(*shape)
    return weights


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """[C, H, W] with reflection, position by position."""
    amount = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (amount,) * 2, (amount,) * 2), mode="reflect")
    out = np.zeros((len(weight), *x.shape[1:]))
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            window = padded[:, row : row + weight.shape[2], column : column + weight.shape[3]]
            out[:, row, column] = (weight * window).sum(axis=(1, 2, 3)) + bias
    return out


def reference(image: np.ndarray, weights: dict[str, np.ndarray], layer: str) -> np.ndarray:
    def step(x: np.ndarray, name: str) -> np.ndarray:
        return convolve(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = step(image, "conv0")
    for name in NAMES:
        if name.endswith("_1") and name != "conv1_1":
            c, h, w = x.shape
            x = x.reshape(c, h // 2, 2, w // 2, 2).max(axis=(2, 4))
        x = np.maximum(step(x, name), 0)
        if name == layer:
            return np.maximum(step(x, f"{name}_aux"), 0)
    raise AssertionError(layer)


def relative_gram_error(value: np.ndarray, target: np.ndarray) -> float:
    grams = [np.einsum("ahw,bhw->ab", f, f) / f[0].size for f in (value, target)]
    return float(((grams[0] - grams[1]) ** 2).sum() / (grams[1] ** 2).sum())


def test_judge_is_the_relative_gram_error_of_the_distilled_network(tmp_path: Path) -> None:
    weights = distilled_weights()
    save_file(weights, tmp_path / "judge.safetensors")
    random = torch.Generator().manual_seed(1)
    style = torch.rand(1, 3, 32, 48, generator=random)
    output = torch.rand(2, 3, 32, 32, generator=random)
    judge = load_judge(tmp_path / "judge.safetensors", style)
    actual = judge(output)
    numpy = {name: value.double().numpy() for name, value in weights.items()}
    for layer, key in (("conv4_1", "judge_4_1"), ("conv5_1", "judge_5_1")):
        target = reference(style[0].double().numpy(), numpy, layer)
        errors = [
            relative_gram_error(reference(image.double().numpy(), numpy, layer), target)
            for image in output
        ]
        assert actual[key] == pytest.approx(sum(errors) / 2, rel=1e-4)


def test_shapes_and_perfect_score() -> None:
    network = DistilledVgg(distilled_weights(), LAYERS, heads=True)
    assert network.names == NAMES and len(NAMES) == 13 and network.stride == 16
    image = torch.rand(2, 3, 64, 32)
    shapes = {name: tuple(f.shape) for name, f in network(image, LAYERS).items()}
    assert shapes == {"conv4_1": (2, 9, 8, 4), "conv5_1": (2, 7, 4, 2)}
    scores = Judge(network, image[:1])(image[:1])
    assert scores == {"judge_4_1": 0.0, "judge_5_1": 0.0}


def test_without_heads_the_features_are_those_that_the_heads_read() -> None:
    weights = distilled_weights()
    image = torch.rand(1, 3, 64, 48)
    narrow = DistilledVgg(weights, STYLE_LAYERS)(image, STYLE_LAYERS)
    wide = DistilledVgg(weights, STYLE_LAYERS, heads=True)(image, STYLE_LAYERS)
    for name, features in narrow.items():
        kernel = weights[f"{name}_aux.weight"][:, :, 0, 0]
        bias = weights[f"{name}_aux.bias"][None, :, None, None]
        expected = (torch.einsum("oi,nihw->nohw", kernel, features) + bias).clamp_min(0)
        torch.testing.assert_close(wide[name], expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(UserError, match="no layer 'conv3_2'"):
        DistilledVgg(weights, ["conv3_2"], heads=True)
    assert DistilledVgg(weights, ["conv3_2"]).stride == 4


def test_other_networks_cannot_judge() -> None:
    weights = distilled_weights()
    del weights["conv5_1_aux.bias"]
    with pytest.raises(UserError, match="lack conv5_1_aux"):
        DistilledVgg(weights, LAYERS, heads=True)


def test_content_of_copies_and_strangers(tmp_path: Path) -> None:
    path = tmp_path / "distilled.safetensors"
    save_file(distilled_weights(), path)
    judge = ContentJudge(path)
    random = torch.Generator().manual_seed(1)
    photo, other = (torch.rand(1, 3, 64, 64, generator=random) for _ in range(2))
    assert judge(photo, photo) == 0
    assert judge(other, photo) > 0.5
