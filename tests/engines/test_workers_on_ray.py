"""One run whose examples workers of a Ray cluster score, one on each of two nodes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import clusters
import pytest
from started import FILES, left_behind, run

WORDS = ["optimize", "method.stop.steps=2", "tracking=none", "task.splits.train=16"]
WORDS += ["task.splits.validation=6", "task.splits.test=6"]
pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        "ray" not in os.environ.get("SGDFLOW_ENGINES", "").split(),
        reason="takes minutes: make test-engines",
    ),
]


def test_results_are_those_of_one_process(tmp_path: Path) -> None:
    alone = ended(tmp_path, "hydra.run.dir=alone")
    with clusters.ray_cluster(tmp_path / "nodes") as (words, _):
        address = words[0].partition("=")[2]
        more = ["workers.count=2", "workers.where=ray", f"workers.address={address}"]
        assert ended(tmp_path, "hydra.run.dir=shared", *more) == alone


def test_a_cluster_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words = ["workers.count=2", "workers.where=ray", "workers.address=127.0.0.1:1"]
    code, said = run(tmp_path, *WORDS, *words)
    assert code == 1
    assert "workers.address=127.0.0.1:1: " in said
    assert "`ray start --head`" in said
    assert "Traceback" not in said


def ended(folder: Path, *words: str) -> dict[str, Any]:
    code, said = run(folder, *WORDS, *words)
    assert code == 0, said
    return left_behind(folder / words[0].partition("=")[2], (*FILES, "calls.jsonl"))
