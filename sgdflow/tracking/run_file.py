"""Which MLflow run a directory is recorded in (its mlflow.json), and what that run has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sgdflow.records import read_json
from sgdflow.tracking.client import STOP_REASON, Run, client


@dataclass(frozen=True, slots=True)
class Logged:
    """What must not be logged again."""

    params: frozenset[str] = frozenset()
    metrics: frozenset[str] = frozenset()
    steps: frozenset[int] = frozenset()


def remember(file: Path | None, run_id: str, status: str) -> None:
    """Write down the run of a directory."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f"{file.name}.new")
        new.write_text(json.dumps({"run_id": run_id, "status": status}) + "\n", encoding="utf-8")
        new.replace(file)


def reopened(uri: str, experiment_id: str, file: Path, *, finished: bool = False) -> Run | None:
    """Return the run of a directory, running again; None where there is none to go on with.

    A run that has ended well is gone on with only if `finished`.
    """
    from mlflow.exceptions import MlflowException

    known, run_id = read_json(file) or {}, run_id_of(file)
    if run_id is None or (known.get("status") == "FINISHED" and not finished):
        return None
    store = client(uri)
    try:
        info = store.get_run(run_id).info
    except MlflowException:
        return None
    if info.experiment_id != experiment_id or info.lifecycle_stage != "active":
        return None
    store.update_run(info.run_id, status="RUNNING")
    return Run(uri, experiment_id, info.run_id)


def logged(uri: str, run: Run) -> Logged:
    """Return what a run has."""
    store = client(uri)
    data = store.get_run(run.id).data
    if STOP_REASON in data.tags:
        store.delete_tag(run.id, STOP_REASON)
    steps = (metric.step for metric in store.get_metric_history(run.id, "step/accepted"))
    return Logged(frozenset(data.params), frozenset(data.metrics), frozenset(steps))


def run_id_of(file: Path) -> str | None:
    """Return the id of the run that a directory is recorded in, None where it says none."""
    run_id = (read_json(file) or {}).get("run_id")
    return run_id if isinstance(run_id, str) else None
