#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Compares Cargo.lock with the pinned advisories of the RustSec database, without network.

advisories.py            ends with 1 if a locked version is affected; prints what is known of it
advisories.py update DB  pins anew, from a checkout of https://github.com/rustsec/advisory-db

`cargo deny check` asks more (deny.toml), where it is installed and there is a network.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINNED = ROOT / ".ci" / "advisories.json"


def number(text: str) -> tuple:
    """A version for comparison; a pre-release is less than its release."""
    core, _, pre = text.split("+")[0].partition("-")
    parts = [int(part) for part in core.split(".")]
    parts += [0] * (3 - len(parts))
    return (*parts, not pre, pre)


def fits(version: str, requirement: str) -> bool:
    """Whether a version meets all parts of a requirement as Cargo writes it."""
    for part in requirement.split(","):
        sign, text = re.fullmatch(r"\s*(>=|<=|>|<|=|\^|~|)\s*(\S+)\s*", part).groups()
        low, at = number(text), number(version)
        given = text.split("-")[0].split(".")
        if sign in ("^", "", "~"):
            fixed = 2 if sign == "~" and len(given) > 1 else 1
            if sign != "~":
                leading = [i for i, n in enumerate(low[:3]) if n] or [2]
                fixed = leading[0] + 1
            holds = at >= low and at[:fixed] == low[:fixed]
        else:
            holds = {
                ">=": at >= low,
                "<=": at <= low,
                ">": at > low,
                "<": at < low,
                "=": at == low,
            }[sign]
        if not holds:
            return False
    return True


def locked() -> list[tuple[str, str]]:
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return [(p["name"], p["version"]) for p in lock["package"] if "source" in p]


def update(database: Path) -> None:
    """Pins the advisories of all crates in Cargo.lock."""
    git = ["git", "-C", str(database)]
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    listing = subprocess.check_output([*git, "ls-tree", "-r", "--name-only", "HEAD", "crates/"], text=True)
    names = {name for name, _ in locked()}
    advisories = []
    for path in sorted(listing.split("\n")):
        parts = path.split("/")
        if len(parts) != 3 or parts[1] not in names or not parts[2].endswith(".md"):
            continue
        text = subprocess.check_output([*git, "show", f"HEAD:{path}"], text=True)
        front, _, body = text.removeprefix("```toml").partition("\n```")
        front = tomllib.loads(front)
        about, versions = front["advisory"], front.get("versions", {})
        if "withdrawn" in about:
            continue
        title = re.search(r"^# (.+)$", body, re.MULTILINE)
        advisories.append(
            {
                "id": about["id"],
                "package": about["package"],
                "title": title.group(1) if title else "",
                "informational": about.get("informational", ""),
                "fine": versions.get("patched", []) + versions.get("unaffected", []),
            }
        )
    crates = sorted(names)
    pinned = {"commit": commit, "crates": crates, "advisories": advisories}
    PINNED.write_text(json.dumps(pinned, indent=1) + "\n")
    print(f"{len(advisories)} advisories for {len(crates)} crates")


def check() -> int:
    pinned = json.loads(PINNED.read_text())
    found = 0
    for name, version in locked():
        if name not in pinned["crates"]:
            print(f"note: {name} is newer than the pinned advisories; advisories.py update DB")
        for advisory in pinned["advisories"]:
            if advisory["package"] != name or any(fits(version, r) for r in advisory["fine"]):
                continue
            kind = advisory["informational"]
            # That a crate has found its end is told, and is no hole.
            found += not kind or kind == "unsound"
            print(f"{name} {version}: {advisory['id']} {kind} {advisory['title']}")
    print(f"{len(locked())} crates against {len(pinned['advisories'])} advisories: {found} affected")
    return min(found, 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["update"] and len(sys.argv) == 3:
        update(Path(sys.argv[2]))
    elif len(sys.argv) == 1:
        sys.exit(check())
    else:
        sys.exit(__doc__)
