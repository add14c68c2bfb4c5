# SPDX-License-Identifier: MPL-2.0
"""Generators by name. To add one: subclass ``Generator`` and list it in ``GENERATORS``."""

from __future__ import annotations

from ..errors import UserError
from .base import Generator
from .lite import Lite

GENERATORS: dict[str, type[Generator]] = {Lite.NAME: Lite}


def create(name: str, options: dict[str, object] | None = None) -> Generator:
    """Build the generator called ``name``; ``options`` are its constructor's keywords."""
    if name not in GENERATORS:
        known = ", ".join(sorted(GENERATORS))
        raise UserError(f"there is no generator called '{name}'; known are: {known}.")
    return GENERATORS[name](**(options or {}))


__all__ = ["GENERATORS", "Generator", "create"]
