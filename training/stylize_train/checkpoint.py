# SPDX-License-Identifier: MPL-2.0
"""Checkpoint files: written whole or not at all, read without running code."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from .errors import UserError
from .files import write_whole


def write_checkpoint(path: Path, state: dict[str, object]) -> None:
    """Write a state; if that fails, the last checkpoint stays as it was."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    kept = "; the last checkpoint is intact, so set that right and continue with --resume"
    write_whole(path, buffer.getvalue(), kept if path.exists() else "")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU (``weights_only``: data, never code)."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"the checkpoint {path} does not exist.") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError):
        raise UserError(f"{path} is not a checkpoint of this program.") from None
