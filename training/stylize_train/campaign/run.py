# SPDX-License-Identifier: MPL-2.0
"""A campaign under way: what a step does, and all that the next step depends on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .. import temporal
from ..balance import Balance
from ..data import Photos, fork
from ..errors import UserError
from ..generators import Generator, create
from ..loss_options import LossOptions, load_network, perceptual_loss, read_style
from ..losses import PerceptualLoss
from ..pixels import PixelStatistics
from ..precision import autocast_helps, faster_in_bfloat16
from . import store
from .objective import Perceptual
from .plan import Loss, Plan

WARM_UP = 50
"""Steps in which the rate rises to the plan's."""

CLIP = 10.0
"""Greatest norm of all gradients together."""


def new_generator(plan: Plan) -> Generator:
    """The plan's generator, untrained."""
    options = {**plan.options, "norm": "conditional", "styles": len(plan.styles)}
    return create(plan.generator, options)


def fitted(stored: dict[str, Any], generator: Generator, plan: Plan) -> dict[str, Any]:
    """A checkpoint's state with the plan's styles and the size of its generator."""
    return store.grow(store.rearrange(stored, generator, plan.style_names), generator)


def averaged_generator(plan: Plan, stored: dict[str, Any]) -> Generator:
    """The averaged weights of a checkpoint, for the styles of the plan."""
    generator = new_generator(plan)
    adam = store.Adam(generator)
    average = {name: p.detach().clone() for name, p in adam.parameters.items()}
    store.load_small(fitted(stored, generator, plan), adam, average)
    generator.load_state_dict(average)
    return generator


def find_painting(folders: list[Path], file: str) -> Path:
    """The painting's file in the first of the folders that holds it."""
    for folder in folders:
        if (folder / file).is_file():
            return folder / file
    raise UserError(f"no folder given with --paintings holds {file}.")


