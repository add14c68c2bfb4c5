# SPDX-License-Identifier: MPL-2.0
"""Text files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import UserError


def write_text(path: Path, text: str) -> None:
    """Write next to ``path``, then rename over it: a crash leaves the old file."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror}.") from None
