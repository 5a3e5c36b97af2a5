"""Stores that are opened beside the work, and those that are opened before it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sgdflow.errors import ConfigError
from sgdflow.tracking import mlflow as tracking
from sgdflow.tracking.client import client, prepare
from sgdflow.tracking.mlflow import MlflowTracker
from sgdflow.tracking.ready import is_ready
from sgdflow.tracking.store import sqlite_file, store_uri

RESULT = {
    "scores": {}, "calls": {"forward": 6}, "tokens": {}, "cost": {}, "nodes": {}, "faults": {},
    "steps": 1, "accepted": 0, "seconds": 1.0, "stop_reason": "steps: the only one was taken",
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store in a folder that is hard to write as an address."""
    uri = store_uri(None, tmp_path_factory.mktemp("a b%41 #é?"))
    prepare(uri, "known")
    return uri


def written(uri: str, statement: str) -> Callable[[], None]:
    """Return what changes the database."""

    def write() -> None:
        file = sqlite_file(uri)
        assert file is not None
        with closing(sqlite3.connect(file)) as found, found:
            assert found.execute(statement).rowcount == 1

    return write


def test_a_store_is_ready_where_this_mlflow_has_opened_it(store: str) -> None:
    assert is_ready(store, "known")
    assert not is_ready(store, "another experiment")
    for spoilt, mended in (
        ("UPDATE alembic_version SET version_num = 'f' || version_num",
         "UPDATE alembic_version SET version_num = substr(version_num, 2)"),
        ("UPDATE experiment_tags SET value = '2' || value WHERE key = 'sgdflow.opened'",
         "UPDATE experiment_tags SET value = substr(value, 2) WHERE key = 'sgdflow.opened'"),
        ("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'known'",
         "UPDATE experiments SET lifecycle_stage = 'active' WHERE name = 'known'"),
    ):  # fmt: skip
        written(store, spoilt)()
        assert not is_ready(store, "known")
        written(store, mended)()
        assert is_ready(store, "known")


def test_a_new_store_is_ready_where_a_file_can_be_made(tmp_path: Path) -> None:
    assert is_ready(store_uri(None, tmp_path / "new" / "folder"), "any")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "folder"]
    (tmp_path / "file").write_text("no database")
    assert not is_ready(store_uri(None, tmp_path / "file"), "any")
    assert not is_ready(store_uri(f"sqlite:///{tmp_path}/file"), "any")
    assert not is_ready("http://127.0.0.1:1", "any")
    assert not is_ready("postgresql://host/runs", "any")


class Opening:
    """Opens stores when it is told to, as often as not."""

    def __init__(self, failures: int = 0) -> None:
        self.may, self.failures = threading.Event(), failures

    def __call__(self, uri: str, experiment: str) -> str:
        assert self.may.wait(100)
        if self.failures:
            self.failures -= 1
            raise ConfigError("the disk is full")
        return prepare(uri, experiment)


def recorded(uri: str, opening: Opening) -> Any:
    """Record a run that is over before the store is open; return what MLflow has of it."""
    tracker = MlflowTracker(uri, "known", None, prompts=True, traces=0, beside=True)
    tracker.started("n", {"a": {"b": 1}}, {"sgdflow.graph": "g"}, {"p.q": "text"})
    tracker.scored("initial", {"train": {"mean": 0.5, "low": 0.0, "high": 1.0}})
    opening.may.set()
    tracker.finished(RESULT, Path("nowhere"))
    assert tracker.run_id is None
    experiment = client(uri).get_experiment_by_name("known")
    assert experiment is not None
    found = client(uri).search_runs([experiment.experiment_id])
    assert len(found) == 1
    client(uri).delete_run(found[0].info.run_id)
    return found[0]


@pytest.mark.parametrize("failures", [0, 1])
def test_a_run_does_not_wait_for_a_store_that_is_ready(
    failures: int, store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "prepare", opening := Opening(failures))
    run = recorded(store, opening)
    assert (run.info.status, run.data.params) == ("FINISHED", {"a.b": "1"})
    assert run.data.metrics["score_initial/train"] == 0.5
    assert {one.path for one in client(store).list_artifacts(run.info.run_id)} == {
        "config.yaml",
        "parameters",
    }
    told = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert told == failures * [
        "MLflow has not recorded the start of the run (the disk is full). The run goes on, its "
        "directory has everything; what is missing is tried again at the end.",
        "MLflow has recorded what was missing.",
    ]


def test_a_store_that_may_not_be_ready_is_opened_before_anything_is_paid(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "prepare", opening := Opening(failures=1))
    opening.may.set()
    with pytest.raises(ConfigError, match="the disk is full"):
        MlflowTracker(store, "not opened yet", None, beside=True).started("n", {}, {}, {})
