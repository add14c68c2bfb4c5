# SPDX-License-Identifier: MPL-2.0
"""What runs on the nodes of the cluster."""

import json
import os
import platform
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import ray
from ray.exceptions import RayError

from .program import NOT_NEEDED, PieceError, run

# Seconds between two reports of a piece.
REPORT = 0.5
# Seconds that a task waits for the answer whether its piece is still needed.
ANSWER = 30


@dataclass(frozen=True)
class Job:
    """What all pieces of a film have in common."""

    plan: str
    """The text of the plan."""
    folder: str
    """Where the pieces go, if the node sees it."""
    token: str
    """Name of a file in the folder, by which a node knows that it sees the same."""
    program: str = "stylize"
    options: list[str] = field(default_factory=list)
    """More options for `stylize piece`."""


@dataclass(frozen=True)
class Result:
    """A painted piece."""

    record: dict
    seconds: float
    node: str
    data: bytes | None
    """Its file, where the node does not see the folder."""


@ray.remote(num_cpus=0)
class Progress:
    """How far pieces are, from all nodes, and which are there."""

    def __init__(self) -> None:
        self.running: dict[tuple[int, int], dict] = {}
        self.kept: set[int] = set()

    def tell(self, piece: int, copy: int, frames: int, node: str, began: float) -> None:
        """One copy of a piece has painted so many frames."""
        self.running[(piece, copy)] = {"frames": frames, "node": node, "began": began}

    def keep(self, piece: int) -> None:
        """The driver has this piece."""
        self.kept.add(piece)

    def needed(self, piece: int) -> bool:
        """Whether the driver still waits for a piece."""
        return piece not in self.kept

    def all(self) -> dict[tuple[int, int], dict]:
        """All that was told."""
        return self.running


# A worker that is killed, and a node that goes, are no fault of the piece: it is painted anew as
# often as it takes. What the program refuses is told to the driver, which counts.
@ray.remote(max_retries=-1, retry_exceptions=False)
def paint(job: Job, piece: int, copy: int, progress: ray.actor.ActorHandle) -> Result | PieceError:
    """Paints a piece; errors come back as values, so that they are told from a lost node.

    It ends early, also with an error that nobody counts, when another copy was faster.
    """

    def needed() -> bool:
        try:
            return ray.get(progress.needed.remote(piece), timeout=ANSWER)
        except RayError:
            # The actor, or the way to it, is gone: the work goes on.
            return True

    if not needed():
        return PieceError(NOT_NEEDED)
    began = time.time()
    node = f"{platform.node()}/{ray.get_runtime_context().get_node_id()[:8]}"
    progress.tell.remote(piece, copy, 0, node, began)
    reported = began

    def report(event: dict) -> None:
        nonlocal reported
        now = time.time()
        if event.get("event") == "progress" and now - reported > REPORT:
            reported = now
            progress.tell.remote(piece, copy, event["frames"], node, began)

    folder = Path(job.folder)
    shared = (folder / job.token).is_file()
    with tempfile.TemporaryDirectory(prefix="stylize-") as own:
        out = folder if shared else Path(own)
        plan = Path(own) / "plan.json"
        plan.write_text(job.plan)
        command = [job.program, "piece", str(plan), str(piece), "--out", str(out), "--json"]
        cpus = int(ray.get_runtime_context().get_assigned_resources().get("CPU", 0))
        if cpus > 0 and "--threads" not in job.options:
            command += ["--threads", str(cpus)]
        try:
            printed = run(command + job.options, report, needed)
        except PieceError as err:
            return PieceError(f"on {node}: {err}")
        except OSError as err:
            return PieceError(f"on {node}: {job.program} cannot be started: {err}")
        record = next(
            event["record"]
            for event in map(json.loads, reversed(printed.splitlines()))
            if event.get("event") == "piece"
        )
        data = None if shared else (out / record["file"]).read_bytes()
    return Result(record, time.time() - began, node, data)


def keep(folder: Path, result: Result) -> None:
    """Writes a piece that came through the object store as the program does: its record last."""
    if result.data is None:
        return
    record = result.record
    name = Path(record["file"]).name
    write_whole(folder / name, result.data)
    write_whole(folder / f"{record['piece']:05}.json", json.dumps(record).encode())


def write_whole(file: Path, data: bytes) -> None:
    """A file that has this name is whole."""
    part = file.with_name(f"{file.name}.{platform.node()}.{os.getpid()}.part")
    with part.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    part.rename(file)
