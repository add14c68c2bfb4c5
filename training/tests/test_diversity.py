# SPDX-License-Identifier: MPL-2.0
"""The entropy estimator against NumPy, and what training for it does."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from stylize_train.diversity import entropy
from stylize_train.errors import UserError
from stylize_train.train import Trainer


def test_entropy_is_the_mean_log_of_nearest_distances() -> None:
    images = np.random.default_rng(3).random((5, 3, 12, 16))
    means = images.reshape(5, 3, 3, 4, 4, 4).mean(axis=(3, 5))
    total = 0.0
    for i in range(5):
        squares = [((means[i] - means[j]) ** 2).mean() for j in range(5) if j != i]
        total += math.log(math.sqrt(min(squares) + 255**-2))
    value = entropy(torch.from_numpy(images).float()).item()
    assert value == pytest.approx(total / 5, rel=1e-4)


def test_entropy_is_that_of_the_density_up_to_a_constant() -> None:
    """Twice as wide a density has ln 2 more entropy per dimension: the estimate follows."""
    random = torch.Generator().manual_seed(0)
    flat = torch.randn(64, 3, 1, 1, generator=random).expand(-1, -1, 4, 4)
    narrow, wide = entropy(0.2 * flat + 0.5), entropy(0.4 * flat + 0.5)
    assert (wide - narrow).item() == pytest.approx(math.log(2), abs=0.01)


def test_scale_of_the_entropy() -> None:
    same = torch.full((3, 3, 8, 8), 0.4)
    assert entropy(same).item() == pytest.approx(math.log(1 / 255))
    opposite = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    assert entropy(opposite).item() == pytest.approx(0, abs=1e-4)
    grain = 0.5 + 0.2 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    strokes = grain[..., ::8, ::8].repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert entropy(strokes) - entropy(grain) > 1


def test_gradient_parts_samples_and_is_bounded() -> None:
    images = torch.full((2, 3, 8, 8), 0.5, requires_grad=True)
    entropy(images).backward()
    assert torch.equal(images.grad, torch.zeros_like(images))
    images = torch.stack([torch.full((3, 8, 8), v) for v in (0.5, 0.501)]).requires_grad_()
    entropy(images).backward()
    assert (images.grad[0] < 0).all() and (images.grad[1] > 0).all()
    assert images.grad.abs().sum() < 255


def test_diversity_makes_outputs_differ(make_trainer: Callable[..., Trainer]) -> None:
    """The same run with and without: noise matters in one and is ignored in the other."""

    def spread(weight: float) -> float:
        options = {"width": 8, "dilations": [1], "noise_channels": 2}
        trainer = make_trainer(
            generator_options=options, diversity=weight, steps=60, batch=3, lr=3e-3
        )
        for _ in range(60):
            trainer.train_step()
        image = trainer.photos.batch(1)[1].expand(4, -1, -1, -1)
        noise = trainer.generator.draw_noise(image, torch.Generator().manual_seed(9))
        return entropy(trainer.generator(image, noise)).item()

    assert spread(4.0) > spread(0.0) + 0.3


def test_a_step_of_diversity_shows_one_photo(make_trainer: Callable[..., Trainer]) -> None:
    options = {"width": 8, "dilations": [1], "noise_channels": 2}
    trainer = make_trainer(generator_options=options, diversity=1.0, batch=3)
    image, noise, photo = trainer.batch()
    assert torch.equal(image[0], image[2]) and torch.equal(photo[0], photo[2])
    assert not torch.equal(noise[0][0], noise[0][2])
    terms = trainer.train_step()
    plain = 16 * terms["style"] + 1.5 * terms["content"]
    plain += 0.02 * terms["tv"] + 1000 * terms["lattice"]
    assert terms["total"] == pytest.approx(plain - terms["entropy"], rel=1e-4)


def test_diversity_needs_noise_and_a_batch(make_trainer: Callable[..., Trainer]) -> None:
    noisy = {"width": 8, "dilations": [1], "noise_channels": 2}
    for options, batch in (({"width": 8}, 2), (noisy, 1)):
        with pytest.raises(UserError, match=r"--noise-channels .* --batch"):
            make_trainer(generator_options=options, batch=batch, diversity=1.0)
    with pytest.raises(UserError, match="--diversity is -1"):
        make_trainer(diversity=-1.0)
