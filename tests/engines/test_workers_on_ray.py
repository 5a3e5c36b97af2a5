"""One run whose examples workers of a Ray cluster score, one on each of two nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import clusters
import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ("parameters.yaml", "steps.jsonl", "examples.jsonl", "calls.jsonl")
WORDS = ["optimize", "method.stop.steps=2", "tracking=none", "task.splits.train=16"]
WORDS += ["task.splits.validation=6", "task.splits.test=6"]
pytestmark = [
    pytest.mark.xdist_group("engines"),
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        "ray" not in os.environ.get("SGDFLOW_ENGINES", "").split(),
        reason="takes minutes: make test-engines",
    ),
]


def test_results_are_those_of_one_process(tmp_path: Path) -> None:
    alone = run(tmp_path, "hydra.run.dir=alone")
    with clusters.ray_cluster(tmp_path / "nodes") as (words, _):
        address = words[0].partition("=")[2]
        more = ["workers.count=2", "workers.where=ray", f"workers.address={address}"]
        assert run(tmp_path, "hydra.run.dir=shared", *more) == alone


def test_a_cluster_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words = ["workers.count=2", "workers.where=ray", "workers.address=127.0.0.1:1"]
    code, said = started(tmp_path, *words)
    assert code == 1
    assert "workers.address=127.0.0.1:1: " in said
    assert "`ray start --head`" in said
    assert "Traceback" not in said


def run(folder: Path, *words: str) -> dict[str, Any]:
    code, said = started(folder, *words)
    assert code == 0, said
    place = folder / words[0].partition("=")[2]
    result = json.loads((place / "result.json").read_text())
    found: dict[str, Any] = {name: (place / name).read_bytes() for name in FILES}
    return {**found, "result.json": {k: v for k, v in result.items() if k != "seconds"}}


def started(folder: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "sgdflow", *WORDS, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr
