# SPDX-License-Identifier: MPL-2.0
"""``stylize-train campaign``: goes on with a plan from its last checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..arguments import add_machine_arguments, use_machine
from ..errors import UserError
from . import store
from .plan import read_plan
from .release import release
from .run import Campaign
from .sitting import train


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``campaign``."""
    p = commands.add_parser("campaign", help="go on with the training of a gallery")
    p.add_argument("plan", type=Path, metavar="PLAN.toml")
    p.add_argument("--content", type=Path, required=True, help="folder of photos")
    p.add_argument(
        "--paintings", type=Path, nargs="+", required=True, help="folders that hold the paintings"
    )
    p.add_argument("--vgg", type=Path, required=True, help="weights of the plan's loss network")
    p.add_argument("--mixed-vgg", type=Path, help="of its mixed loss, if it has one")
    p.add_argument("--exclude", action="append", default=[], help="photo name pattern to leave out")
    p.add_argument("--checkpoint", type=Path, help="default: the plan with .pt at the end")
    p.add_argument("--every", type=float, default=300.0, help="seconds between checkpoints")
    p.add_argument("--minutes", type=float, help="how long; default: until the budget is spent")
    p.add_argument("--sheet", type=Path, metavar="SHEET.jpg", help="pictures of all styles")
    p.add_argument(
        "--release", type=Path, metavar="MODEL.onnx", help="write a model instead of going on"
    )
    p.add_argument("--decay", type=int, default=300, help="steps with a falling rate before that")
    add_machine_arguments(p)
    p.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    device = use_machine(args)
    plan = read_plan(args.plan)
    teacher = None
    if plan.teacher is not None:
        taught_by = read_plan(args.plan.with_name(plan.teacher))
        file = args.plan.with_name(plan.teacher).with_suffix(".pt")
        teacher = (taught_by, store.load(file))
    campaign = Campaign(
        plan,
        args.content,
        args.paintings,
        args.vgg,
        exclude=tuple(args.exclude),
        teacher=teacher,
        device=device,
        mixed_weights=args.mixed_vgg,
        fastest=True,
    )
    if half := campaign.precisions():
        print(f"bfloat16 is faster here for: {half}", flush=True)
    checkpoint = args.checkpoint or args.plan.with_suffix(".pt")
    if checkpoint.exists():
        campaign.restore(store.load(checkpoint))
    if args.release is not None:
        if campaign.step == 0:
            raise UserError(f"{checkpoint} does not exist yet, so there is nothing to release.")
        difference = release(campaign, args.release, args.decay)
        print(f"{args.release}: step {campaign.step}, within {difference:.3f} grey levels")
        return
    train(
        campaign, checkpoint, checkpoint.with_suffix(".jsonl"), args.every, args.minutes, args.sheet
    )
