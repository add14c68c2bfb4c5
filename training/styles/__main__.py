# SPDX-License-Identifier: MPL-2.0
"""Draw the styles as files: ``python -m styles --out FOLDER [--only NAME] [--seed N]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import SEED, STYLES, draw


def main() -> None:
    """Parse arguments, draw, write."""
    p = argparse.ArgumentParser(prog="python -m styles", description="Draw style pictures.")
    p.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    p.add_argument("--only", action="append", choices=sorted(STYLES), help="these alone")
    p.add_argument("--seed", type=int, default=SEED, help="another seed, another picture")
    p.add_argument("--format", choices=("png", "jpg"), default="png")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only or STYLES:
        path = args.out / f"{name}.{args.format}"
        draw(name, args.seed).save(path, quality=93)
        print(path)


if __name__ == "__main__":
    main()
