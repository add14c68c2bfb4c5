# SPDX-License-Identifier: MPL-2.0
"""What can be looked at while a campaign runs: its curve and a sheet of pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from ..files import append_json
from ..render import to_pil, write_image
from .run import Campaign

COLUMNS = 6
"""Pictures in a row of a sheet."""

SIDE = 360
"""Pixels of a sheet's pictures along their shorter side."""


def note(campaign: Campaign, curve: Path, rate: float) -> None:
    """Append one line: how far the campaign is and the losses of the last steps."""
    losses = {name: float(f"{v:.4g}") for name, v in campaign.mean_losses().items()}
    counts = campaign.samples.values()
    line = {
        "step": campaign.step,
        "samples": round(sum(counts) / len(counts), 1),
        "samples_least": min(counts),
        "images_per_s": round(rate, 2),
        **losses,
        "styles": {name: float(f"{v:.3g}") for name, v in campaign.usual.balance.style.items()},
    }
    curve.parent.mkdir(parents=True, exist_ok=True)
    append_json(curve, line)
    print(", ".join(f"{k} {v}" for k, v in line.items() if k != "styles"), flush=True)


@torch.no_grad()
def write_sheet(campaign: Campaign, path: Path) -> None:
    """Every style on photos of the campaign, as one picture that is replaced."""
    generator = campaign.averaged()
    names = campaign.plan.style_names
    multiple = generator.size_multiple
    cells: list[tuple[str, Image.Image]] = []
    for index, name in enumerate(names):
        photo = campaign.photos.images[(7 + 31 * (index % 3)) % len(campaign.photos)]
        image = photo[None].float().div(255)
        scale = SIDE / min(image.shape[2:])
        size = [max(multiple, round(s * scale) // multiple * multiple) for s in image.shape[2:]]
        image = torch.nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
        mix = torch.zeros(1, len(names), device=image.device)
        mix[0, index] = 1
        cells.append((name, to_pil(generator(image.clamp(0, 1), None, mix)[0])))
    width = max(cell.width for _, cell in cells)
    height = max(cell.height for _, cell in cells) + 20
    rows = -(-len(cells) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for index, (name, cell) in enumerate(cells):
        left, top = index % COLUMNS * width, index // COLUMNS * height
        draw.text((left + 4, top + 2), name, "black", font)
        sheet.paste(cell, (left, top + 20))
    write_image(path, sheet)
