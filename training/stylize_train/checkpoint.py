# SPDX-License-Identifier: MPL-2.0
"""Checkpoint files: written whole or not at all, read without running code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from .errors import UserError


def write_checkpoint(path: Path, state: dict[str, object]) -> None:
    """Write next to ``path``, then rename over it: a crash leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU (``weights_only``: data, never code)."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"the checkpoint {path} does not exist.") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError):
        raise UserError(f"{path} is not a checkpoint of this program.") from None
