# SPDX-License-Identifier: MPL-2.0
"""What the experiments share: arguments, generators by label, trained models, held-out photos."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from stylize_train.checkpoint import read_checkpoint
from stylize_train.config import Config
from stylize_train.data import list_photos, read_image, read_pictures
from stylize_train.errors import UserError
from stylize_train.evaluate import choose_photos, evaluate
from stylize_train.export import About, export
from stylize_train.generators import Generator
from stylize_train.judge import Judge, load_judge
from stylize_train.loss_options import LossOptions, load_network, perceptual_loss, read_style
from stylize_train.losses import PerceptualLoss
from stylize_train.render import Model
from stylize_train.train import Trainer, run

from .results import FOLDER, Cell, Results

NORMS = ("instance", "batch", "none")

PLAN = Path(__file__).resolve().parents[1] / "campaign" / "full.toml"
"""The styles of the galleries, and their sizes."""

GRID = 32
"""Held-out photos are cut to multiples of it, so that no generator pads them."""


@dataclass(frozen=True)
class Variant:
    """A generator with the options that an experiment varies."""

    label: str
    generator: str
    options: dict[str, object]

    @classmethod
    def parse(cls, label: str) -> Variant:
        """From NAME[-WIDTH][-NORM][-noise]: ``lite-32``, ``residual-16-batch``, ``pyramid``.

        Instance normalization is what generators have anyway, so it is left out of the label:
        experiments that name it share their trained models with those that do not.
        """
        name, *parts = label.split("-")
        options: dict[str, object] = {}
        for part in parts:
            if part.isdigit():
                options["width"] = int(part)
            elif part in NORMS:
                options["norm"] = part
            elif part == "noise":
                options["noise_channels"] = 3
            else:
                raise UserError(f"'{part}' in '{label}' is neither a width nor a norm nor noise.")
        if options.get("norm") == NORMS[0]:
            del options["norm"]
        kept = [part for part in parts if part != NORMS[0]]
        return cls("-".join([name, *kept]), name, options)


@dataclass
class Trained:
    """A generator after training, and its export."""

    generator: Generator
    path: Path
    curve: list[dict[str, float]]

    @cached_property
    def model(self) -> Model:
        """The export on ONNX Runtime."""
        return Model(self.path)


class Study:
    """The arguments of an experiment and what it works on."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        if args.threads:
            torch.set_num_threads(args.threads)
        self.results = Results(args.results, args.again)
        self.paintings: list[Path] = args.paintings

    @cached_property
    def photos(self) -> dict[str, Tensor]:
        """Held-out photos by name, uint8 [3, H, W], sides multiples of ``GRID``."""
        paths = choose_photos(self.args.photos, self.args.held_out)[: self.args.held_out_count]
        photos = {path.stem: read_image(path, short_side=self.args.side) for path in paths}
        return {name: on_grid(photo) for name, photo in photos.items()}

    @cached_property
    def loss_options(self) -> LossOptions:
        """The loss of training and measuring."""
        return LossOptions(
            vgg=str(self.args.vgg) if self.args.vgg else None, style_size=self.args.style_size
        )

    @cached_property
    def _network(self) -> torch.nn.Module:
        return load_network(self.loss_options).to(self.args.device)

    def loss(self, painting: Path) -> PerceptualLoss:
        """The loss against a painting."""
        style = read_style(painting, self.args.style_size).to(self.args.device)
        return perceptual_loss(self.loss_options, self._network, style)

    def judge(self, painting: Path) -> Judge | None:
        """The independent judge, if there is one."""
        if self.args.judge is None:
            return None
        style = read_style(painting, self.args.style_size).to(self.args.device)
        return load_judge(self.args.judge, style)

    def settings(self, *names: str) -> Cell:
        """The named arguments, to be kept with a cell; of files only the names."""
        values = {name: getattr(self.args, name) for name in names}
        if "vgg" in values:
            values["vgg"] = Path(values["vgg"]).name if values["vgg"] else "torchvision"
        if "held_out_count" in values:
            values["held_out_count"] = len(self.photos)
        return values

    def training_settings(self) -> Cell:
        """All that decides a training run and what is measured after it."""
        return self.settings(
            *("steps", "batch", "crop", "seed", "style_size", "vgg", "side", "held_out_count")
        )

    def config(self, variant: Variant, painting: Path, **changes: object) -> Config:
        """The training run of a variant on a painting."""
        args = self.args
        return Config(
            style=str(painting),
            content=str(args.photos),
            generator=variant.generator,
            generator_options=variant.options,
            steps=args.steps,
            batch=args.batch,
            crop=args.crop,
            seed=args.seed,
            exclude=(args.held_out,),
            **(asdict(self.loss_options) | changes),
        )

    def train(self, variant: Variant, painting: Path, **changes: object) -> Trained:
        """Train, or take up where an earlier run stopped; what is finished is only read."""
        config = self.config(variant, painting, **changes)
        marks = [f"{name}{value:g}" for name, value in changes.items()]
        folder = self.args.work / "-".join([variant.label, *marks]) / painting.stem
        if (folder / "checkpoint.pt").exists():
            _refuse_other(config, folder)
        print(f"{folder}: {config.steps} steps", file=sys.stderr)
        trainer = Trainer(config, device=self.args.device)
        result = run(trainer, folder, resume=True)
        about = About(variant.label, painting.stem)
        export(result.generator, about, folder / "model.onnx")
        return Trained(result.generator, folder / "model.onnx", read_curve(folder / "log.jsonl"))

    def held_out(self, trained: Trained, painting: Path) -> Cell:
        """Mean losses of a model on the held-out photos."""
        photos = list(self.photos.values())
        return evaluate(trained.model, self.loss(painting), photos, self.judge(painting))

    def batches(self, count: int = 64) -> Iterator[Tensor]:
        """Training photos at the training size, [1, 3, crop, crop] in 0..1."""
        paths = list_photos(self.args.photos, [self.args.held_out])[:count]
        for _, picture in read_pictures(paths, short_side=self.args.crop):
            image = picture[None].float().div(255)
            top, left = ((side - self.args.crop) // 2 for side in image.shape[2:])
            yield image[..., top : top + self.args.crop, left : left + self.args.crop]


def read_curve(log: Path) -> list[dict[str, float]]:
    """Lines of a training log by step; where a resumed run repeats a step, the later one."""
    if not log.exists():
        return []
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    by_step = {line["step"]: line for line in lines}
    return [by_step[step] for step in sorted(by_step)]


def _refuse_other(config: Config, folder: Path) -> None:
    """A checkpoint of a run with other settings must not be continued as this one."""
    stored = read_checkpoint(folder / "checkpoint.pt")["config"]
    paths = ("style", "content", "vgg")
    wanted = asdict(config)
    for name in wanted.keys() - set(paths):
        if _plain(stored.get(name)) != _plain(wanted[name]):
            raise UserError(
                f"{folder} was trained with {name} {stored.get(name)} instead of {wanted[name]}: "
                "ask for that, or give another --work."
            )


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def digest(file: Path) -> str:
    """The first 16 hexadecimal digits of a file's SHA-256, to tell models of one name apart."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def on_grid(photo: Tensor) -> Tensor:
    """The middle of a photo, its sides multiples of ``GRID``."""
    height, width = (side // GRID * GRID for side in photo.shape[1:])
    top, left = (photo.shape[1] - height) // 2, (photo.shape[2] - width) // 2
    return photo[:, top : top + height, left : left + width]


def contrast_change(render: Callable[[Tensor], Tensor], photos: list[Tensor]) -> float:
    """Mean absolute change of the output, in grey levels, when photos lose half their contrast.

    Each is drawn to its own mean grey, so that its brightness stays.
    """
    changes = []
    for photo in photos:
        grey = photo.float().mean()
        flat = (grey + 0.5 * (photo.float() - grey)).round().to(torch.uint8)
        changes.append((render(photo) - render(flat)).abs().mean().item())
    return 255 * sum(changes) / len(changes)


def arguments(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options that all experiments have."""
    p = argparse.ArgumentParser(prog=f"experiments.{name}", description=description)
    p.add_argument("--paintings", type=Path, nargs="+", required=True, help="picture files")
    p.add_argument("--photos", type=Path, required=True, help="folder: training and held-out")
    p.add_argument("--held-out", default="kodak-*", help="photo name pattern, never trained on")
    p.add_argument("--held-out-count", type=int, help="how many of those; default: all")
    p.add_argument("--side", type=int, default=256, help="shorter side of held-out photos")
    p.add_argument("--vgg", type=Path, help="loss network; default: torchvision's VGG-19")
    p.add_argument("--judge", type=Path, help="distilled VGG that took no part in training")
    p.add_argument("--style-size", type=int, default=Config.style_size)
    p.add_argument("--steps", type=int, default=2000, help="of training")
    p.add_argument("--batch", type=int, default=4, help="crops per step")
    p.add_argument("--crop", type=int, default=160, help="side of a crop, pixels")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="cpu", help="for training and Gatys; models run on the CPU")
    p.add_argument("--threads", type=int)
    p.add_argument("--work", type=Path, default=Path("runs"), help="checkpoints and models")
    p.add_argument("--results", type=Path, default=FOLDER / f"{name}.json")
    p.add_argument("--again", action="store_true", help="replace cells with other settings")
    return p


def main(experiment: Callable[[Study], None], parser: argparse.ArgumentParser) -> None:
    """Run an experiment; what a user can cause becomes one sentence."""
    try:
        experiment(Study(parser.parse_args()))
    except UserError as error:
        sys.exit(f"{parser.prog}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{parser.prog}: interrupted; the next run continues from here.")
