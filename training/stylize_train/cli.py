# SPDX-License-Identifier: MPL-2.0
"""The command line: ``stylize-train COMMAND``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from . import __version__, compare, evaluate, extend, gatys, loss_options, quantize
from .arguments import Parser, add_machine_arguments, seed, separated, use_machine
from .campaign import command as campaign
from .card import write_card
from .checkpoint import read_checkpoint
from .config import Config
from .errors import UserError
from .export import About, export
from .extend import without_styles
from .files import refuse_folder
from .generators import GENERATORS, TASKS
from .loss_options import read_style
from .norms import NORMS
from .render import add_mix_argument, stylize
from .train import Result, Trainer, run

PATHS = {
    "style": "PAINTING",
    "styles": "PAINTINGS",
    "content": "PHOTOS",
    "out": "MODEL.onnx",
    "vgg": "VGG.safetensors",
}
"""What stands in the card for the paths of a command."""


RECIPE = {
    "generator": "eighth",
    "style_statistics": "standardized",
    "ratio": (1.5, 0.55),
    "steps": 1000,
    "tv": 0.05,
    "batch": 4,
    "crop": 256,
    "lr": 2e-3,
    "ema": 0.998,
}
"""What ``train`` does by default where that is not what measurements compare with."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except UserError as error:
        print(f"stylize-train: {error}", file=sys.stderr)
        return 1
    except torch.OutOfMemoryError:
        advice = "use a smaller --batch, --crop, --size or --style-size, or --device cpu"
        print(f"stylize-train: the GPU has too little memory; {advice}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stylize-train: interrupted.", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = Parser(prog="stylize-train", description=__doc__.splitlines()[0])
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _train_options(commands.add_parser("train", help="train a generator and export it"))

    p = commands.add_parser("export", help="export a checkpoint")
    p.add_argument("checkpoint", type=Path)
    p.add_argument("--out", type=Path, required=True, metavar="MODEL.onnx")
    _about_options(p)
    p.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="STYLE",
        help="of a conditional generator: leave out",
    )
    p.set_defaults(run=_export)

    p = commands.add_parser("stylize", help="render a picture or a folder of pictures")
    p.add_argument("model", type=Path)
    p.add_argument("source", type=Path)
    p.add_argument("target", type=Path)
    p.add_argument("--size", type=int, help="resize to this longer side first, pixels")
    p.add_argument("--seed", type=seed, default=0, help="of the noise, if the model takes any")
    add_mix_argument(p)
    p.set_defaults(run=_stylize)
    evaluate.add_command(commands)
    compare.add_command(commands)
    gatys.add_command(commands)
    extend.add_command(commands)
    quantize.add_command(commands)
    campaign.add_command(commands)
    return top


def _train_options(p: argparse.ArgumentParser) -> None:
    d = Config("", "")
    paintings = p.add_mutually_exclusive_group(required=True)
    paintings.add_argument("--style", help="the painting")
    paintings.add_argument(
        "--styles",
        nargs="+",
        help="paintings: one model each into OUT, or all in a conditional one",
    )
    p.add_argument("--content", help="folder of photos, at least a few dozen")
    p.add_argument("--out", type=Path, required=True, metavar="MODEL.onnx|FOLDER")
    p.add_argument("--exclude", action="append", default=[], help="photo name pattern to leave out")
    p.add_argument("--generator", default=d.generator, choices=sorted(GENERATORS))
    p.add_argument("--width", type=int, help="channels: eighth 64, lite and residual 32, pyramid 8")
    p.add_argument("--edges", type=separated(int), help="eighth: channels outside its middle")
    p.add_argument(
        "--dilations", type=separated(int), help="one block for each; eighth 1,1,2, lite 1,2,4"
    )
    p.add_argument("--blocks", type=int, help="residual: number of blocks; 5")
    p.add_argument("--levels", type=int, help="pyramid: number of scales; 6")
    p.add_argument("--norm", choices=sorted(NORMS), help="normalization; instance")
    p.add_argument("--noise-channels", type=int, help="random inputs; 0, for a texture 3")
    p.add_argument("--task", choices=TASKS, help="stylize, or a texture from noise alone")
    p.add_argument(
        "--diversity", type=float, default=d.diversity, help="weight of unlike outputs for noise"
    )
    p.add_argument(
        "--temporal", type=float, default=d.temporal, help="weight of steadiness in video"
    )
    p.add_argument(
        "--ratio",
        type=separated(float),
        metavar="START,END",
        help="style term over content term, by value; 0: fixed weights",
    )
    p.add_argument("--steps", type=int, default=d.steps)
    p.add_argument("--batch", type=int, default=d.batch, help="crops per step")
    p.add_argument("--crop", type=int, default=d.crop, help="side of a crop, pixels")
    p.add_argument("--lr", type=float, default=d.lr, help="Adam's rate at the start")
    p.add_argument("--schedule", default=d.schedule, choices=("linear", "cosine"))
    p.add_argument("--ema", type=float, default=d.ema, help="decay of averaged weights; 0: none")
    p.add_argument("--noise", type=float, default=d.noise, help="grain on the input, 0..1")
    p.add_argument("--seed", type=seed, default=d.seed)
    add_machine_arguments(p)
    p.add_argument("--compile", action="store_true", help="torch.compile; pays on a GPU")
    p.add_argument("--checkpoint-dir", type=Path, help="default: MODEL.onnx with .run at the end")
    p.add_argument("--checkpoint-every", type=float, default=60.0, help="seconds")
    p.add_argument("--resume", action="store_true", help="continue from the checkpoint")
    p.add_argument("--start-from", type=Path, help="take the weights of this checkpoint")
    loss_options.add_arguments(p)
    _about_options(p)
    p.set_defaults(run=_train, **RECIPE)


