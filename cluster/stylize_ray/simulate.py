# SPDX-License-Identifier: MPL-2.0
"""What more workers bring, simulated from the times of pieces that were measured.

    python -m stylize_ray.simulate FOLDER --frames 180000 --plot cluster.svg

FOLDER holds pieces of different lengths that `stylize piece` made, without a limit of one cluster.
From their records come the time that every piece takes to start (program, generator, compiling),
the rate of frames, and how uneven they are. A worker that is free takes the next piece, as Ray
does it; at the end the pieces are joined.
"""

import argparse
import heapq
import json
import math
import random
import statistics
from dataclasses import dataclass
from pathlib import Path

WORKERS = [1, 2, 5, 10, 20, 50, 100]
LENGTHS = [10, 20, 30, 60, 120, 300]


@dataclass(frozen=True)
class Times:
    """What pieces take, in seconds."""

    start: float
    """Before the first frame."""
    frame: float
    """For each frame."""
    spread: float
    """Standard deviation of the logarithm of a piece's time against what these two say."""
    join: float = 0.0005
    """For each frame, at the end and by one machine."""
    dispatch: float = 0.05
    """From the end of a piece to the start of the next on the same worker."""

    @classmethod
    def measured(cls, folder: Path) -> "Times":
        """From records of pieces, by least squares."""
        records = [json.loads(file.read_text()) for file in sorted(folder.glob("[0-9]*.json"))]
        points = [(r["frames"], r["seconds"]) for r in records if r["frames"] > 0]
        if len({frames for frames, _ in points}) < 2:
            raise SystemExit(f"{folder}: pieces of two lengths are needed at least")
        frame, start = statistics.linear_regression(*zip(*points, strict=True))
        start = max(start, 0.0)
        rest = [math.log(seconds / (start + frame * frames)) for frames, seconds in points]
        return cls(start, frame, statistics.pstdev(rest))


def efficiency(
    times: Times, frames: int, piece: int, past: int, workers: int, rng: random.Random
) -> float:
    """Frames per worker and second, against what one process paints without pieces.

    `piece` and `past` are frames: those that a piece keeps, and those before it that are painted
    for them and dropped.
    """
    free = [0.0] * workers
    end = 0.0
    for begin in range(0, frames, piece):
        count = min(piece, frames - begin) + (past if begin > 0 else 0)
        took = (times.start + times.frame * count) * math.exp(rng.gauss(0, times.spread))
        done = heapq.heappop(free) + times.dispatch + took
        heapq.heappush(free, done)
        end = max(end, done)
    whole = times.start + frames * times.frame
    return whole / (workers * (end + frames * times.join))


def table(
    times: Times, frames: int, rate: float, past: int, rounds: int = 20
) -> dict[int, list[float]]:
    """Efficiency by the length of pieces in seconds, for each number of workers: a mean."""
    rng = random.Random(1)
    return {
        length: [
            statistics.fmean(
                efficiency(times, frames, round(length * rate), past, workers, rng)
                for _ in range(rounds)
            )
            for workers in WORKERS
        ]
        for length in LENGTHS
    }


def plot(found: dict[int, list[float]], file: Path, title: str) -> None:
    """Draws the table."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "stylize"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for length, values in found.items():
        axes.plot(WORKERS, [100 * value for value in values], marker="o", label=f"{length} s")
    axes.set(xscale="log", xlabel="workers", ylabel="efficiency, %", title=title, ylim=(0, 105))
    axes.set_xticks(WORKERS, [str(workers) for workers in WORKERS])
    axes.grid(alpha=0.3)
    axes.legend(title="pieces of")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="stylize_ray.simulate", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=180_000, help="of the film (two hours)")
    parser.add_argument("--rate", type=float, default=25.0, help="frames per second of the film")
    parser.add_argument("--past", type=int, default=0, help="frames painted before each piece")
    parser.add_argument("--fps", type=float, help="painted by a worker, instead of as measured")
    parser.add_argument("--plot", type=Path, help="SVG to write")
    args = parser.parse_args()
    times = Times.measured(args.folder)
    if args.fps:
        times = Times(times.start, 1 / args.fps, times.spread)
    print(f"start {times.start:.2f} s, {1 / times.frame:.1f} fps, spread {times.spread:.3f}")
    found = table(times, args.frames, args.rate, args.past)
    print("pieces   " + " ".join(f"{workers:>5}" for workers in WORKERS))
    for length, values in found.items():
        print(f"{length:>5} s  " + " ".join(f"{100 * value:5.1f}" for value in values))
    for i, workers in enumerate(WORKERS):
        best = max(found, key=lambda length: found[length][i])
        print(f"{workers} workers: best {best} s, {100 * found[best][i]:.1f} %")
    if args.plot:
        minutes = args.frames / args.rate / 60
        plot(found, args.plot, f"{minutes:.0f} minutes, {1 / times.frame:.0f} fps per worker")


if __name__ == "__main__":
    main()
