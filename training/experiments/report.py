# SPDX-License-Identifier: MPL-2.0
"""Put measured numbers into ``docs/papers.md``: ``python -m experiments.report``.

The document has pairs of comments, ``<!-- begin NAME -->`` and ``<!-- end NAME -->``; what stands
between them is replaced by what the results say. ``--check`` only compares.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from stylize_train.errors import UserError
from stylize_train.files import write_whole

from .results import FOLDER, Cell, read_cells
from .summaries import SUMMARIES
from .tables import TABLES

DOCUMENT = FOLDER.with_suffix(".md")
MARKED = re.compile(r"(<!-- begin ([\w-]+) -->)(.*?)(<!-- end \2 -->)", re.DOTALL)
NOTHING = "not measured yet"


def filled(document: str, folder: Path) -> str:
    """The document with every marked place filled from the results in a folder."""
    results: dict[str, dict[str, Cell]] = {}
    for name in TABLES:
        source = folder / f"{name}.json"
        results[name] = read_cells(source) if source.exists() else {}

    def replace(match: re.Match[str]) -> str:
        begin, name, _, end = match.groups()
        if name in SUMMARIES:
            return f"{begin}{SUMMARIES[name](results) or NOTHING}{end}"
        if name not in TABLES:
            known = ", ".join([*TABLES, *SUMMARIES])
            raise UserError(f"nothing is called '{name}'; known are: {known}.")
        text = TABLES[name](results[name]) or f"\n*{NOTHING}*\n"
        plot = folder / f"{name}.svg"
        if plot.exists():
            text += f"\n![{name}]({folder.name}/{plot.name})\n"
        return f"{begin}{text}{end}"

    return MARKED.sub(replace, document)


def main() -> None:
    """Fill the document, or check that it is filled."""
    p = argparse.ArgumentParser(prog="experiments.report", description=__doc__.splitlines()[0])
    p.add_argument("--document", type=Path, default=DOCUMENT)
    p.add_argument("--folder", type=Path, default=FOLDER, help="results and plots")
    p.add_argument("--check", action="store_true", help="fail if the document is out of date")
    args = p.parse_args()
    try:
        if not args.document.is_file():
            raise UserError(f"the document {args.document} does not exist.")
        old = args.document.read_text()
        new = filled(old, args.folder)
        if not args.check:
            write_whole(args.document, new.encode())
        elif new != old:
            raise UserError(f"{args.document} is out of date: run python -m experiments.report.")
    except UserError as error:
        sys.exit(f"{p.prog}: {error}")


if __name__ == "__main__":
    main()
