"""Tracking across processes: a new store, multiruns and the UI."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgdflow.errors import ConfigError
from sgdflow.tracking import store_uri
from sgdflow.tracking.client import client
from sgdflow.tracking.mlflow import MlflowTracker
from sgdflow.tracking.store import sqlite_file
from sgdflow.tracking.ui import serve

ROOT = Path(__file__).resolve().parents[2]


TEXT = "Use {{ weight }} and ${zone}:\n  名前"

# Forked after the import, all four come to the missing store at the same moment.
TOGETHER = """
import multiprocessing, sys
from sgdflow.tracking.client import prepare, quieten

def start(uri, gate):
    gate.wait()
    print(prepare(uri, "shared"), end="", flush=True)

quieten()
import mlflow.store.tracking.sqlalchemy_store
context = multiprocessing.get_context("fork")
gate = context.Barrier(4)
jobs = [context.Process(target=start, args=(sys.argv[1], gate)) for _ in range(4)]
for job in jobs:
    job.start()
for job in jobs:
    job.join()
sys.exit(max(job.exitcode for job in jobs))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a store that four processes made together."""
    folder = tmp_path_factory.mktemp("a b%41 #é")
    uri = store_uri(None, folder / "new" / "folder")
    done = run([sys.executable, "-c", TOGETHER, uri], folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1111", "")
    return uri


def test_processes_that_start_together_make_one_store(store: str) -> None:
    file = sqlite_file(store)
    assert file is not None
    assert [path.name for path in file.parent.iterdir()] == ["mlflow.db"]
    assert [one.name for one in client(store).search_experiments()] == ["shared", "Default"]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


APP = """
import os, signal, sys, hydra
from pathlib import Path
from sgdflow.tracking import open_tracker

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    if config.n == 7:
        raise ValueError("a mistake in the configuration")
    tracker = open_tracker(config.tracking, os.environ)
    tracker.started("a run's own name", {"n": config.n}, {"sgdflow.graph": "tiny"}, {})
    try:
        if config.n == 9:
            os.kill(os.getpid(), signal.SIGINT)
        1 / config.n
    except KeyboardInterrupt:
        tracker.stopped("interrupted")
        raise
    except Exception as error:
        tracker.failed(repr(error))
        raise
    final = SCORE | {"mean": config.n / 10}
    tracker.finished(RESULT | {"scores": {"test": {"initial": SCORE, "final": final}}}, Path("."))

SCORE = {"mean": 0.5, "n": 4, "low": 0.2, "high": 0.8, "failed": 0}
RESULT = {"calls": {}, "tokens": {}, "steps": 0, "accepted": 0, "seconds": 0}
RESULT["stop_reason"] = "done"
try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
"""
CONFIG = """
defaults: [{tracking: mlflow}, _self_]
n: 1
hydra:
  searchpath: ["file://%s"]
  callbacks: {sweep: {_target_: sgdflow.cli.sweep.Sweep}}
