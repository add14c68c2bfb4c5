# SPDX-License-Identifier: MPL-2.0
"""Generators by name. To add one: subclass ``Generator`` and list it in ``GENERATORS``."""

from __future__ import annotations

import inspect

from ..errors import UserError
from .base import TASKS, Generator, NoiseInput
from .eighth import Eighth
from .lite import Lite
from .pyramid import Pyramid
from .residual import Residual

GENERATORS: dict[str, type[Generator]] = {g.NAME: g for g in (Eighth, Lite, Residual, Pyramid)}


def create(name: str, options: dict[str, object] | None = None) -> Generator:
    """Build the generator called ``name``; ``options`` are its constructor's keywords."""
    if name not in GENERATORS:
        known = ", ".join(sorted(GENERATORS))
        raise UserError(f"there is no generator called '{name}'; known are: {known}.")
    options = options or {}
    takes = inspect.signature(GENERATORS[name]).parameters
    foreign = [f"--{option.replace('_', '-')}" for option in options if option not in takes]
    if foreign:
        raise UserError(f"the generator {name} has no option {' and no '.join(foreign)}.")
    return GENERATORS[name](**options)


__all__ = ["GENERATORS", "TASKS", "Generator", "NoiseInput", "create"]
