"""Sweeps on other engines end as with Hydra's own launcher; `make test-engines` tries them all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import clusters
import pytest
from started import left_behind, start

from sgdflow.tracking.client import client
from sgdflow.tracking.store import sqlite_uri

ENGINES = os.environ.get("SGDFLOW_ENGINES", "").split()
"""Launchers to try, and joblib with an MLflow server; where nothing is said joblib alone."""
JOBS = 6 if ENGINES else 2
pytestmark = pytest.mark.timeout(1800 if ENGINES else 900)
WORDS = ["optimize", "-m", f"seed={','.join(map(str, range(JOBS)))}", "method.stop.steps=2"]
WORDS += ["task.splits.train=8", "task.splits.validation=6", "task.splits.test=6"]
STARTED = {"ray": clusters.ray_cluster, "slurm": clusters.slurm, "mlflow": clusters.mlflow}
LAUNCHERS = {"mlflow": "joblib"}
PLUGINS = {
    "joblib": "joblib",
    "mlflow": "joblib",
    "ray": "ray",
    "slurm": "submitit",
    "slurm_local": "submitit",
}


@dataclass(frozen=True)
class Engine:
    """A launcher, and a folder in which commands are given."""

    folder: Path
    words: Sequence[str]
    environ: Mapping[str, str]

    def start(self, said: Path) -> subprocess.Popen[bytes]:
        words = [*WORDS, "hydra.sweep.dir=all", *self.words]
        words.append(f"tracking.experiment={self.folder.name}")
        with said.open("w") as out:
            return start(self.folder, *words, env=self.environ, stdout=out, stderr=out)

    def run(self) -> tuple[int, str]:
        said = self.folder / "said.txt"
        return self.start(said).wait(), said.read_text()

    def results(self) -> dict[str, Any]:
        """Return what the jobs have left behind, but for how long they took."""
        return {str(job): left_behind(self.folder / "all" / str(job)) for job in range(JOBS)}

    def unfinished(self) -> set[int]:
        """Return the jobs that have no result yet."""
        return {
            job
            for job in range(JOBS)
            if not (self.folder / "all" / str(job) / "result.json").is_file()
        }

    def recorded(self) -> tuple[str, list[tuple[str, str]]]:
        """Return how the parent run ended, and its jobs' names with how they ended."""
        said = [word.partition("=")[2] for word in self.words if word.startswith("tracking.uri")]
        store = client(said[0] if said else sqlite_uri(self.folder / "mlflow.db"))
        experiment = store.get_experiment_by_name(self.folder.name)
        assert experiment is not None
        runs = store.search_runs([experiment.experiment_id])
        [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        jobs = [run for run in runs if run is not parent]
        assert {run.data.tags["mlflow.parentRunId"] for run in jobs} == {parent.info.run_id}
        assert "seed" in parent.data.tags["mlflow.note.content"]
        return parent.info.status, sorted((run.info.run_name, run.info.status) for run in jobs)


ENDED = ("FINISHED", sorted((f"seed={job}", "FINISHED") for job in range(JOBS)))


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Hydra's own launcher brings."""
    engine = Engine(tmp_path_factory.mktemp("basic"), (), {})
    code, said = engine.run()
    assert code == 0, said
    assert engine.recorded() == ENDED
    return engine.results()


def test_the_engines_that_are_asked_for_are_known() -> None:
    assert set(ENGINES) <= {*PLUGINS, "mlflow", "optuna"}


@pytest.fixture(
    params=[one for one in ENGINES if one in PLUGINS] if ENGINES else ["joblib"], scope="module"
)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    name = str(request.param)
    if find_spec(f"hydra_plugins.hydra_{PLUGINS[name]}_launcher") is None:
        clusters.lacking(f"pip install 'sgdflow[{LAUNCHERS.get(name, name).partition('_')[0]}]'")
    begin = STARTED.get(name, clusters.nothing)
    with begin(tmp_path_factory.mktemp(f"{name}-engine")) as (words, environ):
        launcher = LAUNCHERS.get(name, name)
        yield Engine(Path(), [f"hydra/launcher={launcher}", *words], environ)


def test_results_are_those_of_hydras_own_launcher(
    engine: Engine, basic: dict[str, Any], tmp_path: Path
) -> None:
    here = Engine(tmp_path, engine.words, engine.environ)
    code, said = here.run()
    assert code == 0, said
    assert here.results() == basic
    assert here.recorded() == ENDED


@pytest.mark.skipif(not ENGINES, reason="takes minutes: make test-engines")
def test_a_killed_worker_and_a_killed_launcher_go_on_with_the_same_command(
    engine: Engine, basic: dict[str, Any], tmp_path: Path
) -> None:
    here = Engine(tmp_path, engine.words, engine.environ)
    launcher = here.start(tmp_path / "first.txt")
    worker = worker_of(here, launcher)
    assert worker is not None, (tmp_path / "first.txt").read_text()
    os.kill(worker, signal.SIGKILL)
    ended(here, launcher)
    # Ray gives a killed job to another worker: there may be nothing left to do.
    left = here.unfinished()
    launcher = here.start(tmp_path / "second.txt")
    assert worker_of(here, launcher) or here.unfinished() < left or not left, (
        tmp_path / "second.txt"
    ).read_text()
    launcher.kill()
    launcher.wait()
    for _ in range(30):
        code, said = here.run()
        if not code:
            break
        # Workers of the killed launcher may still be about their jobs.
        assert "is in use by process" in said, said
        time.sleep(5)
    assert code == 0
    assert here.results() == basic
    assert here.recorded() == ENDED


def ended(engine: Engine, launcher: subprocess.Popen[bytes]) -> None:
    """Wait for the launcher; end it where it waits for the killed job, with all others done.

    submitit does, on a Slurm without accounting, which cannot tell it of a killed job.
    """
    patience = 0
    while launcher.poll() is None and patience < 60:
        patience += len(engine.unfinished()) <= 1
        time.sleep(1)
    launcher.kill()
    launcher.wait()


def worker_of(engine: Engine, launcher: subprocess.Popen[bytes]) -> int | None:
    """Return the process that is about a job, as soon as there is one; None where nothing is."""
    end = time.monotonic() + 600
    while time.monotonic() < end and launcher.poll() is None and (left := engine.unfinished()):
        for job in left:
            try:
                owner = json.loads((engine.folder / "all" / str(job) / "owner.json").read_text())
            except (OSError, ValueError):
                continue
            process = int(owner["process"])
            if process != launcher.pid:
                return process
        time.sleep(0.05)
    return None
