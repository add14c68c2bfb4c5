# SPDX-License-Identifier: MPL-2.0
"""One more style for a conditional generator: ``stylize-train add-style``.

Only the new style's scales and shifts are learned, which is a matter of minutes (Dumoulin, Shlens
and Kudlur, arXiv:1610.07629, section 3.2); all other values stay bit for bit, and so do the
pictures of the other styles. From a model as it is shipped: ``model_style.py``; from a training
run's checkpoint, with that run's loss: here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from . import model_style
from .arguments import add_machine_arguments, use_machine
from .card import write_card
from .checkpoint import read_checkpoint
from .config import Config
from .errors import UserError
from .export import About, export
from .files import refuse_folder
from .generators import Generator, create
from .norms import ConditionalNorm
from .train import Trainer, run


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``add-style``."""
    p = commands.add_parser("add-style", help="teach a conditional generator one more painting")
    p.add_argument(
        "model", type=Path, metavar="MODEL.onnx|CHECKPOINT", help="of the generator; not changed"
    )
    p.add_argument("painting", type=Path)
    p.add_argument("--content", required=True, help="folder of photos, at least a few dozen")
    p.add_argument("--out", type=Path, required=True, metavar="MODEL.onnx")
    p.add_argument(
        "--vgg",
        help="weights of the loss network (.safetensors): the distilled VGG-19 for a model; for a "
        "checkpoint that of its run, default: torchvision's",
    )
    p.add_argument("--style-size", type=int, default=768, help="longer side of the painting; model")
    p.add_argument(
        "--steps", type=int, help=f"default: {model_style.STEPS} for a model, 500 for a checkpoint"
    )
    p.add_argument("--lr", type=float, default=5e-3, help="Adam's rate at the start; checkpoint")
    add_machine_arguments(p)
    p.add_argument("--checkpoint-dir", type=Path, help="default: MODEL.onnx with .run at the end")
    p.add_argument("--checkpoint-every", type=float, default=60.0, help="seconds")
    p.add_argument("--resume", action="store_true", help="continue from the new checkpoint")
    p.add_argument("--license", default="MPL-2.0", help="licence of the model")
    p.set_defaults(run=_run)


def extended(config: Config, painting: Path, **changes: object) -> Config:
    """The run that adds a painting to what the run ``config`` made."""
    if not config.conditional:
        raise UserError(
            "the checkpoint's generator holds one style for good; "
            "only one trained with --norm conditional takes more."
        )
    return replace(config, styles=(*config.styles, str(painting)), added=True, **changes)


def grow(generator: Generator, weights: dict[str, Tensor]) -> None:
    """Load the weights of a generator with one style less; the new style is the mean of all."""
    weights = dict(weights)
    for name, norm in generator.named_modules():
        if isinstance(norm, ConditionalNorm):
            for key in (f"{name}.scale", f"{name}.shift"):
                table = weights[key]
                weights[key] = torch.cat([table, table.mean(0, keepdim=True)])
    generator.load_state_dict(weights)


def without_styles(
    generator: Generator, names: Sequence[str], left_out: Sequence[str]
) -> tuple[Generator, tuple[str, ...]]:
    """The generator without some of its styles, and the names of the others; they stay as they are.

    Args:
        generator: a conditional one; not changed.
        names: of its styles.
        left_out: names of those to leave out.
    """
    for name in left_out:
        if name not in names:
            known = ", ".join(names) or "none"
            raise UserError(f"--without {name}: there is no such style; known are: {known}.")
    kept = [index for index, name in enumerate(names) if name not in left_out]
    if not kept:
        raise UserError("--without leaves no style.")
    weights = dict(generator.state_dict())
    for name, norm in generator.named_modules():
        if isinstance(norm, ConditionalNorm):
            for key in (f"{name}.scale", f"{name}.shift"):
                weights[key] = weights[key][kept]
    fewer = create(generator.NAME, {**generator.options(), "styles": len(kept)})
    fewer.load_state_dict(weights)
    return fewer, tuple(names[index] for index in kept)


def _run(args: argparse.Namespace) -> None:
    device = use_machine(args)
    if args.model.suffix == ".onnx":
        model_style.add_style(args, device)
        return
    refuse_folder(args.out)
    state = read_checkpoint(args.model)
    steps = 500 if args.steps is None else args.steps
    changes = {"content": args.content, "steps": steps, "lr": args.lr, "vgg": args.vgg}
    config = extended(Config.restored(state["config"]), args.painting, **changes)
    trainer = Trainer(config, device=device)
    grow(trainer.generator, state["average"] or state["generator"])
    if trainer.average is not None:
        trainer.average.load_state_dict(trainer.generator.state_dict())
    folder = args.checkpoint_dir or args.out.with_name(args.out.name + ".run")
    result = run(trainer, folder, args.checkpoint_every, args.resume)
    about = About(args.out.stem, license=args.license, styles=config.style_names)
    difference = export(result.generator, about, args.out)
    command = (
        "stylize-train add-style CHECKPOINT PAINTING --content PHOTOS --vgg VGG.safetensors "
        f"--out MODEL.onnx --steps {config.steps} --lr {config.lr:g}"
    )
    write_card(args.out.with_suffix(".md"), result, about, command, difference)
    print(f"{args.out}: {result.losses['total']:.4f}, {result.images_per_second:.2f} images/s")
