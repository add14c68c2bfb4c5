# SPDX-License-Identifier: MPL-2.0
"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from .errors import UserError


def write_whole(path: Path, data: bytes, advice: str = "") -> None:
    """Write beside ``path``, then rename over it: a crash or a full disk leaves the old file.

    ``advice`` ends the sentence that the user gets when that fails.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise UserError(_failed(path, error, advice)) from None


def refuse_folder(path: Path) -> None:
    """Refuse a folder where a file is to be written in the end, before the work for it begins."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file's name, such as {path / 'model.onnx'}.")


def append_json(path: Path, value: Mapping[str, object], advice: str = "") -> None:
    """Add one line to a log; ``advice`` is that of ``write_whole``."""
    try:
        with path.open("a") as file:
            file.write(json.dumps(value) + "\n")
    except OSError as error:
        raise UserError(_failed(path, error, advice)) from None


def _failed(path: Path, error: OSError, advice: str = "") -> str:
    return f"cannot write {path}: {error.strerror or error}{advice}."
