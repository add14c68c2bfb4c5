# SPDX-License-Identifier: MPL-2.0
"""Generators: sizes known from papers, layers against independent computations, noise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stylize_train.errors import UserError
from stylize_train.generators import GENERATORS, Generator, create
from stylize_train.generators.kernels import four_at_once, merge_unshuffle
from stylize_train.generators.layers import Block
from stylize_train.generators.pyramid import Join
from stylize_train.norms import NORMS, Normalization

SMALL: dict[str, dict[str, object]] = {
    "eighth": {"width": 8, "edges": [6, 6, 4], "dilations": [1, 2]},
    "lite": {"width": 8, "dilations": [1, 2]},
    "residual": {"width": 4, "blocks": 2},
    "pyramid": {"width": 4, "levels": 3},
}


def small(name: str, **options: object) -> Generator:
    torch.manual_seed(5)
    return create(name, {**SMALL[name], **options})


def picture(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("width", "published", "macs"),
    [(32, 1_679_235, 153_792), (16, 424_899, 42_336), (8, 108_771, 12_528)],
)
def test_residual_is_the_published_network(width: int, published: int, macs: int) -> None:
    """Less its biases in front of norms: 1, 2, 4 widths down, ten of 4 in blocks, 2, 1 up."""
    generator = create("residual", {"width": width})
    assert generator.parameter_count() == published - (1 + 2 + 4 + 10 * 4 + 2 + 1) * width
    assert generator.macs_per_pixel() == pytest.approx(macs)
    assert create("residual", {"width": width, "norm": "none"}).parameter_count() == (
        published - 2 * (1 + 2 + 4 + 10 * 4 + 2 + 1) * width
    )


def test_pyramid_is_the_published_network() -> None:
    """Less its biases in front of norms: three of 8 in six branches, three in five joins."""
    biases = 6 * 3 * 8 + 3 * (16 + 24 + 32 + 40 + 48)
    generator = create("pyramid")
    assert generator.parameter_count() == 116_915 - biases == 116_291
    assert generator.macs_per_pixel() == pytest.approx(54_067, abs=1)
    assert (generator.size_multiple, generator.minimum_size) == (32, 64)
    noisy = create("pyramid", {"noise_channels": 3})
    assert noisy.parameter_count() == 116_291 + 6 * 3 * 9 * 8


@pytest.mark.parametrize(("name", "norm"), list(itertools.product(GENERATORS, NORMS)))
def test_shape_range_and_options(name: str, norm: str) -> None:
    for settings in ({}, {"noise_channels": 2}, {"noise_channels": 2, "task": "texture"}):
        generator = small(name, norm=norm, **settings)
        least = generator.minimum_size
        for height, width in ((least, least), (least + generator.size_multiple, 2 * least)):
            image = picture(2, 3, height, width)
            output = generator(image)
            assert output.shape == image.shape
            assert output.min() >= 0 and output.max() <= 1 and output.std() > 0.01
        again = create(name, generator.options())
        again.load_state_dict(generator.state_dict())
        assert torch.equal(again(image), generator(image))


@pytest.mark.parametrize(("name", "norm"), list(itertools.product(GENERATORS, NORMS)))
def test_biases_only_where_no_norm_cancels_them(name: str, norm: str) -> None:
    generator = small(name, norm=norm)
    biased = [n for n, _ in generator.named_parameters() if n.endswith(".bias")]
    assert ("out.bias" in biased) and (len(biased) > 1) == (norm == "none")


@pytest.mark.parametrize("name", GENERATORS)
def test_noise_changes_the_output_and_a_seed_decides_it(name: str) -> None:
    generator = small(name, noise_channels=2)
    image = picture(1, 3, 32, 32)

    def output(seed: int) -> Tensor:
        noise = generator.draw_noise(image, torch.Generator().manual_seed(seed))
        return generator(image, noise)

    assert torch.equal(output(1), output(1))
    assert not torch.equal(output(1), output(2))
    assert torch.equal(generator(image), output(0))
    assert small(name).noise_inputs() == ()


def test_each_level_of_a_pyramid_has_noise_of_its_own() -> None:
    generator = small("pyramid", noise_channels=2)
    image = picture(1, 3, 32, 48)
    noise = generator.draw_noise(image)
    assert [tuple(n.shape) for n in noise] == [(1, 2, 32, 48), (1, 2, 16, 24), (1, 2, 8, 12)]
    assert [n.name for n in generator.noise_inputs()] == ["noise1", "noise2", "noise4"]
    for level in range(3):
        changed = [n + (level == i) for i, n in enumerate(noise)]
        changed[level][..., 0, 0] += 1
        assert not torch.equal(generator(image, changed), generator(image, noise))
    normal = generator.draw_noise(picture(4, 3, 128, 128))[0]
    assert normal.mean().item() == pytest.approx(0, abs=0.02)
    assert normal.std().item() == pytest.approx(1, abs=0.02)


def test_noise_of_the_body_is_of_an_eighth_and_reaches_every_pixel() -> None:
    generator = small("eighth", body_noise=3, noise_channels=1)
    image = picture(1, 3, 64, 96)
    noise = generator.draw_noise(image)
    assert [tuple(n.shape) for n in noise] == [(1, 1, 64, 96), (1, 3, 8, 12)]
    assert [n.name for n in generator.noise_inputs()] == ["noise1", "noise8"]
    changed = [noise[0], noise[1].flip(0, 1, 2, 3)]
    difference = (generator(image, changed) - generator(image, noise)).abs().sum(1)
    assert (difference > 0).float().mean() > 0.95
    again = create("eighth", generator.options())
    again.load_state_dict(generator.state_dict())
    assert torch.equal(again(image, noise), generator(image, noise))
    with pytest.raises(UserError, match="body_noise is -1"):
        small("eighth", body_noise=-1)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_texture_does_not_see_colours(name: str) -> None:
    generator = small(name, noise_channels=3, task="texture")
    output = generator(torch.zeros(1, 3, 32, 32))
    assert torch.equal(generator(picture(1, 3, 32, 32)), output)
    with pytest.raises(UserError, match="noise"):
        small(name, task="texture")


def test_join_is_the_papers_order() -> None:
    """Ulyanov et al. enlarge first and normalize after."""
    torch.manual_seed(0)
    join = Join(6, 4, Normalization())
    with torch.no_grad():
        for parameter in join.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    coarse, fine = torch.randn(2, 6, 5, 7), torch.randn(2, 4, 10, 14)
    enlarged = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    sides = [join.coarse_norm(enlarged), join.fine_norm(fine)]
    torch.testing.assert_close(join(coarse, fine), join.body(torch.cat(sides, 1)))


def test_branches_see_means_of_the_image() -> None:
    generator = small("pyramid")
    image = picture(1, 3, 16, 32)
    seen: list[Tensor] = []
    for branch in generator.branches:
        branch.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    generator(image)
    assert torch.equal(seen[0], image)
    for level, factor in ((1, 2), (2, 4)):
        expected = image.numpy().reshape(1, 3, 16 // factor, factor, 32 // factor, factor)
        np.testing.assert_allclose(seen[level], expected.mean((3, 5)), atol=1e-6)


def test_no_relu_after_a_residual_sum() -> None:
    block = Block(4)
    x = torch.randn(1, 4, 9, 9) - 5
    assert block(x).max() < 0
    unnormalized = small("residual", norm="none").blocks[0]
    x = torch.randn(1, 16, 9, 9)
    assert torch.equal(unnormalized(x), x), "starts as the identity"


def test_reflection_at_the_border() -> None:
    """A constant picture stays constant up to its borders: zero padding would show there."""
    for name in GENERATORS:
        output = small(name, norm="none")(torch.full((1, 3, 64, 64), 0.7))
        assert output.flatten(2).std(2).max().item() < 1e-5, name


def test_four_pixels_at_once_is_the_convolution() -> None:
    x, weight = torch.randn(1, 5, 12, 16), torch.randn(3, 5, 9, 9)
    wide = F.conv2d(x, torch.from_numpy(four_at_once(weight.numpy())), stride=2)
    n, _, height, width = wide.shape
    blocks = wide.reshape(n, 2, 2, 3, height, width).permute(0, 3, 4, 1, 5, 2)
    expected = F.conv2d(x, weight)
    actual = blocks.reshape(n, 3, 2 * height, 2 * width)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_merged_unshuffle_is_unshuffle_then_convolution() -> None:
    x, weight = torch.randn(1, 3, 18, 22), torch.randn(7, 12, 3, 3)
    expected = F.conv2d(F.pixel_unshuffle(x, 2), weight, stride=2)
    merged = torch.from_numpy(merge_unshuffle(weight.numpy()))
    torch.testing.assert_close(F.conv2d(x, merged, stride=4), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("lite", {"blocks": 3}, "--blocks"),
        ("residual", {"dilations": [1], "levels": 2}, "--dilations and no --levels"),
        ("pyramid", {"levels": 9}, "--levels"),
        ("pyramid", {"norm": "layer"}, "'layer'"),
        ("residual", {"width": 0}, "--width"),
        ("lite", {"task": "paint"}, "'paint'"),
        ("lite", {"noise_channels": -1}, "--noise-channels"),
    ],
)
def test_wrong_options_are_refused(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        create(name, options)
