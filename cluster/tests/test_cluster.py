# SPDX-License-Identifier: MPL-2.0
"""A cluster of three nodes on loopback, which are killed and stopped while they paint a film.

STYLIZE is the program (default: the newest in ../target), FILM_SECONDS the film's length.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = int(os.environ.get("FILM_SECONDS", "60"))
RATE = 25
PIECES = 12
# Longer films take longer; none of these times is what is tested.
PATIENCE = max(1, SECONDS // 60)
NODES = 3
# A lost node is noticed within seconds, not half a minute.
ENVIRONMENT = {
    **os.environ,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
}


def program() -> str:
    if "STYLIZE" in os.environ:
        return os.environ["STYLIZE"]
    built = [ROOT / "target" / kind / "stylize" for kind in ("release", "debug")]
    built = [path for path in built if path.exists()]
    assert built, "cargo build -p stylize-cli makes the program"
    return str(max(built, key=lambda path: path.stat().st_mtime))


def tree(root: int) -> list[int]:
    """A process and all that come from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def signal_all(root: int, what: signal.Signals) -> None:
    for pid in tree(root):
        try:
            os.kill(pid, what)
        except ProcessLookupError:
            continue


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    seconds = 240 * PATIENCE
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)


def started(log: Path) -> bool:
    return "Ray runtime started" in log.read_text()


class Cluster:
    """Nodes with one CPU each; the first is the head, and has none."""

    def __init__(self, logs: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.logs = logs
        self.nodes: list[subprocess.Popen] = []

    def begin(self) -> None:
        self.start("--head", f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false")
        for i in range(NODES):
            # Addresses of their own, so that the driver finds the head's.
            self.start(
                f"--address={self.address}", "--num-cpus=1", f"--node-ip-address=127.0.0.{i + 2}"
            )

    def start(self, *options: str) -> None:
        ray = Path(sys.executable).with_name("ray")
        log = self.logs / f"node{len(self.nodes)}.log"
        command = [str(ray), "start", "--block", "--disable-usage-stats"]
        command += ["--object-store-memory=80000000", *options]
        # Ray gives a node half a minute to start, which is not enough on a busy machine.
        for _ in range(4):
            with log.open("w") as out:
                node = subprocess.Popen(command, stdout=out, stderr=out, env=ENVIRONMENT)
            self.nodes.append(node)
            wait_for("a node", lambda: started(log) or self.nodes[-1].poll() is not None)
            if started(log):
                return
        pytest.fail(log.read_text())

    def stop(self) -> None:
        for node in reversed(self.nodes):
            signal_all(node.pid, signal.SIGCONT)
            signal_all(node.pid, signal.SIGKILL)
            node.wait()

    def workers(self) -> list[subprocess.Popen]:
        """The nodes that paint."""
        return [node for node in self.nodes[1:] if node.poll() is None]


def started_cluster(logs: Path) -> Iterator[Cluster]:
    cluster = Cluster(logs)
    try:
        cluster.begin()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """For one test, which may kill its nodes."""
    logs = tmp_path / "logs"
    logs.mkdir()
    yield from started_cluster(logs)


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """For all tests that leave its nodes alone."""
    yield from started_cluster(tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("film") / "film.mp4"
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            "-f",
            "lavfi",
            "-i",
            f"testsrc2=s=96x64:r={RATE}:d={SECONDS}",
            "-f",
            "lavfi",
            "-i",
            f"sine=d={SECONDS}",
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-c:a",
            "aac",
            file,
        ],
        check=True,
    )
    return file


@pytest.fixture(scope="session")
def undisturbed(film: Path) -> Path:
    """The film from one process."""
    output = film.with_name("undisturbed.mp4")
    subprocess.run(
        [
            program(),
            film,
            output,
            "--segments",
            str(PIECES),
            "--threads",
            "1",
            "--quiet",
            "--",
            "stability=0.3",
        ],
        check=True,
    )
    return output


def packets(file: Path) -> list[str]:
    """All packets with their times and checksums."""
    said = subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            "-i",
            file,
            "-map",
            "0",
            "-c",
            "copy",
            "-f",
            "framemd5",
            "-",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in said.stdout.splitlines() if not line.startswith("#")]


def stylize_ray(cluster: Cluster, film: Path, output: Path, *more: str) -> list[str]:
    return [
        str(Path(sys.executable).with_name("stylize-ray")),
        str(film),
        str(output),
        "--address",
        cluster.address,
        "--segments",
        str(PIECES),
        "--cpus-per-piece",
        "1",
        "--stylize",
        program(),
        *more,
        "--",
        "stability=0.3",
    ]


def there(folder: Path) -> int:
    return len([file for file in folder.glob("*.json") if file.name[0].isdigit()])


def run(command: list[str], code: int = 0) -> subprocess.CompletedProcess:
    said = subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, timeout=400 * PATIENCE
    )
    assert said.returncode == code, said.stderr
    return said


def painting(folder: Path) -> list[int]:
    """Programs that paint pieces of this folder."""
    return with_words(lambda words: b"piece" in words and os.fsencode(folder) in words)


