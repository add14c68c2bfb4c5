# SPDX-License-Identifier: MPL-2.0
"""Keeps the cluster busy until all pieces of a film are there.

The driver holds nothing that is not in the folder of pieces: started again after it died, it asks
which pieces are there and goes on with the others.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from .program import PieceError
from .tasks import Job, Progress, Result, keep, paint


@dataclass
class Limits:
    """How patient the driver is."""

    retries: int = 3
    """How often a piece may fail for a reason that the program says."""
    slow: float = 2.0
    """A piece that takes so many times as long as others is started once more."""
    least: float = 10.0
    """But not before so many seconds."""


@dataclass
class State:
    """How far the film is, for whoever shows it."""

    pieces: int
    frames: int
    """Of the film; 0 if not known."""
    there: int = 0
    """Pieces that were there at the beginning."""
    done: int = 0
    frames_there: int = 0
    frames_done: int = 0
    """Painted since the beginning, with those in pieces that are not finished."""
    nodes: set[str] = field(default_factory=set)
    workers: int = 0
    """That paint now."""
    again: int = 0
    """Pieces that were started a second time because they were slow."""
    began: float = field(default_factory=time.time)

    def fps(self) -> float:
        """Of all workers together, since the beginning."""
        return self.frames_done / max(time.time() - self.began, 1e-9)

    def seconds_left(self) -> float | None:
        """None while nothing can be said."""
        fps = self.fps()
        left = self.frames - self.frames_there - self.frames_done
        return max(left, 0) / fps if fps > 0 and self.frames > 0 else None

    def line(self) -> str:
        """One line for a terminal."""
        text = f"{self.done} of {self.pieces} pieces, {self.frames_there + self.frames_done}"
        text += f" of {self.frames} frames, {self.fps():.1f} fps"
        text += f", {self.workers} workers on {len(self.nodes)} nodes"
        if (left := self.seconds_left()) is not None:
            minutes, seconds = divmod(int(left), 60)
            text += f", {minutes}:{seconds:02} left"
        return text


class Driver:
    """Starts pieces, looks after them, and keeps what they become.

    No task is cancelled with `ray.cancel`: a task that ends in the same moment aborts the whole
    process ("Tried to complete task that was not pending"). A copy that is not needed any more asks
    `Progress` and ends by itself, and the end of the job ends all of its tasks.
    """

    def __init__(
        self,
        job: Job,
        missing: list[int],
        state: State,
        resources: dict,
        limits: Limits,
        show: Callable[[State], None] = lambda state: None,
    ) -> None:
        self.job, self.state, self.limits, self.show = job, state, limits, show
        # Frames of pieces are painted from their beginning, so nodes with free resources get them.
        self.paint = paint.options(scheduling_strategy="SPREAD", **resources)
        self.progress = self.new_progress()
        self.job_ref = ray.put(job)
        self.missing = set(missing)
        self.tasks: dict[ray.ObjectRef, tuple[int, int]] = {}
        self.copies: dict[int, int] = defaultdict(int)
        self.failed: dict[int, list[str]] = defaultdict(list)
        self.times: list[float] = []
        self.frames: dict[int, int] = {}

    @staticmethod
    def new_progress() -> ray.actor.ActorHandle:
        """On the driver's node, which lives as long as the driver does."""
        node = ray.get_runtime_context().get_node_id()
        return Progress.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True)
        ).remote()

    def run(self) -> None:
        """Until all pieces are there.

        Raises PieceError with what the program said last if a piece fails too often.
        """
        for piece in sorted(self.missing):
            self.start(piece)
        while self.missing:
            ready, _ = ray.wait(list(self.tasks), num_returns=1, timeout=0.5)
            for ref in ready:
                self.finish(ref)
            self.look_round()

    def start(self, piece: int) -> None:
        """Hands a piece, or another copy of it, to the cluster."""
        copy = self.copies[piece]
        self.copies[piece] += 1
        self.tasks[self.paint.remote(self.job_ref, piece, copy, self.progress)] = (piece, copy)

    def finish(self, ref: ray.ObjectRef) -> None:
        """Takes a result; the first of a piece counts."""
        piece, _ = self.tasks.pop(ref)
        if piece not in self.missing:
            return
        try:
            result = ray.get(ref)
        except RayError as err:
            result = PieceError(str(err).strip().splitlines()[-1])
        if isinstance(result, Result):
            self.keep(piece, result)
            return
        self.failed[piece].append(str(result))
        if len(self.failed[piece]) > self.limits.retries:
            raise PieceError(f"{result} ({len(self.failed[piece])} times)")
        self.start(piece)

    def keep(self, piece: int, result: Result) -> None:
        """A piece is there; its other copies end when they hear of it."""
        keep(Path(self.job.folder), result)
        self.missing.discard(piece)
        self.times.append(result.seconds)
        self.frames[piece] = result.record["frames"]
        self.state.done += 1
        self.progress.keep.remote(piece)

    def look_round(self) -> None:
        """Shows how far the film is, and starts what is slow once more where there is room."""
        try:
            running = ray.get(self.progress.all.remote(), timeout=5)
        except RayError:
            # It was on a node that went. It holds nothing that matters.
            self.progress = self.new_progress()
            return
        now = time.time()
        active = {key: told for key, told in running.items() if key[0] in self.missing}
        partial = {piece: 0 for piece, _ in active}
        for (piece, _), told in active.items():
            partial[piece] = max(partial[piece], told["frames"])
        self.state.frames_done = sum(self.frames.values()) + sum(partial.values())
        self.state.nodes = {told["node"] for told in active.values()}
        self.state.workers = len(active)
        self.show(self.state)
        waiting = [piece for piece in self.missing if piece not in partial]
        if waiting or not self.times:
            return
        most = max(self.limits.least, self.limits.slow * statistics.median(self.times))
        for piece in sorted(self.missing):
            began = max(told["began"] for (key, _), told in active.items() if key == piece)
            if now - began > most and self.copies[piece] < 2 + len(self.failed[piece]):
                self.state.again += 1
                self.start(piece)
