# SPDX-License-Identifier: MPL-2.0
"""The training loop: one generator for one painting, or a conditional one for several."""

from __future__ import annotations

import copy
import json
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from tqdm import tqdm

from . import temporal
from .balance import Balance
from .checkpoint import intact, read_checkpoint, write_checkpoint
from .config import Config, learning_rate, style_ratio
from .data import Blank, Photos, Source, fork
from .diversity import entropy
from .errors import UserError
from .files import append_json, write_whole
from .generators import Generator
from .loss_options import (
    load_network,
    perceptual_loss,
    read_style,
)
from .losses import LossNetwork
from .norms import ConditionalNorm
from .precision import autocast_helps
from .styles import turns

COMPILED_TOLERANCE = 0.01
"""Greatest root mean square by which compiling may change an output in 0..1: bfloat16's share."""


@dataclass
class Result:
    """A trained generator and how it ended."""

    generator: Generator
    losses: dict[str, float]
    style_losses: dict[str, float]
    photos: int
    images_per_second: float
    config: Config


def source(config: Config, device: torch.device) -> Source:
    """What the generator of a run is shown."""
    if config.texture:
        return Blank(config.crop, config.seed, device)
    folder = Path(config.content)
    return Photos(folder, config.crop, config.seed, config.exclude, config.noise, device)


