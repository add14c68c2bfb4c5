# SPDX-License-Identifier: MPL-2.0
"""What the command lines share."""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Callable
from typing import NoReturn

import torch

from .errors import UserError


class Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong with a command line, without a list of all options."""

    def error(self, message: str) -> NoReturn:
        """End the program."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help.\n")


def separated(kind: Callable[[str], object]) -> Callable[[str], tuple[object, ...]]:
    """Type of an option that takes values with commas between them."""

    def values(text: str) -> tuple[object, ...]:
        return tuple(kind(part) for part in text.split(","))

    values.__name__ = f"comma-separated {kind.__name__}"
    return values


def seed(text: str) -> int:
    """Type of an option that takes a seed: what both PyTorch and NumPy take for one."""
    value = int(text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 2^63 - 1")
    return value


def add_machine_arguments(p: argparse.ArgumentParser) -> None:
    """``--device`` and ``--threads``, as ``use_machine`` reads them."""
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    p.add_argument("--threads", type=int, help="CPU threads; the same number, the same result")


def keep_freed_memory() -> None:
    """Make glibc keep what is freed instead of handing it back to the kernel.

    Every step allocates the same hundreds of megabytes. By default each large tensor is a mapping
    of its own, and the kernel clears its pages anew every time: a third of a step on a CPU.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not glibc
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 32 << 20)  # The greatest that glibc takes.
    mallopt(trim_threshold, 2**31 - 1)


def use_machine(args: argparse.Namespace) -> str:
    """Set the number of threads and the allocator; returns the device, which was tried."""
    keep_freed_memory()
    if args.threads is not None:
        if args.threads < 1:
            raise UserError(f"--threads is {args.threads} and must be at least 1.")
        torch.set_num_threads(args.threads)
    if args.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=args.device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0].split(". ")[0].rstrip(".")
        raise UserError(
            f"--device {args.device} cannot be used ({reason}); leave it out, or say cpu."
        ) from None
    return args.device