def with_words(wanted: Callable[[list[bytes]], bool]) -> list[int]:
    """Processes by their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if wanted((entry / "cmdline").read_bytes().split(b"\0")):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_nothing_is_lost_when_nodes_and_the_driver_are(
    cluster: Cluster, film: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "painted.mp4"
    folder = tmp_path / "painted.mp4.pieces"
    command = stylize_ray(cluster, film, output)
    log = (tmp_path / "driver.log").open("w")
    driver = subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT)
    wait_for("two pieces", lambda: there(folder) >= 2)

    killed, stopped, _ = cluster.workers()
    children = [pid for pid in painting(folder) if pid in tree(killed.pid)]
    # Not the whole tree: what paints has to end by itself with its worker.
    for pid in tree(killed.pid):
        if pid not in children:
            os.kill(pid, signal.SIGKILL)
    wait_for(
        "the end of what painted on the killed node",
        lambda: not set(children) & set(painting(folder)),
    )

    signal_all(stopped.pid, signal.SIGSTOP)
    before = there(folder)
    wait_for("pieces of the last node", lambda: there(folder) > before)
    signal_all(stopped.pid, signal.SIGCONT)

    assert driver.poll() is None, (tmp_path / "driver.log").read_text()
    driver.kill()
    driver.wait()
    kept = there(folder)
    assert 2 < kept < PIECES, "the driver was killed in the middle"
    assert not output.exists()

    said = run(command)
    known = int(said.stdout.split(" pieces were there")[0].split()[-1])
    assert known >= kept, said.stdout
    assert packets(output) == packets(undisturbed)
    assert len([line for line in packets(output) if line.startswith("0")]) == SECONDS * RATE
    assert not folder.exists()
    wait_for("the end of all programs", lambda: not painting(folder))


def stand_in(folder: Path, first: str = "") -> Path:
    """A program that does what the shell commands ``first`` say, then what the real one does."""
    script = folder / "stylize"
    script.write_text(f'#!/bin/sh\n{first}\nexec {program()} "$@"\n')
    script.chmod(0o755)
    return script


def test_pieces_come_through_the_object_store_and_errors_are_bounded(
    calm: Cluster, film: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "painted.mp4"
    wrapper = stand_in(tmp_path)
    command = stylize_ray(calm, film, output, "--own-folders", "--json", "--stylize", str(wrapper))
    events = [json.loads(line) for line in run(command).stdout.splitlines() if line.startswith("{")]
    assert events[-1]["of"] == SECONDS * RATE
    assert {"pieces", "frames", "fps", "seconds-left", "workers", "nodes"} <= set(events[-1])
    assert packets(output) == packets(undisturbed)

    # A program that cannot paint a piece is asked as often as was said, and then quoted.
    calls = tmp_path / "calls"
    stand_in(
        tmp_path,
        f'[ "$1" = piece ] && echo "$3" >>{calls} && echo "error: no bfloat16 here" >&2 && exit 1',
    )
    more = ("--force", "--retries", "2", "--stylize", str(wrapper))
    command = stylize_ray(calm, film, output, *more)
    said = run(command, 1)
    assert "no bfloat16 here" in said.stderr.splitlines()[-1]
    assert "(3 times)" in said.stderr
    assert max(calls.read_text().split().count(str(i)) for i in range(PIECES)) == 3
    assert json.loads((tmp_path / "painted.mp4.pieces" / "plan.json").read_text())


def test_what_hangs_is_started_twice_and_killed_workers_are_no_failures(
    calm: Cluster, film: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "painted.mp4"
    folder = tmp_path / "painted.mp4.pieces"
    calls = tmp_path / "calls"
    # The first that paints piece 4 never ends. Whoever paints piece 2 loses its worker, five times.
    wrapper = stand_in(
        tmp_path,
        f"""[ "$1" = piece ] && echo "$3" >>{calls}
case "$1 $3" in
"piece 4") mkdir {tmp_path}/hangs 2>/dev/null && exec sleep 100000 ;;
"piece 2") for i in 1 2 3 4 5; do
    mkdir {tmp_path}/killed$i 2>/dev/null && kill -9 $PPID && exec sleep 100000; done ;;
esac""",
    )
    more = ("--retries", "0", "--slow", "1.5", "--stylize", str(wrapper))
    said = run(stylize_ray(calm, film, output, *more))
    again = int(said.stdout.split(" were started twice")[0].split()[-1])
    assert again >= 1, said.stdout
    started_so_often = calls.read_text().split()
    assert started_so_often.count("4") == 2
    assert started_so_often.count("2") >= 6
    assert packets(output) == packets(undisturbed)
    # The one that hangs ends when the other's result is there.
    hangs = [b"sleep", b"100000", b""]
    wait_for("the end of all programs", lambda: not with_words(lambda words: words == hangs))
    assert not painting(folder)


def test_ctrl_c_ends_all_and_the_same_command_goes_on(
    calm: Cluster, film: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "painted.mp4"
    folder = tmp_path / "painted.mp4.pieces"
    # Its pieces wait for a file behind the second, so that it is not done before it is interrupted.
    gate = tmp_path / "gate"
    wrapper = stand_in(
        tmp_path,
        f'[ "$1" = piece ] && [ "$3" -gt 1 ] && until [ -e {gate} ]; do sleep 0.2; done',
    )
    command = stylize_ray(calm, film, output, "--stylize", str(wrapper))
    log = tmp_path / "driver.log"
    # As from a terminal: a shell's background processes ignore it, and so do those that they start.
    with log.open("w") as out:
        driver = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            env=ENVIRONMENT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    wait_for("a piece", lambda: there(folder) >= 1 or driver.poll() is not None)
    driver.send_signal(signal.SIGINT)
    wait_for("the driver's end", lambda: driver.poll() is not None)
    assert driver.returncode == 130, log.read_text()
    assert "interrupted; the same command goes on" in log.read_text()
    wait_for("the end of all programs", lambda: not painting(folder))
    kept = there(folder)
    assert 1 <= kept <= 2 and not output.exists()
    gate.touch()
    said = run(command)
    assert int(said.stdout.split(" pieces were there")[0].split()[-1]) == kept
    assert packets(output) == packets(undisturbed)
