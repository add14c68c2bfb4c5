# SPDX-License-Identifier: MPL-2.0
"""Results that survive interruption: a JSON file of finished cells, one a line.

Several runs may add to one file at the same time.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stylize_train.errors import UserError
from stylize_train.files import write_whole

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "papers"
"""Where committed results and figures lie."""

Cell = dict[str, Any]


class Results:
    """Finished cells of an experiment by key; each is written as soon as it is there.

    Args:
        path: the file; made when the first cell is finished.
        again: replace cells that were made with other settings, instead of refusing.
    """

    def __init__(self, path: Path, again: bool = False) -> None:
        self.path = path
        self.again = again
        _ = self.cells  # A file that is no results file is refused before anything is computed.

    @property
    def cells(self) -> dict[str, Cell]:
        """All that is finished by now, here or in another run."""
        return read_cells(self.path) if self.path.exists() else {}

    def cell(self, key: str, settings: Cell, compute: Callable[[], Cell]) -> Cell:
        """The cell called ``key``: read if it is there, else computed and written.

        A cell holds its settings, the machine, the seconds it took, and what ``compute`` gives.
        """
        settings = rounded(settings)
        found = self.cells.get(key)
        if found is not None and found["settings"] == settings:
            return found
        if found is not None and not self.again:
            other = found["settings"]
            names = sorted(n for n in settings | other if settings.get(n) != other.get(n))
            was = ", ".join(f"{n} {other.get(n)}" for n in names)
            raise UserError(
                f"{self.path} has '{key}' with other settings ({was}): use those, "
                "another --results file, or --again to replace it."
            )
        began = time.monotonic()
        values = compute()
        cell = {
            "settings": settings,
            "machine": machine(),
            "seconds": rounded(time.monotonic() - began),
            **rounded(values),
        }
        self._add(key, cell)
        return cell

    def _add(self, key: str, cell: Cell) -> None:
        """Add to what the file holds now: another run may have added cells since the last look."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The folder is locked, not the file: writing puts another file in its place.
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            write_cells(self.path, {**self.cells, key: cell})
        finally:
            os.close(folder)


def read_cells(path: Path) -> dict[str, Cell]:
    """All finished cells of a results file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"there are no results {path} yet.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a results file: {error}.") from None


def write_cells(path: Path, cells: dict[str, Cell]) -> None:
    """Write whole or not at all, in the order of the keys, one line for each cell."""
    lines = [f"{json.dumps(key)}: {json.dumps(cells[key])}" for key in sorted(cells)]
    write_whole(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def rounded(value: Any) -> Any:  # noqa: ANN401
    """The same with floats of five digits and lists for tuples, as JSON gives it back."""
    if isinstance(value, dict):
        return {str(k): rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def machine() -> str:
    """Processor, cores and versions, or the GPU if there is one."""
    name = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        name = lines[0].split(": ", 1)[1] if lines else name
    if torch.cuda.is_available():
        name = f"{torch.cuda.get_device_name()}, {name}"
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__}"
