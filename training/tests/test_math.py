# SPDX-License-Identifier: MPL-2.0
"""Formulas against independent NumPy computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylize_train import vgg
from stylize_train.generators.lite import HEAD, Lite, icnr_, merge_nearest
from stylize_train.losses import (
    PerceptualLoss,
    Weights,
    content_loss,
    gram,
    lattice,
    pyramid,
    relative_error,
    total_variation,
)
from stylize_train.norms import InstanceNorm


def test_gram_is_the_mean_outer_product() -> None:
    features = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
    expected = np.zeros((2, 5, 5))
    for n in range(2):
        for y in range(7):
            for x in range(3):
                column = features[n, :, y, x].astype(np.float64)
                expected[n] += np.outer(column, column) / 21
    np.testing.assert_allclose(gram(torch.from_numpy(features)), expected, rtol=1e-5, atol=1e-6)


def test_instance_norm_uses_biased_variance_of_each_sample_and_channel() -> None:
    x = np.random.default_rng(1).normal(3, 2, size=(2, 4, 6, 5))
    norm = InstanceNorm(4)
    with torch.no_grad():
        norm.scale.copy_(torch.tensor([1.0, 2.0, -1.0, 0.5]))
        norm.shift.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    mean = x.mean(axis=(2, 3), keepdims=True)
    variance = ((x - mean) ** 2).sum(axis=(2, 3), keepdims=True) / 30
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    expected = expected * norm.scale.detach().numpy()[:, None, None]
    expected += norm.shift.detach().numpy()[:, None, None]
    actual = norm(torch.from_numpy(x).float()).detach()
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
    norm.eval()
    np.testing.assert_array_equal(norm(torch.from_numpy(x).float()).detach(), actual)


def test_instance_norm_removes_contrast_and_brightness() -> None:
    x = torch.rand(1, 3, 16, 16)
    norm = InstanceNorm(3)
    torch.testing.assert_close(norm(x), norm(0.5 * x + 0.3), atol=2e-3, rtol=0)


def test_pyramid_levels_and_weights(loss_network: vgg.Vgg) -> None:
    image = torch.rand(1, 3, 32, 48)
    levels = pyramid(image, 3)
    assert [tuple(level.shape[2:]) for level in levels] == [(32, 48), (16, 24), (8, 12)]
    block = image[0, :, 4:8, 8:12].mean(dim=(1, 2))
    torch.testing.assert_close(levels[2][0, :, 1, 2], block)
    style, output, photo = (torch.rand(1, 3, 32, 32) for _ in range(3))
    loss = PerceptualLoss(loss_network, style, Weights(scales=(1.0, 0.6, 0.4)))
    assert loss.scale_weights == pytest.approx((0.5, 0.3, 0.2))
    alone = [
        PerceptualLoss(loss_network, style, Weights(scales=scales))(output, photo)["style"]
        for scales in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    expected = 0.5 * alone[0] + 0.3 * alone[1] + 0.2 * alone[2]
    torch.testing.assert_close(loss(output, photo)["style"], expected)


def test_losses_are_relative_to_their_target(loss_network: vgg.Vgg) -> None:
    target = torch.rand(1, 4, 4)
    assert relative_error(torch.zeros(3, 4, 4), target).item() == pytest.approx(1)
    style = torch.rand(1, 3, 32, 32)
    terms = PerceptualLoss(loss_network, style, Weights(2, 3, 4, 0))(style, style)
    assert terms["style"].item() == pytest.approx(0, abs=1e-6)
    assert terms["content"].item() == pytest.approx(0, abs=1e-6)
    assert terms["total"].item() == pytest.approx(4 * terms["tv"].item(), abs=1e-5)


def test_content_ignores_brightness_and_contrast() -> None:
    photo = torch.rand(2, 8, 12, 12, generator=torch.Generator().manual_seed(0))
    other = torch.rand(2, 8, 12, 12, generator=torch.Generator().manual_seed(1))
    assert content_loss(photo, photo).item() == 0
    assert content_loss(3 * photo + 1, photo).item() == pytest.approx(0, abs=1e-6)
    assert content_loss(other, photo).item() == pytest.approx(2, rel=0.1)


def test_content_of_a_photo_of_one_colour_is_bounded() -> None:
    """A crop of a white sky had an error of 1e14, and nothing else counted for long after."""
    torch.manual_seed(0)
    output, flat = torch.rand(1, 8, 16, 16), torch.full((1, 8, 16, 16), 0.7)
    assert 0 < content_loss(output, flat).item() < 2
    assert 0 < content_loss(output, flat + 1e-6 * torch.rand(1, 8, 16, 16)).item() < 2
    both = torch.cat([output, output]), torch.cat([flat, output])
    assert content_loss(*both).item() == pytest.approx(content_loss(output, flat).item() / 2)


def test_total_variation_of_a_ramp() -> None:
    ramp = torch.arange(8.0).div(8).expand(1, 3, 5, 8)
    assert total_variation(ramp).item() == pytest.approx(1 / 8)


def test_lattice_sees_patterns_not_structure() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    assert lattice(ramp).item() < 1e-6
    checks = torch.zeros(2, 2).fill_diagonal_(0.1).repeat(32, 32)
    assert lattice(ramp + checks).sqrt().item() == pytest.approx(0.05, rel=0.05)
    noise = 0.1 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert lattice(noise).sqrt().item() < 0.02
    # A wave of 8 pixels, of root mean square 0.1 / sqrt(2), which the period of 4 does not see.
    wave = 0.1 * torch.cos(torch.arange(64) * torch.pi / 4).expand(1, 3, 64, 64)
    assert lattice(ramp + wave, 8).sqrt().item() == pytest.approx(0.0707, rel=0.02)
    assert lattice(ramp + wave).sqrt().item() < 0.005


def test_icnr_starts_as_nearest_neighbour() -> None:
    generator = Lite(width=8, dilations=(1,))
    output = generator(torch.rand(1, 3, 24, 32)).detach()
    corner = output[..., ::2, ::2]
    for dy, dx in ((0, 1), (1, 0), (1, 1)):
        assert torch.equal(output[..., dy::2, dx::2], corner)
    weight = torch.rand(12, HEAD, 3, 3)
    kept = weight[::4].clone()
    icnr_(weight, 2)
    assert torch.equal(weight[1::4], kept) and torch.equal(weight[3::4], kept)


def test_merged_kernel_is_nearest_then_convolution() -> None:
    weight = torch.randn(5, 3, 3, 3)
    x = torch.randn(1, 3, 6, 7)
    up = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    expected = torch.nn.functional.conv2d(
        torch.nn.functional.pad(up, (1,) * 4, mode="reflect"), weight
    )
    merged = torch.from_numpy(merge_nearest(weight.numpy()))
    edged = torch.nn.functional.pad(x, (1,) * 4, mode="replicate")
    actual = torch.nn.functional.conv_transpose2d(edged, merged, stride=2, padding=3)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


def test_caffe_and_torchvision_pixels() -> None:
    weights = {"conv1_1.weight": torch.zeros(3, 3, 3, 3), "conv1_1.bias": torch.zeros(3)}
    for channel in range(3):
        weights["conv1_1.weight"][channel, channel, 1, 1] = 1
    pixel = torch.tensor([0.9, 0.8, 0.7]).view(1, 3, 1, 1)
    caffe = vgg.Vgg(weights, "caffe", ["conv1_1"])(pixel, ["conv1_1"])["conv1_1"].flatten()
    blue_first = [0.7 * 255 - 103.939, 0.8 * 255 - 116.779, 0.9 * 255 - 123.68]
    assert caffe.tolist() == pytest.approx(blue_first, abs=1e-3)
    other = vgg.Vgg(weights, "torchvision", ["conv1_1"])(pixel, ["conv1_1"])["conv1_1"].flatten()
    red_first = [(0.9 - 0.485) / 0.229, (0.8 - 0.456) / 0.224, (0.7 - 0.406) / 0.225]
    assert other.tolist() == pytest.approx(red_first, abs=1e-4)
