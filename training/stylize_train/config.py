# SPDX-License-Identifier: MPL-2.0
"""What decides a training run of ``train.py``: its configuration, and what follows from a step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from .errors import UserError
from .generators import Generator, create
from .loss_options import LossOptions, refuse_negative
from .styles import style_names


@dataclass
class Config(LossOptions):
    """Everything that decides a training run; kept in the checkpoint and the card.

    A conditional generator has ``styles``, several paintings or one, and no ``style``. With
    ``added`` only the scales and shifts of the last of them are learned. ``ratio`` is empty, and
    then the weights are those of the loss, or how large the style term is by value beside the
    content term: at the start and at the end of the run.
    """

    style: str
    content: str
    styles: tuple[str, ...] = ()
    added: bool = False
    generator: str = "lite"
    generator_options: dict[str, object] = field(default_factory=dict)
    steps: int = 3000
    batch: int = 2
    crop: int = 224
    lr: float = 1e-3
    schedule: str = "linear"
    ema: float = 0.0
    noise: float = 0.02
    diversity: float = 0.0
    temporal: float = 0.0
    ratio: tuple[float, ...] = ()
    compile: bool = False
    exclude: tuple[str, ...] = ()
    seed: int = 1

    @property
    def texture(self) -> bool:
        """Whether the painting's texture is all that is wanted, and there are no photos."""
        return self.generator_options.get("task") == "texture"

    @classmethod
    def restored(cls, stored: dict[str, Any]) -> Config:
        """The configuration of a checkpoint; what this version does not know is left out."""
        known = cls.__dataclass_fields__
        return cls(**{name: value for name, value in stored.items() if name in known})

    @property
    def conditional(self) -> bool:
        """Whether one generator learns several styles."""
        return self.generator_options.get("norm") == "conditional"

    @property
    def paintings(self) -> tuple[str, ...]:
        """All paintings that are learned."""
        return self.styles or (self.style,)

    @property
    def style_names(self) -> tuple[str, ...]:
        """Names of a conditional generator's styles; of others there are none."""
        return style_names(self.styles)

    def new_generator(self) -> Generator:
        """The network of the run, untrained."""
        styles = {"styles": len(self.styles)} if self.conditional else {}
        return create(self.generator, {**self.generator_options, **styles})

    def check(self) -> None:
        """Refuse values that cannot work."""
        self.check_loss()
        if self.conditional != bool(self.styles):
            raise UserError(
                "several --styles in one generator need --norm conditional, and it them."
            )
        if not self.content and not self.texture:
            raise UserError("--content is missing: a folder of photos to learn on.")
        least = {"steps": 1, "batch": 1, "crop": 32}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise UserError(f"--{name.replace('_', '-')} must be at least {minimum}.")
        if not 0 < self.lr < math.inf:
            raise UserError(f"--lr is {self.lr:g} and must be above 0.")
        if not 0 <= self.ema < 1:
            raise UserError("--ema must be at least 0 and below 1.")
        if len(self.ratio) not in (0, 2) or not all(0 < r < math.inf for r in self.ratio):
            raise UserError("--ratio wants two numbers above 0, START,END; or 0 for fixed weights.")
        if self.ratio and self.texture:
            raise UserError("a texture has no content for a --ratio; say --ratio 0.")
        refuse_negative(noise=self.noise, diversity=self.diversity, temporal=self.temporal)
        if self.diversity and (self.batch < 2 or not self.generator_options.get("noise_channels")):
            raise UserError(
                "--diversity compares outputs for different noise: it needs --noise-channels "
                "of at least 1 and --batch of at least 2."
            )


def learning_rate(config: Config, step: int) -> float:
    """Rate at ``step``: from ``lr`` to 0, linearly or along half a cosine."""
    left = 1 - step / config.steps
    if config.schedule == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return config.lr * left


def style_ratio(config: Config, step: int) -> float:
    """The style term's value over the content term's at ``step``.

    The painting comes first and the content after: a third of the run as it starts, then in a
    straight line to the end's ratio at two thirds.
    """
    start, end = config.ratio
    part = min(1.0, max(0.0, 3 * step / config.steps - 1))
    return start + (end - start) * part
