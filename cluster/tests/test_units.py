# SPDX-License-Identifier: MPL-2.0
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stylize_ray import simulate
from stylize_ray.cli import there
from stylize_ray.program import PieceError, run
from stylize_ray.tasks import Result, keep


def test_a_child_that_fails_says_why() -> None:
    with pytest.raises(PieceError, match=r"^no such film$"):
        run(["sh", "-c", "echo 'error: no such film' >&2; exit 1"])


def test_events_come_as_they_are_printed() -> None:
    events = []
    run(["sh", "-c", """echo '{"event":"progress","frames":3}'; echo text"""], events.append)
    assert events == [{"event": "progress", "frames": 3}]


def test_a_child_that_is_not_needed_any_more_is_killed() -> None:
    answers = iter([True, False])
    began = time.time()
    with pytest.raises(PieceError, match=r"^not needed any more$"):
        run(["sleep", "100"], needed=lambda: next(answers))
    assert time.time() - began < 60
    assert run(["echo", "done"], needed=lambda: True) == "done\n"


def test_a_child_ends_with_its_parent() -> None:
    code = """
import sys
from stylize_ray.program import run
run(["sh", "-c", "echo '{\\"pid\\":'$$'}'; exec sleep 300"],
    lambda event: print(event["pid"], flush=True))
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.time() + 10
    while time.time() < deadline:
        try:
            state = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the child goes on")


def test_pieces_through_the_object_store_are_kept_whole(tmp_path: Path) -> None:
    record = {"piece": 3, "file": "00003-ab.gdp", "bytes": 5, "frames": 7}
    keep(tmp_path, Result(record, 1.0, "node", b"bytes"))
    assert there(tmp_path, 3) == 7
    assert json.loads((tmp_path / "00003.json").read_text()) == record
    (tmp_path / "00003-ab.gdp").write_bytes(b"byte")
    assert there(tmp_path, 3) is None
    assert there(tmp_path, 4) is None
    # A record leads nowhere else.
    keep(tmp_path, Result({**record, "file": "../x.gdp"}, 1.0, "node", b"bytes"))
    assert (tmp_path / "x.gdp").exists()
    assert not (tmp_path.parent / "x.gdp").exists()


def test_efficiency_falls_with_starts_and_with_a_last_piece() -> None:
    even = simulate.Times(start=0.0, frame=0.1, spread=0.0, join=0.0, dispatch=0.0)
    one = simulate.efficiency(even, 1000, 100, 0, 10, random.Random(1))
    assert one == pytest.approx(1.0)
    # Eleven pieces on ten workers take as long as twenty.
    assert simulate.efficiency(even, 1100, 100, 0, 10, random.Random(1)) == pytest.approx(0.55)
    # Half of what is painted is dropped.
    past = simulate.efficiency(even, 10_000, 100, 100, 1, random.Random(1))
    assert past == pytest.approx(0.5, abs=0.01)
