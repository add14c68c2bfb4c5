# SPDX-License-Identifier: MPL-2.0
"""Checkpoint files: written whole or not at all, read without running code."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from .errors import UserError
from .files import write_whole

HELD = {"config", "step", "generator", "average", "optimizer", "photos", "recent"}
"""What every checkpoint holds; some hold more."""


def write_checkpoint(path: Path, state: dict[str, object]) -> None:
    """Write a state; if that fails, the last checkpoint stays as it was."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue(), intact(path))


def intact(path: Path) -> str:
    """What to say where something else cannot be written, if there is a checkpoint."""
    advice = "; the last checkpoint is intact, so set that right and continue with --resume"
    return advice if path.exists() else ""


def read_checkpoint(
    path: Path,
    held: Collection[str] = HELD,
    otherwise: str = "is not a checkpoint of this program, or damaged; give another, or train anew",
) -> dict[str, Any]:
    """Read a checkpoint onto the CPU (``weights_only``: data, never code).

    Args:
        path: of the file.
        held: what it must hold.
        otherwise: what to say of a file that does not.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"the checkpoint {path} does not exist.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None
    except Exception:  # whatever a damaged file makes of the unpickler
        state = None
    if not isinstance(state, dict) or not state.keys() >= set(held):
        raise UserError(f"{path} {otherwise}.")
    return state
