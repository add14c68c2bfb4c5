# SPDX-License-Identifier: MPL-2.0
"""The command `stylize-ray`."""

import argparse
import json
import os
import secrets
import shutil
import sys
import time
from pathlib import Path

from .program import PieceError, run

EXAMPLES = """
examples:
  stylize-ray film.mkv painted.mp4 --address auto --style great-wave
  stylize-ray film.mkv painted.mp4 --gpus-per-piece 1 -- --quality full stability=0.8

What stands behind -- goes to `stylize plan`: its options, and properties of the element. All nodes
need the same version of stylize, and see the input at its path, or where --input says.
"""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="stylize-ray",
        description="Stylize a long video on a Ray cluster. The same command goes on where it was.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", help="video file")
    parser.add_argument("output", type=Path, help="video file to write")
    parser.add_argument("--style", help="name, number or mix of styles")
    parser.add_argument("--address", help="of the cluster; auto = the one on this machine")
    parser.add_argument("--seconds", type=float, default=60, help="length of pieces (default: 60)")
    parser.add_argument("--segments", type=int, help="so many pieces instead")
    parser.add_argument("--cpus-per-piece", type=float, default=2, help="default: 2")
    parser.add_argument("--gpus-per-piece", type=float, default=0, help="default: 0")
    parser.add_argument(
        "--input",
        dest="inputs",
        action="append",
        default=[],
        metavar="PATH",
        help="where nodes find the input, if not at its path",
    )
    parser.add_argument("--pieces", type=Path, help="folder for pieces (default: OUTPUT.pieces)")
    parser.add_argument("--stylize", default="stylize", help="the program on all nodes")
    parser.add_argument(
        "--retries", type=int, default=3, help="for a piece that fails (default: 3)"
    )
    parser.add_argument(
        "--slow",
        type=float,
        default=2.0,
        help="start a piece once more that takes so many times the median",
    )
    parser.add_argument(
        "--own-folders", action="store_true", help="nodes share no folder, whatever it looks like"
    )
    parser.add_argument("--keep", action="store_true", help="keep the pieces")
    parser.add_argument("--force", action="store_true", help="overwrite the output, begin anew")
    parser.add_argument("--json", action="store_true", help="progress as a JSON object a line")
    return parser


def main() -> None:
    """Runs the command."""
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    args = arguments().parse_args(words[:cut])
    try:
        stylize(args, words[cut + 1 :])
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)
    except (PieceError, OSError, ConnectionError) as err:
        print(f"error: {err}", file=sys.stderr)
        sys.exit(1)


def make_plan(args: argparse.Namespace, more: list[str]) -> str:
    """The text of the film's plan."""
    options = [word for word in more if word.startswith("-") or "=" not in word]
    properties = [word for word in more if word not in options]
    command = [args.stylize, "plan", args.input, str(args.output)]
    if args.segments:
        command += ["--segments", str(args.segments)]
    else:
        command += ["--seconds", str(args.seconds)]
    if args.style:
        command += [f"--style={args.style}"]
    return run([*command, *options, "--", *properties] if properties else [*command, *options])


def prepare(args: argparse.Namespace, text: str) -> tuple[Path, Path]:
    """The folder of pieces and the plan in it, after a look at whether they belong together."""
    folder = args.pieces or args.output.with_name(args.output.name + ".pieces")
    plan = folder / "plan.json"
    if plan.exists() and plan.read_text() != text:
        if not args.force:
            raise PieceError(
                f"{folder} has pieces of another film or with other settings;"
                " say --force to begin anew, or remove it"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not plan.exists():
        part = folder / f"plan.{os.getpid()}.part"
        part.write_text(text)
        part.rename(plan)
    return folder, plan


def there(folder: Path, piece: int) -> int | None:
    """Frames of a piece that is there; `stylize join` looks at its content."""
    try:
        record = json.loads((folder / f"{piece:05}.json").read_text())
        whole = (folder / record["file"]).stat().st_size == record["bytes"]
        return record["frames"] if whole else None
    except (OSError, ValueError, KeyError):
        return None


def stylize(args: argparse.Namespace, more: list[str]) -> None:
    """From the input to the output."""
    import ray

    from .driver import Driver, Limits, State
    from .tasks import Job

    if args.output.exists() and not args.force:
        raise PieceError(f"{args.output} exists; say --force to overwrite it")
    text = make_plan(args, more)
    folder, plan = prepare(args, text)
    pieces = json.loads(text)["pieces"]
    known = {i: there(folder, i) for i in range(len(pieces))}
    missing = [i for i, frames in known.items() if frames is None]
    state = State(len(pieces), sum(piece["frames"] or 0 for piece in pieces))
    state.there = state.done = len(pieces) - len(missing)
    state.frames_there = sum(frames or 0 for frames in known.values())
    if missing:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address=args.address, log_to_driver=False, logging_level="WARNING")
        token = f"shared-{secrets.token_hex(8)}"
        if not args.own_folders:
            (folder / token).touch()
        options = [word for path in args.inputs for word in ("--input", path)]
        job = Job(text, str(folder.resolve()), token, args.stylize, options)
        resources = {"num_cpus": args.cpus_per_piece, "num_gpus": args.gpus_per_piece}
        limits = Limits(retries=args.retries, slow=args.slow)
        try:
            Driver(job, missing, state, resources, limits, shower(args.json)).run()
        finally:
            (folder / token).unlink(missing_ok=True)
            ray.shutdown()
    places = [word for path in args.inputs for word in ("--input", path)]
    force = ["--force"] if args.force else []
    said = run([args.stylize, "join", str(plan), str(folder), str(args.output), *places, *force])
    print(said.strip())
    print(f"{state.there} pieces were there, {state.again} were started twice", flush=True)
    if not args.keep:
        shutil.rmtree(folder)


def shower(as_json: bool):  # noqa: ANN201
    """Shows the state: a line that is overwritten on a terminal, else one every two seconds."""
    last = 0.0

    def show(state) -> None:  # noqa: ANN001
        nonlocal last
        terminal = sys.stderr.isatty()
        if time.time() - last < (0.5 if terminal else 2):
            return
        last = time.time()
        if as_json:
            told = {
                "event": "progress",
                "pieces": state.done,
                "frames": state.frames_there + state.frames_done,
                "of": state.frames,
                "fps": round(state.fps(), 2),
                "seconds-left": state.seconds_left(),
                "workers": state.workers,
                "nodes": sorted(state.nodes),
            }
            print(json.dumps(told), flush=True)
        else:
            print(state.line(), file=sys.stderr, end="\r" if terminal else "\n", flush=True)

    return show


if __name__ == "__main__":
    main()