def _about_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("--name", help="name of the style; default: the model's file name")
    p.add_argument("--title", default="", help="title of the painting")
    p.add_argument("--artist", default="")
    p.add_argument("--license", default="MPL-2.0", help="licence of the model")


def _about(args: argparse.Namespace, config: Config) -> About:
    name = args.name or args.out.stem
    return About(name, args.title, args.artist, args.license, config.style_names)


def command_line(args: argparse.Namespace) -> str:
    """The command that made a model, with placeholders for its paths."""
    words = ["stylize-train", "train"]
    defaults = parser().parse_args(["train", "--style", "", "--out", "x"])
    skip = {"run", "resume", "checkpoint_dir", "checkpoint_every", "device"}
    for name, value in vars(args).items():
        if name in skip or (name not in PATHS and value == getattr(defaults, name)):
            continue
        if value is None:
            continue
        option = "--" + name.replace("_", "-")
        if name == "exclude":
            words += [word for pattern in value for word in (option, shlex.quote(pattern))]
        elif name == "start_from":
            words += [option, "CHECKPOINT"]
        elif value is True:
            words.append(option)
        elif isinstance(value, tuple):
            words += [option, ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)]
        else:
            words += [option, PATHS.get(name) or shlex.quote(str(value))]
    return " ".join(words)


def _train(args: argparse.Namespace) -> None:
    args.device = use_machine(args)
    if not args.styles or args.norm == "conditional":
        return _train_one(args)
    names = [Path(style).stem for style in args.styles]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"two paintings are called {twice.pop()}; rename one of them.")
    if args.name or args.title:
        raise UserError("--name and --title are for one painting; leave them out with --styles.")
    for style in args.styles:  # A bad one is to be refused now, not after a night.
        read_style(Path(style), args.style_size)
    for style, name in zip(args.styles, names, strict=True):
        out = args.out / f"{name}.onnx"
        if args.resume and out.exists() and out.with_suffix(".md").exists():
            print(f"{out}: finished before")
            continue
        folder = args.checkpoint_dir and args.checkpoint_dir / name
        one = {"style": style, "styles": None, "out": out, "checkpoint_dir": folder}
        _train_one(argparse.Namespace(**{**vars(args), **one}))


def _train_one(args: argparse.Namespace) -> None:
    conditional = args.norm == "conditional"
    config = Config(
        style="" if conditional else args.style,
        styles=tuple(args.styles or [args.style]) if conditional else (),
        content=args.content or "",
        generator=args.generator,
        generator_options=_generator_options(args),
        steps=args.steps,
        batch=args.batch,
        crop=args.crop,
        lr=args.lr,
        schedule=args.schedule,
        ema=args.ema,
        noise=args.noise,
        diversity=args.diversity,
        temporal=args.temporal,
        ratio=() if args.ratio == (0,) or args.task == "texture" else args.ratio,
        compile=args.compile,
        exclude=tuple(args.exclude),
        seed=args.seed,
        **vars(loss_options.from_arguments(args)),
    )
    refuse_folder(args.out)
    trainer = Trainer(config, device=args.device)
    if args.start_from:
        trainer.start_from(args.start_from)
    folder = args.checkpoint_dir or args.out.with_name(args.out.name + ".run")
    result = run(trainer, folder, args.checkpoint_every, args.resume)
    about = _about(args, config)
    difference = export(result.generator, about, args.out)
    write_card(args.out.with_suffix(".md"), result, about, command_line(args), difference)
    print(f"{args.out}: {result.losses['total']:.4f}, {result.images_per_second:.2f} images/s")


def _generator_options(args: argparse.Namespace) -> dict[str, object]:
    """What was said about the generator; the rest is its own default."""
    names = ("width", "edges", "dilations", "blocks", "levels", "norm", "noise_channels", "task")
    options = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    for name in ("edges", "dilations"):
        if name in options:
            options[name] = list(options[name])  # type: ignore[call-overload]
    if options.get("task") == "texture":
        options.setdefault("noise_channels", 3)
    return options


def _export(args: argparse.Namespace) -> None:
    state = read_checkpoint(args.checkpoint)
    config = Config.restored(state["config"])
    generator = config.new_generator()
    generator.load_state_dict(state["average"] or state["generator"])
    about = _about(args, config)
    if args.without:
        generator, about.styles = without_styles(generator, about.styles, args.without)
    difference = export(generator, about, args.out)
    print(f"{args.out}: within {difference:.3f} grey levels of PyTorch, step {state['step']}")


def _stylize(args: argparse.Namespace) -> None:
    count = stylize(args.model, args.source, args.target, args.size, args.seed, args.mix)
    print(f"{count} picture{'s' if count != 1 else ''} written to {args.target}")


__all__ = ["Result", "command_line", "main", "parser"]
