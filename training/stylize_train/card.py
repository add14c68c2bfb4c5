# SPDX-License-Identifier: MPL-2.0
"""The model card: a Markdown page next to every exported model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .cost import macs_per_pixel, read_model
from .export import About, to_onnx
from .files import write_whole
from .train import Result


def write_card(path: Path, result: Result, about: About, command: str, difference: float) -> None:
    """Write what the model is, what it was made from and the command that made it."""
    config, generator = result.config, result.generator
    losses = ", ".join(f"{name} {value:.4g}" for name, value in result.losses.items())
    artist = about.artist or "unknown artist"
    made = "Texture" if config.texture else "Style transfer"
    options = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in generator.options().items())
    trained, exported = generator.macs_per_pixel(), macs_per_pixel(to_onnx(generator, about))
    lines = [
        f"# {about.name}",
        "",
        f"{made} after *{about.title or about.name}* ({artist}).",
        "",
        "| | |",
        "|---|---|",
        f"| Generator | {generator.NAME} ({options}) |",
        f"| Parameters | {generator.parameter_count():,} |",
        f"| Multiply-accumulates | {trained:,.0f} per pixel as trained, "
        f"{exported:,.0f} as exported |",
        f"| Input, output | RGB in 0..1, [1, 3, H, W], sizes a multiple of "
        f"{generator.size_multiple}, at least {generator.minimum_size} |",
        f"| Licence | {about.license} |",
        f"| Training photos | {result.photos} |",
        f"| Steps | {config.steps} of {config.batch} crops of {config.crop} px |",
        f"| Seed | {config.seed} |",
        *_styles(result),
        f"| Losses at the end | {losses} (mean of the last 100 steps) |",
        f"| ONNX Runtime against PyTorch | at most {difference:.3f} grey levels |",
    ]
    write_page(path, lines, command)


def _styles(result: Result) -> list[str]:
    """The styles of a conditional generator with their style losses."""
    if not result.config.conditional:
        return []
    losses = result.style_losses
    values = [f"{n} {losses[n]:.4g}" if n in losses else n for n in result.config.style_names]
    return [f"| Styles, with their style losses at the end | {', '.join(values)} |"]


def write_quantized_card(path: Path, original: Path, how: Mapping[str, str], command: str) -> None:
    """Write what a quantized model was made from and how, and how far it is from that.

    Args:
        path: of the card; the model is beside it.
        original: the model that was quantized.
        how: rows of the table: what was done, and what came of it.
        command: that did it.
    """
    about = {entry.key: entry.value for entry in read_model(original).metadata_props}
    title = about.get("stylize.style-title") or about.get("stylize.name", original.stem)
    artist = about.get("stylize.style-artist")
    after = f": after *{title}* ({artist})" if artist else ""
    sizes = [round(file.stat().st_size / 1024) for file in (path.with_suffix(".onnx"), original)]
    table = {
        "Generator": about.get("stylize.generator", "unknown"),
        "Licence": about.get("stylize.license", "unknown"),
        "File": f"{sizes[0]} KB, the original {sizes[1]} KB",
        **how,
    }
    lines = [
        f"# {path.stem}",
        "",
        f"`{original.name}` with convolutions on 8-bit integers{after}. "
        "Inputs, outputs and metadata are those of the original.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in table.items()),
    ]
    write_page(path, lines, command)


def write_page(path: Path, lines: list[str], command: str) -> None:
    """A card's page, with the command that made the model at its end."""
    page = [*lines, "", "Made by", "", f"    {command}", ""]
    write_whole(path, "\n".join(page).encode())
