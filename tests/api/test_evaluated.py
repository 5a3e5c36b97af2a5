"""What Python's `evaluate` leaves behind is what the command leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Start
from mlflow import MlflowClient

import sgdflow
from sgdflow.errors import ConfigError

SIZES = "task.splits={train: 6, validation: 6, test: 8}"
pytestmark = pytest.mark.timeout(300)
WORDS = ("graph=desk", "task=tariff", "task.data.parts=2", "task.data.count=20", SIZES)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recorded(folder: Path) -> list[Mapping[str, Any]]:
    """Return name, tags and scores of the runs in the folder's store, by their directory."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    found: list[Mapping[str, Any]] = []
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id], order_by=["start_time"]):
            tags = {k: v for k, v in run.data.tags.items() if k.startswith("sgdflow.")}
            tags = {k: v for k, v in tags.items() if k not in OWN}
            scores = {k: v for k, v in run.data.metrics.items() if k.startswith("score")}
            status = run.info.status
            found.append({"name": run.info.run_name, "tags": tags, "scores": scores, "is": status})
    return found


OWN = ("sgdflow.directory", "sgdflow.started", "sgdflow.seconds")


def test_python_and_the_command_leave_the_same(here: Path, at: Start) -> None:
    code, _, err = at(here, "evaluate", *WORDS, "hydra.run.dir=command", "split=train")
    assert code == 0, err
    flow = sgdflow.load(*WORDS)
    evaluation = flow.evaluate("train", directory="python")
    command, python = recorded(here)
    assert command == python
    assert python["is"] == "FINISHED"
    assert python["tags"]["sgdflow.kind"] == "evaluation"
    mine, theirs = (
        json.loads((here / name / "evaluation.json").read_text(encoding="utf-8"))
        for name in ("python", "command")
    )
    assert mine["score"] == theirs["score"]
    assert python["scores"]["score_final/train"] == mine["score"]["mean"]
    summary = evaluation.summary()
    assert summary is not None
    assert summary.mean == mine["score"]["mean"]
    with pytest.raises(ConfigError, match=r"directory: .*python holds the records of a run"):
        flow.evaluate("train", directory="python")


def test_it_leaves_nothing_where_it_is_told_so(here: Path) -> None:
    quiet = sgdflow.load(*WORDS).evaluate("train", record=False)
    assert list(here.iterdir()) == []
    loud = sgdflow.load(*WORDS, "tracking=none").evaluate("train")
    assert quiet.scores == loud.scores
    assert [one.name for one in here.rglob("*.json")] == ["evaluation.json"]
    assert not (here / "mlflow.db").exists()


def test_a_split_that_is_none_is_told(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"split: there is no 'tets'. Did you mean 'test'"):
        sgdflow.load(*WORDS).evaluate("tets")
    assert list(here.iterdir()) == []
