# SPDX-License-Identifier: MPL-2.0
"""Loss options: statistics, content terms, pooling, networks and files that end early."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stylize_train import vgg
from stylize_train.errors import UserError
from stylize_train.loss_options import (
    DEFAULT_LAYERS,
    Layers,
    LossOptions,
    choose_layers,
    load_loss,
    load_network,
    perceptual_loss,
)
from stylize_train.losses import (
    PerceptualLoss,
    Weights,
    content_loss,
    mean_std,
    plain_content_loss,
    relative_error,
    standardized,
)

NARROW = ((4, 4), (6, 6), (8, 8, 8, 8), (8, 8, 8, 8), (8, 8, 8, 8))


def random_features(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 2, size=shape).astype(np.float32)


def test_mean_and_deviation_of_each_channel() -> None:
    features = random_features(0, 2, 3, 4, 5)
    expected = np.zeros((2, 6))
    for n in range(2):
        for c in range(3):
            values = [float(v) for row in features[n, c] for v in row]
            mean = sum(values) / 20
            expected[n, c] = mean
            expected[n, 3 + c] = (sum((v - mean) ** 2 for v in values) / 20) ** 0.5
    np.testing.assert_allclose(mean_std(torch.from_numpy(features)), expected, rtol=1e-5)


def test_standardized_features() -> None:
    features = random_features(1, 2, 3, 4, 5)
    features[0, 1] = 7.0
    mean = features.mean(axis=(2, 3), keepdims=True)
    deviation = features.std(axis=(2, 3), keepdims=True)
    expected = (features - mean) / (deviation + 0.1 * deviation.mean(axis=1, keepdims=True))
    actual = standardized(torch.from_numpy(features))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    assert actual[0, 1].abs().max() < 1e-4


def test_content_terms() -> None:
    a, b = (torch.from_numpy(random_features(seed, 2, 3, 4, 4)) for seed in (2, 3))
    each = [((a[n] - b[n]) ** 2).sum() / (b[n] ** 2).sum() for n in range(2)]
    torch.testing.assert_close(plain_content_loss(a, b), sum(each) / 2)
    assert plain_content_loss(2 * b, b).item() == pytest.approx(1)
    assert content_loss(2 * b, b).item() == pytest.approx(0, abs=1e-6)
    half = plain_content_loss(a.bfloat16(), b.bfloat16())
    assert half.dtype == torch.float32


def test_statistics_are_averaged(loss_network: vgg.Vgg) -> None:
    style, output, photo = (torch.rand(1, 3, 32, 32) for _ in range(3))

    def loss(statistics: str) -> torch.Tensor:
        made = PerceptualLoss(loss_network, style, Weights(scales=(1,)), statistics=statistics)
        return made(output, photo)["style"]

    torch.testing.assert_close(loss("both"), (loss("gram") + loss("mean-std")) / 2)
    names = ("conv1_2", "conv2_2", "conv3_2", "conv3_4")
    expected = [
        relative_error(
            mean_std(loss_network(output, [n])[n]), mean_std(loss_network(style, [n])[n])
        )
        for n in names
    ]
    torch.testing.assert_close(loss("mean-std"), torch.stack(expected).mean())


def test_plain_content_in_the_loss(loss_network: vgg.Vgg) -> None:
    style, output, photo = (torch.rand(1, 3, 32, 32) for _ in range(3))
    loss = perceptual_loss(
        LossOptions(content_term="plain", content_layer="conv2_1"), loss_network, style
    )
    features = [loss_network(image, ["conv2_1"])["conv2_1"] for image in (output, photo)]
    expected = (features[0] - features[1]).square().sum() / features[1].square().sum()
    torch.testing.assert_close(loss(output, photo)["content"], expected)


def test_trace_is_the_mean_square_of_the_features(loss_network: vgg.Vgg) -> None:
    style = torch.rand(1, 3, 32, 32)
    loss = PerceptualLoss(loss_network, style, Weights(), ("conv1_1", "conv2_1"))
    features = loss_network(style, ["conv1_1", "conv2_1"]).values()
    expected = sum(f.square().mean().item() for f in features) / 2
    assert loss.style_trace() == pytest.approx(expected)


@pytest.mark.parametrize("pooling", vgg.POOLINGS)
def test_pooling(pooling: str) -> None:
    weights = vgg.random_weights(0, NARROW)
    network = vgg.Vgg(weights, "torchvision", ["conv2_1"], pooling=pooling)
    image = torch.rand(1, 3, 8, 8)
    before = network(image, ["conv1_2"])["conv1_2"].numpy()
    pooled = np.zeros((1, 4, 4, 4), np.float32)
    for y in range(4):
        for x in range(4):
            window = before[:, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            pooled[:, :, y, x] = getattr(window, pooling.replace("average", "mean"))(axis=(2, 3))
    expected = torch.relu(network.convs["conv2_1"](torch.from_numpy(pooled)))
    torch.testing.assert_close(network(image, ["conv2_1"])["conv2_1"], expected)


def test_vgg16_has_three_convolutions_in_its_deep_blocks() -> None:
    names = vgg.layer_names("vgg16")
    assert len(names) == 13 and len(vgg.layer_names("vgg19")) == 16
    assert "conv3_3" in names and "conv3_4" not in names
    for network, layers in DEFAULT_LAYERS.items():
        assert {*layers.style, layers.content} <= set(
            vgg.layer_names(network.replace("distilled", "vgg19"))
        )
    with pytest.raises(UserError, match="VGG-16 has no layer 'conv3_4'"):
        vgg.Vgg({}, "caffe", ["conv3_4"], "vgg16")


def saved(path: Path, network: str, blocks: int, torchvision: bool = False) -> Path:
    """A file with the first blocks of a narrow network, under either kind of names."""
    depth = 3 if network == "vgg16" else 4
    plan = tuple(block[:depth] for block in NARROW[:blocks])
    weights = vgg.random_weights(0, plan)
    if torchvision:
        indices: dict[str, int] = {}
        index = 0
        for b, block in enumerate(plan, 1):
            for i in range(1, len(block) + 1):
                indices[f"conv{b}_{i}"] = index
                index += 2
            index += 1
        weights = {
            f"features.{indices[name]}.{part}": value
            for name, part, value in ((*key.split("."), v) for key, v in weights.items())
        }
    save_file(weights, path, metadata={"convention": "torchvision"})
    return path


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_files_of_both_networks_and_both_kinds_of_names(network: str, tmp_path: Path) -> None:
    image = torch.rand(1, 3, 16, 16)
    outputs = []
    for torchvision in (False, True):
        path = saved(tmp_path / f"{torchvision}.safetensors", network, 4, torchvision)
        options = LossOptions(vgg=str(path), loss_network=network, content_layer="conv4_2")
        loaded = load_network(options)
        assert loaded.names[-1] == "conv4_2"
        outputs.append(loaded(image, ["conv4_2"])["conv4_2"])
    assert torch.equal(*outputs)


def test_defaults_shrink_to_what_a_file_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, painting: Path
) -> None:
    path = str(saved(tmp_path / "two.safetensors", "vgg19", 2))
    with caplog.at_level(logging.WARNING):
        loss = load_loss(LossOptions(vgg=path, style_size=64), painting)
    assert loss.style_layers == ("conv1_2", "conv2_2") and loss.content_layer == "conv2_2"
    assert "ends at conv2_2" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        load_network(LossOptions(vgg=str(saved(tmp_path / "3.safetensors", "vgg19", 3))))
    assert not caplog.text
    for asked in ({"style_layers": ("conv1_2", "conv3_2")}, {"content_layer": "conv3_1"}):
        with pytest.raises(UserError, match="lack conv3_1"):
            load_network(LossOptions(vgg=path, **asked))
    paper = Layers(("conv1_1", "conv5_1"), "conv4_2")
    held = vgg.layer_names()[:5]
    assert choose_layers(LossOptions(), held, paper) == Layers(("conv1_1",), "conv3_1")


def test_wrong_files_and_values_are_named(tmp_path: Path, painting: Path) -> None:
    full = str(saved(tmp_path / "19.safetensors", "vgg19", 3))
    with pytest.raises(UserError, match="--loss-network vgg19"):
        load_network(LossOptions(vgg=full, loss_network="vgg16"))
    distilled = vgg.random_weights(0, NARROW) | {"conv0.weight": torch.zeros(3, 3, 1, 1)}
    save_file(distilled, tmp_path / "small.safetensors")
    with pytest.raises(UserError, match="--judge"):
        load_network(LossOptions(vgg=str(tmp_path / "small.safetensors")))
    with pytest.raises(UserError, match="'median'"):
        vgg.Vgg(vgg.random_weights(0, NARROW), "caffe", ["conv1_1"], pooling="median")
    with pytest.raises(UserError, match="'kurtosis'"):
        load_loss(LossOptions(vgg=full, style_statistics="kurtosis"), painting)
    with pytest.raises(UserError, match="needs at least 256"):
        load_loss(LossOptions(vgg=full, style_size=100, scales=(1,) * 7), painting)
    with pytest.raises(UserError, match="--scales"):
        load_loss(LossOptions(vgg=full, scales=()), painting)
