"""A store of runs that fails in the middle of one: the run goes on and says so once."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sgdflow.tracking import writer
from sgdflow.tracking.client import client
from sgdflow.tracking.mlflow import MlflowTracker
from sgdflow.tracking.store import store_uri
from sgdflow.tracking.writer import Writer

RESULT = {
    "scores": {}, "calls": {"forward": 6}, "tokens": {}, "cost": {}, "nodes": {}, "faults": {},
    "steps": 2, "accepted": 0, "seconds": 1.0, "stop_reason": "steps: all 2 were taken",
}  # fmt: skip


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


class Store:
    """Takes what it is given while it is there."""

    def __init__(self) -> None:
        self.there = True
        self.has: list[str] = []
        self.tried = 0

    def take(self, what: str) -> Callable[[], None]:
        def write() -> None:
            self.tried += 1
            if not self.there:
                raise sqlite3.OperationalError("database is locked\nand more")
            self.has.append(what)

        return write


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.002)
    assert true()


@pytest.mark.parametrize("back", [True, False])
def test_a_store_that_is_gone_is_told_once_and_tried_again_at_the_end(
    back: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, records = Store(), Writer()
    records.put("step 1", store.take("1"))
    wait_until(lambda: store.has == ["1"])
    store.there = False
    for number in (2, 3, 4):
        records.put(f"step {number}", store.take(f"{number}"))
    wait_until(lambda: len(records._missing) == 3)
    assert store.tried == 2  # a store that is gone is not waited for with each write
    store.there = back
    monkeypatch.setattr(writer, "_PAUSE", 30.0)
    records.close()
    first, last = said(caplog)
    assert first == (
        "MLflow has not recorded step 2 (database is locked). The run goes on, its directory has "
        "everything; what is missing is tried again at the end."
    )
    if back:
        assert store.has == ["1", "2", "3", "4"]
        assert last == "MLflow has recorded what was missing."
    else:
        assert last == (
            "MLflow has not recorded: step 2, step 3, step 4. The run directory has it."
        )


def test_a_single_write_that_fails_does_not_hold_up_the_others_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "_PAUSE", 0.0)
    store, records = Store(), Writer()
    records.put("a picture", lambda: 1 / 0)
    records.put("step 1", store.take("1"))
    wait_until(lambda: store.has == ["1"])
    records.close()


def record(folder: Path, name: str, spoil: Callable[[], object]) -> tuple[str, str]:
    """Record a run whose store is spoilt in the middle; return its id and remembered status."""
    uri, memory = store_uri(None, folder), folder / f"{name}.json"
    tracker = MlflowTracker(uri, "e", None, memory, prompts=False, traces=0)
    tracker.started(name, {"a": 1}, {}, {"p.q": "text"})
    assert tracker.run_id is not None  # the store is open
    spoil()
    tracker.scored("initial", {"train": {"mean": 0.5, "low": 0.0, "high": 1.0}})
    (folder / "result.json").write_text("{}")
    tracker.finished(RESULT, folder)
    remembered = json.loads(memory.read_text())
    return remembered["run_id"], remembered["status"]


def test_a_run_outlives_its_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    artifacts, file = tmp_path / "mlartifacts", tmp_path / "mlflow.db"

    def replace_artifacts() -> None:
        shutil.rmtree(artifacts)
        artifacts.write_text("")

    run, status = record(tmp_path, "no artifacts", replace_artifacts)
    assert len(said(caplog)) == 2
    # Metrics and the end are recorded all the same.
    found = client(store_uri(None, tmp_path)).get_run(run)
    assert (status, found.info.status) == ("FINISHED", "FINISHED")
    assert found.data.metrics["score_initial/train"] == 0.5
    artifacts.unlink()
    caplog.clear()
    _, status = record(tmp_path, "no database", file.unlink)
    assert status == "RUNNING"  # started again, the run is recorded from the stored replies
    first, last = said(caplog)
    assert "the initial scores ((sqlite3.OperationalError) attempt to write a readonly" in first
    assert last.startswith("MLflow has not recorded: the initial scores, the result, why")
