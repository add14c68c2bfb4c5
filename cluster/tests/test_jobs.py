# SPDX-License-Identifier: MPL-2.0
"""The files for SLURM and Kubernetes, without either: what they would submit."""

import os
import subprocess
from pathlib import Path

import yaml

JOBS = Path(__file__).resolve().parents[1] / "jobs"


def fake(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/bash\n{text}\n")
    file.chmod(0o755)


def test_slurm_submits_what_is_missing_and_its_commands_are_right(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    plan = '{"pieces": [\n' + '{\n"start": 0},\n' * 2 + '{\n"start": 9}]}'
    fake(
        tools,
        "stylize",
        f"""case $1 in plan) echo '{plan}';; *) echo "$@" >>{tmp_path}/ran;; esac""",
    )
    # Runs what it is given at once, for each number of the array.
    fake(
        tools,
        "sbatch",
        f"""
echo "$*" >>{tmp_path}/submitted
for word; do case $word in --array=*) array=${{word#--array=}};;
  --wrap=*) line=${{word#--wrap=}};; esac; done
for i in ${{array//,/ }}; do SLURM_ARRAY_TASK_ID=$i SLURM_CPUS_PER_TASK=4 sh -c "$line" \
    || exit; done
[ -n "$array" ] || sh -c "$line"
echo 17""",
    )
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "STYLIZE": "stylize"}
    environment["GRES"] = "gpu:1"
    command = [str(JOBS / "slurm.sh"), "a film.mkv", "out put.mp4", "--segments", "3"]
    folder = tmp_path / "out put.mp4.pieces"
    for missing in ("0,1,2", "2"):
        said = subprocess.run(
            command, cwd=tmp_path, env=environment, text=True, capture_output=True
        )
        assert said.returncode == 0, said.stderr
        pieces, join = (tmp_path / "submitted").read_text().splitlines()
        assert f"--array={missing} " in pieces and "--requeue" in pieces and "gpu:1" in pieces
        assert "--dependency=afterok:17" in join
        *painted, joined = (tmp_path / "ran").read_text().splitlines()
        assert painted == [
            f"piece {folder}/plan.json {i} --out {folder} --threads 4 --quiet"
            for i in missing.split(",")
        ]
        assert joined == f"join {folder}/plan.json {folder} out put.mp4"
        for file in ("submitted", "ran"):
            (tmp_path / file).unlink()
        for i in (0, 1):
            (folder / f"{i:05}.json").write_text("{}")


def test_kubernetes_jobs_are_jobs_with_the_commands_of_the_program() -> None:
    jobs = list(yaml.safe_load_all((JOBS / "kubernetes.yaml").read_text()))
    names = [job["metadata"]["name"] for job in jobs]
    assert names == ["stylize-plan", "stylize-pieces", "stylize-join"]
    for job in jobs:
        assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        verb = job["metadata"]["name"].removeprefix("stylize-").removesuffix("s")
        assert f"stylize {verb} " in container["args"][0]
        syntax = subprocess.run(["sh", "-n", "-c", container["args"][0]], capture_output=True)
        assert syntax.returncode == 0, syntax.stderr
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    plan, pieces, _ = (job["spec"] for job in jobs)
    assert pieces["completionMode"] == "Indexed"
    command = plan["template"]["spec"]["containers"][0]["args"][0].split()
    assert int(command[command.index("--segments") + 1]) == pieces["completions"]
