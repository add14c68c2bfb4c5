# SPDX-License-Identifier: MPL-2.0
"""Contact sheets: pictures side by side, with a heading over each column."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .render import to_pil

GAP = 8
HEADING = 28
"""Pixels."""


def contact_sheet(
    rows: Sequence[Sequence[Tensor | None]], headings: Sequence[str], height: int = 256
) -> Image.Image:
    """Pictures [3, H, W] in 0..1, each scaled to ``height`` pixels; None leaves a gap."""
    scaled = [[_scaled(cell, height) for cell in row] for row in rows]
    widths = [
        max((c.width for c in column if c), default=0) for column in zip(*scaled, strict=True)
    ]
    size = (
        sum(widths) + GAP * (len(widths) + 1),
        HEADING + len(rows) * (height + GAP) + GAP,
    )
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    left = GAP
    for column, (heading, width) in enumerate(zip(headings, widths, strict=True)):
        draw.text((left + width / 2, HEADING / 2 + GAP / 2), heading, "black", font, anchor="mm")
        for row, cells in enumerate(scaled):
            cell = cells[column]
            if cell is not None:
                sheet.paste(cell, (left, HEADING + GAP + row * (height + GAP)))
        left += width + GAP
    return sheet


def _scaled(image: Tensor | None, height: int) -> Image.Image | None:
    if image is None:
        return None
    picture = to_pil(image)
    width = max(1, round(picture.width * height / picture.height))
    return picture.resize((width, height), Image.Resampling.LANCZOS)