class Trainer:
    """Holds a run's whole state, so that it can stop and continue bit for bit.

    Args:
        config: the run.
        loss_network: VGG; read as ``config`` says when not given.
        device: where to compute.
        autocast: convolutions in bfloat16; by default where the processor has it.
    """

    def __init__(
        self,
        config: Config,
        loss_network: LossNetwork | None = None,
        device: str = "cpu",
        autocast: bool | None = None,
    ) -> None:
        config.check()
        if config.texture:
            config = replace(config, content_weight=0.0)
        self.config = config
        self.device = torch.device(device)
        self.autocast = autocast_helps(self.device) if autocast is None else autocast
        self.photos = source(config, self.device)
        learned = config.paintings[-1:] if config.added else config.paintings
        paintings = [read_style(Path(p), config.style_size) for p in learned]
        network = loss_network or load_network(config)
        self.loss = perceptual_loss(
            config,
            network.to(self.device),
            [painting.to(self.device) for painting in paintings],
            self.autocast,
        )
        torch.manual_seed(config.seed)
        self.generator = config.new_generator().to(self.device)
        self.loss.weights.periods = self.generator.lattice_periods
        if config.crop % self.generator.size_multiple or config.crop < self.generator.minimum_size:
            raise UserError(
                f"--crop is {config.crop} and must be a multiple of "
                f"{self.generator.size_multiple} and at least {self.generator.minimum_size}."
            )
        if config.crop < self.loss.least_side:
            raise UserError(
                f"--crop is {config.crop}, and this loss needs at least {self.loss.least_side}: "
                "use a larger one, shallower layers or fewer --scales."
            )
        if self.device.type == "cuda":  # On a CPU it gains nothing.
            self.generator.to(memory_format=torch.channels_last)
        if config.added:
            learn_last_style(self.generator)
        self.average = copy.deepcopy(self.generator) if config.ema else None
        self.optimizer = torch.optim.Adam(self.generator.parameters(), lr=config.lr)
        self.step = 0
        self.balance = Balance(config.style_names or ("",))
        self.recent: deque[dict[str, float]] = deque(maxlen=100)
        self.recent_styles: list[deque[float]] = [deque(maxlen=20) for _ in config.styles]
        self._generate: Callable[[Tensor, Sequence[Tensor], Tensor | None], Tensor] = self.generate
        self._compiled = False

    def batch(self) -> tuple[Tensor, list[Tensor], Tensor]:
        """What the generator gets, its noise, and what the losses see.

        Diversity is that of the outputs for one photo, so then it is the same in the whole batch.
        """
        size = self.config.batch
        image, photo = self.photos.batch(1 if self.config.diversity else size)
        image, photo = (t.expand(size, -1, -1, -1) for t in (image, photo))
        return image, self.generator.draw_noise(image, fork(self.photos.random, self.device)), photo

    def which(self) -> Tensor | None:
        """The style of each sample of the next batch, [N]; None where there is but one."""
        styles, size = len(self.config.styles), self.config.batch
        if not self.config.conditional:
            return None
        if self.config.added:
            turn = [styles - 1] * size
        elif self.config.diversity:  # Compares the pictures of a batch.
            turn = turns(self.step, 1, styles, self.config.seed) * size
        else:
            turn = turns(self.step * size, size, styles, self.config.seed)
        return torch.tensor(turn, device=self.device)

    def generate(self, image: Tensor, noise: Sequence[Tensor], mix: Tensor | None = None) -> Tensor:
        """Stylize a batch, in bfloat16 where that helps; the output is float32."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            return self.generator(image, noise, mix)

    def terms(
        self, image: Tensor, noise: Sequence[Tensor], photo: Tensor, which: Tensor | None
    ) -> dict[str, Tensor]:
        """The unweighted losses of a batch and their weighted total, all scalars.

        Takes note of the style term of each style.
        """
        mix = None if which is None else one_hot(which, len(self.config.styles)).float()
        output = self._generate(image, noise, mix)
        terms = self.loss(output, photo, None if self.config.added else which)
        each = terms.pop("each_style")
        styles = [0] * len(each) if which is None else which.tolist()
        if self.config.styles:
            for style, value in zip(styles, each.tolist(), strict=True):
                self.recent_styles[style].append(value)
        if self.config.ratio:
            terms["total"] = self._balanced(terms, each, styles)
        if self.config.diversity:
            terms["entropy"] = entropy(output)
            terms["total"] = terms["total"] - self.config.diversity * terms["entropy"]
        if self.config.temporal:
            random = fork(self.photos.random, self.device)
            view, flow = temporal.second_view(photo, self.config.noise, random)
            second = self._generate(view, noise, mix)
            terms["temporal"] = temporal.temporal_loss(output, second, flow)
            terms["total"] = terms["total"] + self.config.temporal * terms["temporal"]
        return terms

    def _balanced(self, terms: dict[str, Tensor], each: Tensor, styles: list[int]) -> Tensor:
        """The total with the style term at its ratio of the content term."""
        self.balance.note_content(terms["content"].item())
        self.balance.note_style(styles, each.tolist())
        ratios = [style_ratio(self.config, self.step)] * len(styles)
        weights = each.new_tensor(self.balance.weights(styles, ratios))
        total = (weights * each).mean() + terms["content"]
        return total + self.config.tv * terms["tv"] + self.config.lattice * terms["lattice"]

    def train_step(self) -> dict[str, float]:
        """One batch, one update. Returns the unweighted losses and the total."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        which = self.which()
        image, noise, photo = self.batch()
        if self.config.compile and not self._compiled:
            self._compile(image, noise)
        terms = self.terms(image, noise, photo, which)
        self.optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        # One transfer for all: a GPU waits at each.
        numbers = torch.stack([term.detach() for term in terms.values()]).tolist()
        values = dict(zip(terms, numbers, strict=True))
        if not math.isfinite(values["total"]):
            raise UserError(f"the loss is not finite at step {self.step}; try a smaller --lr.")
        self.optimizer.step()
        self.step += 1
        if self.average is not None:
            self._update_average(self.average)
        self.recent.append(values)
        return values

    def _compile(self, image: Tensor, noise: Sequence[Tensor]) -> None:
        """Compile the generator; refuse what the compiler makes of it if that does not agree.

        PyTorch's CPU compiler was seen to miscompile a chain of batch norms without a word.
        """
        compiled = torch.compile(self.generate)
        try:
            output = compiled(image, noise, None)
        except Exception as error:  # whatever a compiler raises
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"--compile does not work here, leave it out: {reason}") from error
        difference = (output - self.generate(image, noise)).square().mean().sqrt().item()
        if not difference < COMPILED_TOLERANCE:
            raise UserError(
                f"--compile changes the generator's output by {255 * difference:.1f} grey levels, "
                "which is a defect of the compiler; leave it out."
            )
        self._generate = compiled
        self._compiled = True

    @torch.no_grad()
    def _update_average(self, average: Generator) -> None:
        """Exponential moving average; shorter memory in the first steps.

        Running statistics of batch normalization are averages already, and just copied.
        """
        decay = min(self.config.ema, self.step / (self.step + 10))
        for mean, value in zip(average.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for copied, value in zip(average.buffers(), self.generator.buffers(), strict=True):
            copied.copy_(value)

    def mean_losses(self) -> dict[str, float]:
        """Mean of the last (up to) 100 steps."""
        names = self.recent[-1] if self.recent else ()
        return {n: sum(r.get(n, 0.0) for r in self.recent) / len(self.recent) for n in names}

    def style_losses(self) -> dict[str, float]:
        """Mean style term of the last (up to) 20 samples of each style."""
        named = zip(self.config.style_names, self.recent_styles, strict=True)
        return {name: sum(recent) / len(recent) for name, recent in named if recent}

    def best(self) -> Generator:
        """The network to export: the average if there is one."""
        return self.average or self.generator

    def refuse_broken(self) -> None:
        """Refuse weights of which the last step left no numbers: no checkpoint should hold them."""
        if not all(p.isfinite().all() for p in self.generator.parameters()):
            raise UserError(
                f"the weights are not finite after step {self.step}; try a smaller --lr."
            )

    def state(self) -> dict[str, object]:
        """All that the next step depends on."""
        return {
            "config": asdict(self.config),
            "step": self.step,
            "generator": self.generator.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "photos": self.photos.random.get_state(),
            "recent": list(self.recent),
            "recent_styles": [list(recent) for recent in self.recent_styles],
            "balance": self.balance.state(),
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up a state; refuses that of a different run, but for a run of other ``steps``."""
        try:
            self.generator.load_state_dict(state["generator"])  # type: ignore[arg-type]
            if self.average is not None and state["average"] is not None:
                self.average.load_state_dict(state["average"])  # type: ignore[arg-type]
            self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        except (RuntimeError, ValueError, KeyError):
            raise UserError(
                "the checkpoint is of a different generator than asked for; "
                "give the options that it was made with, or leave out --resume."
            ) from None
        self._refuse_other(state["config"])  # type: ignore[arg-type]
        random: Tensor = state["photos"]  # type: ignore[assignment]
        self.photos.random.set_state(random)
        self.step = state["step"]  # type: ignore[assignment]
        self.recent.extend(state["recent"])  # type: ignore[arg-type]
        stored: list[list[float]] = state.get("recent_styles", [])  # type: ignore[assignment]
        for recent, values in zip(self.recent_styles, stored, strict=False):
            recent.extend(values)
        if "balance" in state:
            self.balance.restore(state["balance"])  # type: ignore[arg-type]

    def _refuse_other(self, stored: dict[str, Any]) -> None:
        """Refuse the configuration of a run that would have ended with other weights.

        Files may have moved, but a painting keeps its name. A version that did not know an
        option worked as its default does.
        """
        was, now = (
            {
                **asdict(config),
                "generator_options": config.new_generator().options(),
                "paintings": [Path(painting).name for painting in config.paintings],
            }
            for config in (Config.restored(stored), self.config)
        )
        free = {"steps", "style", "styles", "content", "vgg", "compile"}
        for name in now:
            if name not in free and was[name] != now[name]:
                raise UserError(
                    f"the checkpoint is of a run with {name.replace('_', ' ')} {was[name]} instead "
                    f"of {now[name]}: ask for that, or take its weights with --start-from."
                )

    def start_from(self, path: Path) -> None:
        """Take only the weights of a checkpoint: fine-tuning with other settings."""
        state = read_checkpoint(path)
        try:
            self.generator.load_state_dict(state.get("average") or state["generator"])
        except (RuntimeError, KeyError):
            raise UserError(f"{path} is of a different generator than asked for.") from None
        if self.average is not None:
            self.average.load_state_dict(self.generator.state_dict())


def learn_last_style(generator: Generator) -> None:
    """Make a conditional generator learn nothing but the scales and shifts of its last style.

    Adam leaves a value alone whose gradient was always zero, so the rest stays bit for bit.
    """
    for parameter in generator.parameters():
        parameter.requires_grad = False
    for norm in generator.modules():
        if isinstance(norm, ConditionalNorm):
            for table in (norm.scale, norm.shift):
                table.requires_grad = True
                table.register_hook(_last_row_only)


def _last_row_only(gradient: Tensor) -> Tensor:
    kept = torch.zeros_like(gradient)
    kept[-1] = gradient[-1]
    return kept


def run(
    trainer: Trainer,
    checkpoint_dir: Path | None = None,
    every: float = 60.0,
    resume: bool = False,
    quiet: bool = False,
) -> Result:
    """Train to the end, with a progress bar, a log and checkpoints.

    Args:
        trainer: the run.
        checkpoint_dir: gets ``checkpoint.pt`` and ``log.jsonl`` (one line per 50 steps).
        every: seconds between checkpoints.
        resume: continue from ``checkpoint.pt`` if there is one.
        quiet: no progress bar.
    """
    config = trainer.config
    checkpoint = checkpoint_dir / "checkpoint.pt" if checkpoint_dir else None
    log = checkpoint_dir / "log.jsonl" if checkpoint_dir else None
    if resume and checkpoint and checkpoint.exists():
        trainer.restore(read_checkpoint(checkpoint))
    if log:
        _cut_log(log, trainer.step)
    saved = time.monotonic()
    began, first = time.monotonic(), trainer.step
    with tqdm(total=config.steps, initial=trainer.step, disable=quiet, unit="step") as bar:
        while trainer.step < config.steps:
            trainer.train_step()
            rate = (trainer.step - first) * config.batch / (time.monotonic() - began)
            bar.update()
            if trainer.step % 10 == 0:
                shown = {name: f"{value:.4g}" for name, value in trainer.mean_losses().items()}
                bar.set_postfix(**shown, images_per_s=f"{rate:.2f}")
            if log and trainer.step % 50 == 0:
                line = {"step": trainer.step, **trainer.mean_losses(), "images_per_s": rate}
                if config.conditional:
                    line["styles"] = trainer.style_losses()
                append_json(log, line, intact(checkpoint) if checkpoint else "")
            done = trainer.step == config.steps
            if checkpoint and (done or time.monotonic() - saved > every):
                trainer.refuse_broken()
                write_checkpoint(checkpoint, trainer.state())
                saved = time.monotonic()
    elapsed = max(1e-9, time.monotonic() - began)
    return Result(
        trainer.best(),
        trainer.mean_losses(),
        trainer.style_losses(),
        len(trainer.photos),
        (trainer.step - first) * config.batch / elapsed,
        config,
    )


def _cut_log(path: Path, step: int) -> None:
    """Keep only what a log says of steps up to ``step``; the rest is about to happen again."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    kept = [text for text in lines if text.endswith("\n") and json.loads(text)["step"] <= step]
    write_whole(path, "".join(kept).encode())