"""


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "conf").mkdir()
    (folder / "conf" / "config.yaml").write_text(CONFIG % (ROOT / "conf"))
    (folder / "app.py").write_text(APP)
    return run([sys.executable, "app.py", *words], folder)


def family(uri: str, experiment: str) -> tuple[Any, dict[str, str]]:
    """Return the parent run and the status of its jobs by name."""
    found = client(uri).get_experiment_by_name(experiment)
    assert found is not None
    runs = client(uri).search_runs([found.experiment_id])
    (parent,) = [one for one in runs if "mlflow.parentRunId" not in one.data.tags]
    jobs = [one for one in runs if one.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(jobs) == len(runs) - 1
    return parent, {one.info.run_name: one.info.status for one in jobs}


@pytest.mark.parametrize(
    ("numbers", "code", "parent_status", "statuses"),
    [
        ("1,2", 0, "FINISHED", {"n=1": "FINISHED", "n=2": "FINISHED"}),
        ("0,2", 1, "FAILED", {"n=0": "FAILED", "n=2": "FINISHED"}),
        ("2,9,1", 130, "KILLED", {"n=2": "FINISHED", "n=9": "KILLED"}),
    ],
)
def test_a_multirun_is_a_parent_with_its_jobs(
    store: str,
    tmp_path: Path,
    numbers: str,
    code: int,
    parent_status: str,
    statuses: dict[str, str],
) -> None:
    experiment = f"sweep {numbers}"
    done = sweep(
        tmp_path,
        "-m",
        f"n={numbers}",
        f"tracking.uri='{store}'",
        f"tracking.experiment='{experiment}'",
    )
    assert done.returncode == code, done.stderr
    parent, jobs = family(store, experiment)
    assert jobs == statuses
    assert parent.info.status == parent_status
    assert parent.info.run_name == "multirun over n"
    tags = parent.data.tags
    assert f"n={numbers}" in tags["sgdflow.overrides"]
    assert tags["mlflow.note.content"].startswith("## Scores and spending")
    assert "| 0.200 n=1 |" in tags["mlflow.note.content"]
    assert parent.data.metrics["score_final/test"] == 0.2
    assert tags["sgdflow.best"] == "n=2 (by its test score)"
    files = {one.path for one in client(store).list_artifacts(parent.info.run_id)}
    assert files >= {"compare.md", "compare.svg", "cells.csv", "runs.csv"}


def test_a_multirun_none_of_whose_jobs_began_leaves_no_run(store: str, tmp_path: Path) -> None:
    words = (f"tracking.uri='{store}'", "tracking.experiment=mistaken")
    assert sweep(tmp_path, "-m", "n=7,7", *words).returncode == 1
    found = client(store).get_experiment_by_name("mistaken")
    assert found is not None
    assert list(client(store).search_runs([found.experiment_id])) == []


def test_a_multirun_without_mlflow_leaves_nothing(tmp_path: Path) -> None:
    done = sweep(tmp_path, "-m", "n=1,2", "tracking=none")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.py", "conf", "multirun"]


def test_a_multirun_that_cannot_be_recorded_starts_no_job(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 50)
    # Hydra itself resolves ${hydra:runtime.cwd} only in a job.
    done = sweep(tmp_path, "-m", "n=1,2", "tracking.uri='sqlite:///${hydra:runtime.cwd}/text.db'")
    assert done.returncode == 1
    assert done.stderr.startswith("MLflow cannot record runs in tracking.uri=sqlite:///")
    assert not (tmp_path / "multirun").exists()


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start_ui(store: str, folder: Path, port: int) -> subprocess.Popen[str]:
    served = f"serve({store!r}, {port}, experiment='shown')"
    code = f"from sgdflow.tracking.ui import serve; raise SystemExit({served})"
    command = [sys.executable, "-P", "-c", code]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


def test_the_ui_comes_up_and_leaves_no_process(store: str, tmp_path: Path, port: int) -> None:
    tracker = MlflowTracker(store, "shown", None)
    tracker.started("n", {}, {}, {"hint.instruction": TEXT})
    (tmp_path / "mlflow").mkdir()  # must not be taken for the package
    with start_ui(store, tmp_path, port) as ui:
        assert ui.stdout is not None
        shown = client(store).get_experiment_by_name("shown")
        assert shown is not None
        address = f"http://127.0.0.1:{port}"
        page = f"{address}/#/experiments/{shown.experiment_id}/runs?viewStateShareKey=sgdflow"
        assert ui.stdout.readline() == f"MLflow UI: {page} (Ctrl-C stops)\n"
        with urllib.request.urlopen(f"{address}/health") as answer:
            assert answer.read() == b"OK"
        wanted = f"get-artifact?path=parameters/initial.yaml&run_uuid={tracker.run_id}"
        with urllib.request.urlopen(f"{address}/{wanted}") as answer:
            assert yaml.safe_load(answer.read()) == {"hint.instruction": TEXT}
        (group,) = [pid for pid, parent, _ in processes() if parent == ui.pid]
        assert len([pid for pid, _, of in processes() if of == group]) > 1
        ui.send_signal(signal.SIGTERM)
        assert ui.wait(timeout=30) == 0
        assert ui.stdout.read() == ""
    assert [pid for pid, _, of in processes() if of == group] == []
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow"]


def test_the_ui_can_be_stopped_before_it_is_up(store: str, tmp_path: Path, port: int) -> None:
    with start_ui(store, tmp_path, port) as ui:
        end = time.monotonic() + 30
        while not (servers := [pid for pid, parent, _ in processes() if parent == ui.pid]):
            assert time.monotonic() < end
        ui.send_signal(signal.SIGINT)
        assert ui.wait(timeout=30) == 0
        assert ui.stdout is not None
        assert ui.stdout.read() == ""
    assert [pid for pid, _, group in processes() if group == servers[0]] == []


def processes() -> Iterator[tuple[int, int, int]]:
    """Yield id, parent and group of every process that runs."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid,ppid,pgid,stat"], capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines()[1:]:
        pid, parent, group, state = line.split()
        if not state.startswith("Z"):
            yield int(pid), int(parent), int(group)


def test_the_ui_says_what_is_in_its_way(store: str, tmp_path: Path, port: int) -> None:
    with pytest.raises(ConfigError, match=r"no runs at .*: run `sgdflow optimize` first"):
        serve(store_uri(None, tmp_path), port)
    with pytest.raises(ConfigError, match="is a server with its own UI"):
        serve("http://me:S3CRET@host:5000", port)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigError, match="--port"):
        serve(store, port)
    with pytest.raises(ConfigError, match="--port"):
        serve(store, 70000)
