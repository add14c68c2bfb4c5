# SPDX-License-Identifier: MPL-2.0
"""Runs the program `stylize` as a child that ends with its parent."""

import ctypes
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable

PR_SET_PDEATHSIG = 1

# Seconds between two questions whether a child's work is still needed.
ASK = 1.0
NOT_NEEDED = "not needed any more"


class PieceError(Exception):
    """What the program said when it could not do its work: one sentence for the user."""


def end_with(parent: int) -> Callable[[], None]:
    """A function for a child to call: the kernel kills it when `parent` ends, however it ends."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have ended before it was asked for.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def run(
    command: list[str],
    on_event: Callable[[dict], None] = lambda event: None,
    needed: Callable[[], bool] | None = None,
) -> str:
    """Runs a command and returns what it printed; its JSON lines go to `on_event` as they come.

    `needed` is asked every second, from a thread of its own; the child is killed when it says no.

    Linux sends the signal for a parent's end when the thread ends that started the child, so
    the caller's thread is the one that waits for it.
    """
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=end_with(os.getpid()),
    )
    said: list[str] = []
    errors = threading.Thread(target=lambda: said.extend(child.stderr), daemon=True)
    errors.start()
    printed = []
    ended = threading.Event()
    unneeded = threading.Event()

    def watch() -> None:
        while not ended.wait(ASK):
            if not needed():
                unneeded.set()
                child.kill()
                return

    if needed is not None:
        threading.Thread(target=watch, daemon=True).start()
    try:
        for line in child.stdout:
            printed.append(line)
            if line.startswith('{"') and line.rstrip().endswith("}"):
                on_event(json.loads(line))
        code = child.wait()
    finally:
        ended.set()
        if child.poll() is None:
            child.kill()
            child.wait()
    errors.join()
    if unneeded.is_set():
        raise PieceError(NOT_NEEDED)
    if code != 0:
        text = "".join(said).strip().removeprefix("error: ")
        raise PieceError(text or f"{command[0]} ended with {code}")
    return "".join(printed)
