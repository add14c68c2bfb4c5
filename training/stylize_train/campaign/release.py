# SPDX-License-Identifier: MPL-2.0
"""A model out of a campaign that is still going: a short decay of the rate, export and card."""

from __future__ import annotations

from pathlib import Path

import torch

from ..card import write_page
from ..cost import macs_per_pixel
from ..data import WHOLE
from ..export import About, export, to_onnx
from ..generators import Generator
from .plan import Plan, Style
from .run import Campaign


def decayed(campaign: Campaign, steps: int) -> Generator:
    """The generator after ``steps`` more in which the rate falls to 0; without any, the average.

    A constant rate needs no end known beforehand, and leaves noise in the weights that this takes
    out. The campaign's checkpoint does not learn of it.
    """
    for step in range(steps):
        campaign.train_step(campaign.plan.lr * (1 - step / steps))
    return campaign.generator.eval() if steps else campaign.averaged()


def release(campaign: Campaign, path: Path, steps: int) -> float:
    """Write the model and its card; returns the exported graph's distance in grey levels.

    Args:
        campaign: restored from its checkpoint.
        path: of the model.
        steps: of the decay.
    """
    with torch.enable_grad():
        generator = decayed(campaign, steps)
    names = campaign.plan.style_names
    model = About(path.stem, title=f"{len(names)} styles", styles=names)
    difference = export(generator, model, path)
    write_card(campaign, generator, model, path.with_suffix(".md"), difference, steps)
    return difference


def part_of(style: Style) -> str:
    """Which part of its painting a style has, for its card; nothing if it has the whole."""
    if style.part == WHOLE:
        return ""
    left, upper, right, lower = (f"{100 * edge:.0f}" for edge in style.part)
    return f", {left} to {right} % across and {upper} to {lower} % down"


def source_of(campaign: Campaign) -> str:
    """What the generator has learned from, for its card."""
    plan, own = campaign.plan, "paintings and photos"
    if plan.teacher is None:
        return own
    if min(campaign.samples.values()) < plan.taught_until:
        return f"its teacher, {plan.teacher}"
    return (
        f"its teacher, {plan.teacher}, up to {plan.taught_until:,.0f} samples a style; then {own}"
    )


def losses_of(plan: Plan) -> str:
    """Which networks and statistics a plan's loss has, for its card."""
    usual = plan.usual_loss
    text = f"{usual.loss_network} loss network, {usual.style_statistics} statistics"
    if plan.mixed and usual is not plan.mixed:
        text += (
            f"; one step in {plan.mixed_every} with {plan.mixed.loss_network}, "
            f"{plan.mixed.style_statistics} statistics"
        )
    return text


def write_card(
    campaign: Campaign,
    generator: Generator,
    model: About,
    path: Path,
    difference: float,
    steps: int,
) -> None:
    """What the model is and what it was made from."""
    plan = campaign.plan
    losses = ", ".join(f"{name} {value:.4g}" for name, value in campaign.mean_losses().items())
    options = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in generator.options().items())
    exported = macs_per_pixel(to_onnx(generator, model))
    body = sum(
        p.numel() for n, p in generator.named_parameters() if not n.endswith((".scale", ".shift"))
    )
    each = (generator.parameter_count() - body) // generator.styles
    noise = "".join(
        f"; `{n.name}` float32 [1, {n.channels}, H/{n.divisor}, W/{n.divisor}], standard normal"
        for n in generator.noise_inputs()
    )
    lines = [
        f"# {path.stem}",
        "",
        *([plan.about, ""] if plan.about else []),
        "| | |",
        "|---|---|",
        f"| Generator | {generator.NAME} ({options}) |",
        f"| Parameters | {generator.parameter_count():,}: the body's {body:,}, and {each:,} for "
        "each style |",
        f"| Multiply-accumulates | {generator.macs_per_pixel():,.0f} per pixel as trained, "
        f"{exported:,.0f} as exported |",
        f"| Input, output | `image` RGB in 0..1, float32 [1, 3, H, W], H and W multiples of "
        f"{generator.size_multiple}, at least {generator.minimum_size}; `style_weights` float32 "
        f"[{generator.styles}] with the sum 1{noise} |",
        f"| Licence | {model.license} |",
        f"| Learned from | {source_of(campaign)}: {losses_of(plan)} |",
        f"| Training photos | {len(campaign.photos)} |",
        f"| Steps | {campaign.step:,} of {plan.batch} crops of {plan.crop} px, the last {steps} "
        "with a falling rate |",
        f"| Samples of a style | {min(campaign.samples.values()):,} to "
        f"{max(campaign.samples.values()):,}, of {plan.samples:,} that are planned |",
        f"| Losses at the end | {losses} (mean of the last 100 steps) |",
        f"| ONNX Runtime against PyTorch | at most {difference:.3f} grey levels |",
        "",
        "| style | painting | longer side | samples | style loss at the end |",
        "|---|---|---:|---:|---:|",
    ]
    for name, style in plan.styles.items():
        value = campaign.usual.balance.style.get(name)
        shown = "" if value is None else f"{value:.3g}"
        painting, samples = style.file + part_of(style), campaign.samples[name]
        lines.append(f"| `{name}` | {painting} | {style.size} | {samples:,} | {shown} |")
    mixed = "--mixed-vgg VGG19.safetensors " if plan.mixed else ""
    command = (
        f"stylize-train campaign {plan.name}.toml --content PHOTOS --paintings PAINTINGS "
        f"--vgg VGG.safetensors {mixed}--release {model.name}.onnx --decay {steps}"
    )
    write_page(path, lines, command)