class Campaign:
    """A plan, its generator and all state.

    Args:
        plan: what to do.
        photos: folder of photos.
        paintings: folders that hold the paintings.
        weights: of the loss network (.safetensors).
        exclude: patterns of photo names to leave out.
        teacher: the teacher's plan and checkpoint, if the plan has one.
        device: where to compute. On a GPU convolutions are in bfloat16; on a CPU see
            ``fastest``.
        mixed_weights: of the plan's ``mixed`` loss network, if it has one.
        fastest: try on a CPU whether bfloat16 is faster, for each network by itself. Otherwise all
            are in float32, and results do not depend on a measurement.
    """

    def __init__(
        self,
        plan: Plan,
        photos: Path,
        paintings: list[Path],
        weights: Path,
        exclude: tuple[str, ...] = (),
        teacher: tuple[Plan, dict[str, Any]] | None = None,
        device: str = "cpu",
        mixed_weights: Path | None = None,
        fastest: bool = False,
    ) -> None:
        self.plan = plan
        self.device = torch.device(device)
        self.fastest = fastest
        torch.manual_seed(plan.seed)
        self.generator = new_generator(plan).to(self.device)
        if self.device.type == "cuda":
            self.generator.to(memory_format=torch.channels_last)
        self.adam = store.Adam(self.generator)
        self.average = {n: p.detach().clone() for n, p in self.adam.parameters.items()}
        self.photos = Photos(
            photos, plan.crop, plan.seed, exclude, plan.noise, self.device, plan.enlarge
        )
        self.balance = Balance(plan.style_names)
        self.samples = dict.fromkeys(plan.style_names, 0)
        self.step = 0
        self.recent: deque[dict[str, float]] = deque(maxlen=100)
        sample = self._sample()
        read = (sample, self.generator.draw_noise(sample), self._mix(torch.tensor([0])))
        self.autocast = self._bfloat16(
            lambda: [self.generator(*read)], list(self.adam.parameters.values())
        )
        self.teacher: Generator | None = None
        self.teacher_autocast = False
        if plan.teacher is not None:
            if teacher is None:
                raise UserError(f"the plan {plan.name} has a teacher, whose checkpoint is needed.")
            taught_by = averaged_generator(*teacher).to(self.device).eval().requires_grad_(False)
            if taught_by.noise_inputs() != self.generator.noise_inputs():
                raise UserError(
                    f"the plan {plan.name} and its teacher {plan.teacher} must read the same "
                    "noise: give both the same body_noise and noise_channels."
                )
            self.teacher = taught_by
            self.teacher_autocast = self._bfloat16(lambda: [taught_by(*read)])

        pictures = [
            read_style(find_painting(paintings, style.file), style.size, style.part).to(self.device)
            for style in plan.styles.values()
        ]
        pixels = PixelStatistics.of(pictures)

        def objective(options: Loss, file: Path, balance: Balance) -> Perceptual:
            return Perceptual(plan, self._loss(options, pictures, file), balance, pixels)

        self.objective = objective(plan.loss, weights, self.balance)
        self.mixed_balance = Balance(plan.style_names)
        self.mixed: Perceptual | None = None
        if plan.mixed is not None:
            if mixed_weights is None:
                raise UserError(f"the plan {plan.name} mixes losses: give --mixed-vgg, too.")
            self.mixed = objective(plan.mixed, mixed_weights, self.mixed_balance)

    def _loss(self, options: Loss, pictures: list[Tensor], weights: Path) -> PerceptualLoss:
        """A loss of the plan, with each painting at its own size."""
        named = LossOptions(vgg=str(weights), **asdict(options))
        network = load_network(named).to(self.device)
        sample = self._sample().requires_grad_()
        half = self._bfloat16(lambda: network(sample, network.names[-1:]).values(), [sample])
        loss = perceptual_loss(named, network, pictures, half)
        loss.weights.periods = self.generator.lattice_periods
        return loss

    def _sample(self) -> Tensor:
        """Something of a crop's size, [1, 3, crop, crop] in 0..1."""
        side = self.plan.crop
        return torch.linspace(0, 1, 3 * side * side, device=self.device).view(1, 3, side, side)

    def _bfloat16(
        self, forward: Callable[[], Iterable[Tensor]], inputs: Sequence[Tensor] = ()
    ) -> bool:
        """Whether a network runs in bfloat16; the arguments are ``faster_in_bfloat16``'s."""
        if self.device.type == "cpu":
            return self.fastest and faster_in_bfloat16(forward, inputs)
        return self.device.type == "cuda" and autocast_helps(self.device)

    def _mix(self, which: Tensor) -> Tensor:
        """Styles [N] as one-hot rows [N, styles]."""
        return one_hot(which.to(self.device), len(self.plan.styles)).float()

    def precisions(self) -> str:
        """What is in bfloat16, for a person: ``generator, mixed loss``; empty if nothing is."""
        parts = {"generator": self.autocast, "loss": self.objective.loss.autocast}
        if self.teacher is not None:
            parts["teacher"] = self.teacher_autocast
        if self.mixed is not None:
            parts["mixed loss"] = self.mixed.loss.autocast
        return ", ".join(name for name, half in parts.items() if half)

    @property
    def usual(self) -> Perceptual:
        """The loss of most steps, whose values the curve and the card have."""
        always = self.plan.usual_loss is self.plan.mixed
        return self.mixed if self.mixed and always else self.objective

    @property
    def done(self) -> bool:
        """Whether every style had its samples."""
        return min(self.samples.values()) >= self.plan.samples

    def choose(self) -> Tensor:
        """Styles of the next batch, [N]; those with fewer samples come more often."""
        counts = torch.tensor([float(self.samples[n]) for n in self.plan.style_names])
        chance = (counts.mean() / counts.clamp_min(1)).clamp(1 / 3, 3)
        size = min(self.plan.batch, len(counts))
        which = torch.multinomial(chance, size, generator=self.photos.random)
        return which.repeat(-(-self.plan.batch // size))[: self.plan.batch]

    def generate(self, image: Tensor, noise: Sequence[Tensor], mix: Tensor) -> Tensor:
        """Stylize a batch; the output is float32."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            return self.generator(image, noise, mix)

    def teach(self, photo: Tensor, noise: Sequence[Tensor], mix: Tensor) -> Tensor:
        """The teacher's pictures of a batch, float32."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.teacher_autocast):
            return self.teacher(photo, noise, mix)

    def noise(self, image: Tensor) -> list[Tensor]:
        """What the generator reads beside a batch; the stream does not move if it reads none."""
        if not self.generator.noise_inputs():
            return []
        return self.generator.draw_noise(image, fork(self.photos.random, self.photos.device))

    def train_step(self, rate: float | None = None) -> dict[str, float]:
        """One batch, one update; returns the unweighted losses and the total.

        ``rate`` is the learning rate in the place of the plan's.
        """
        plan, names = self.plan, self.plan.style_names
        chosen = self.choose()
        which = chosen.to(self.device)
        mix = self._mix(which)
        image, photo = self.photos.batch(plan.batch)
        seen = [self.samples[names[w]] for w in chosen.tolist()]
        ratios = [
            plan.ratio_at(s) * plan.styles[names[w]].emphasis
            for s, w in zip(seen, chosen.tolist(), strict=True)
        ]
        noise = self.noise(image)
        output = self.generate(image, noise, mix)
        number = self.step + 1
        turn = self.mixed is not None and number % plan.mixed_every == 0
        own = self.mixed if turn else self.objective
        taught = self.teacher is not None and min(seen) < plan.taught_until
        objective = own.taught(self.teach) if taught else own
        terms = objective(output, photo, which, ratios, mix, noise)
        steady = plan.temporal > 0 and number % plan.temporal_every == 0
        if steady and min(seen) >= plan.temporal_from:
            view, flow = temporal.second_view(
                photo, plan.noise, fork(self.photos.random, self.photos.device)
            )
            # The noise stays where it is when the picture moves, as in a film.
            second = self.generate(view, noise, mix)
            terms["temporal"] = temporal.temporal_loss(output, second, flow)
            terms["total"] = terms["total"] + plan.temporal * terms["temporal"]
        # One transfer for all: a GPU waits at each.
        numbers = torch.stack([term.detach() for term in terms.values()]).tolist()
        values = dict(zip(terms, numbers, strict=True))
        if not math.isfinite(values["total"]):
            raise UserError(f"the loss is not finite at step {self.step}; lower the plan's lr.")
        self.generator.zero_grad(set_to_none=True)
        terms["total"].backward()
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), CLIP)
        self.step += 1
        rate = plan.lr if rate is None else rate
        self.adam.step(self.step, rate * min(1, self.step / WARM_UP))
        self._update_average()
        for style in chosen.tolist():
            self.samples[names[style]] += 1
        if own is self.usual:  # Values of two losses cannot be averaged.
            self.recent.append(values)
        return values

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.plan.ema, self.step / (self.step + 10))
        for name, parameter in self.adam.parameters.items():
            self.average[name].lerp_(parameter, 1 - decay)

    def mean_losses(self) -> dict[str, float]:
        """Means of the last (up to) 100 steps; of a term that not all have, over those that do."""
        seen: dict[str, list[float]] = {}
        for values in self.recent:
            for name, value in values.items():
                seen.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in seen.items()}

    def averaged(self) -> Generator:
        """A generator with the averaged weights."""
        generator = new_generator(self.plan).to(self.device)
        generator.load_state_dict(self.average)
        return generator.eval()

    def state(self) -> dict[str, object]:
        """All that the next step depends on; rounds the live state as the file does."""
        store.round_state(self.adam, self.average)
        return {
            "name": self.plan.name,
            "generator": {"name": self.plan.generator, "options": self.generator.options()},
            "styles": list(self.plan.style_names),
            **store.small(self.adam, self.average),
            "step": self.step,
            "samples": dict(self.samples),
            "balance": self.balance.state(),
            "mixed_balance": self.mixed_balance.state(),
            "random": self.photos.random.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state; the plan may have other styles, or a larger generator, since."""
        store.load_small(fitted(state, self.generator, self.plan), self.adam, self.average)
        self.step = state["step"]
        self.samples = {name: state["samples"].get(name, 0) for name in self.plan.style_names}
        self.balance.restore(state["balance"])
        if "mixed_balance" in state:
            self.mixed_balance.restore(state["mixed_balance"])
        self.photos.random.set_state(state["random"])
