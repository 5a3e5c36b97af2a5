"""Runs in an MLflow store; importing this imports no MLflow.

Everything goes through MlflowClient with run ids: the fluent API keeps the active run in global
state, which concurrent jobs of one process would share.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdflow.config.job import chosen_experiment, working_directory
from sgdflow.errors import ConfigError, listed, plural
from sgdflow.secrets import masked
from sgdflow.tracking import views
from sgdflow.tracking.ready import MARK, mark
from sgdflow.tracking.store import (
    alone,
    artifact_root,
    is_server,
    sqlite_file,
    sqlite_uri,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

STOP_REASON = "sgdflow.stop_reason"
RETURNED = "sgdflow.returned"
"""Whose texts a run returned, and why."""
PARENT = "mlflow.parentRunId"
TAG_LIMIT = 8000
_KEY = re.compile(r"[\w.\- :]+(/[\w.\- :]+)*")
_KEY_LIMIT, _PARAM_LIMIT, _BATCH, _SHOWN = 250, 6000, 100, 5
_ADVICE = "(raised as a result of Query-invoked autoflush"
_UNANSWERED = re.compile(r"Max retries exceeded.*?\(Caused by .*?: ([^:'\"]+)['\"]*\)+$")
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow may import litellm, which would look for prices on the network.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # The default waits minutes for a server that does not answer.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
_LOUD = {
    "alembic": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,  # errors reach the user in our own words
    "mlflow.tracking.fluent": logging.WARNING,
    "mlflow.pyfunc": logging.WARNING,
    "urllib3.connectionpool": logging.ERROR,  # what comes of trying again is told once
}


class Run:
    """One run in the store; every method may raise what MLflow raises."""

    def __init__(self, uri: str, experiment_id: str, run_id: str) -> None:
        self.id, self.experiment_id = run_id, experiment_id
        self._client = client(uri)
        self._left_out: set[str] = set()

    def log_params(self, values: Iterable[tuple[str, str]]) -> None:
        """Log texts by name; what MLflow has no room for is left out, never cut, and said."""
        from mlflow.entities import Param

        given = dict(values)
        self._say_left_out("parameter", given, _PARAM_LIMIT)
        fits = {k: v for k, v in given.items() if _is_key(k) and len(v) <= _PARAM_LIMIT}
        params = [Param(key, value) for key, value in fits.items()]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(self.id, params=params[start : start + _BATCH])

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log all of a step at once."""
        from mlflow.entities import Metric

        self._say_left_out("metric", dict.fromkeys(values, ""), 0)
        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step) for key, value in values.items() if _is_key(key)]
        self._client.log_batch(self.id, metrics=metrics)

    def _say_left_out(self, what: str, given: Mapping[str, str], most: int) -> None:
        """Say once by name what MLflow has no room for."""
        why = {key: "its name" for key in given if not _is_key(key)}
        why |= {
            key: f"{len(value):,} characters, {most:,} at most"
            for key, value in given.items()
            if len(value) > most and key not in why
        }
        new = [key for key in why if key not in self._left_out]
        self._left_out |= set(new)
        if new:
            shown = [f"{key} ({why[key]})" for key in new[:_SHOWN]]
            shown += [f"and {len(new) - _SHOWN} more"] if len(new) > _SHOWN else []
            log.warning(
                "MLflow has no room for %s: %s. The run directory has everything.",
                plural(len(new), what),
                listed(shown),
            )

    def log_text(self, text: str, path: str) -> None:
        """Write an artifact."""
        self._client.log_text(self.id, text, path)

    def log_file(self, path: Path) -> None:
        """Copy a file among the artifacts."""
        self._client.log_artifact(self.id, str(path))

    def tag(self, key: str, value: str) -> None:
        """Set a tag."""
        self._client.set_tag(self.id, key, value)

    def end(self, status: str) -> None:
        """Set the final status."""
        self._client.set_terminated(self.id, status)


def prepare(uri: str, experiment: str) -> str:
    """Make what is missing of the store and the experiment; return the experiment's id.

    Processes may do so at the same time. Raises ConfigError where nothing can be recorded.
    """
    with explained(uri):
        file = sqlite_file(uri)
        if file is not None and not file.exists():
            _create(file, uri, experiment)
        elif not is_server(uri):
            probe(uri)
        return _experiment_id(uri, experiment)


def start_run(uri: str, experiment_id: str, name: str, tags: Mapping[str, str]) -> Run:
    """Make a run in a prepared store; a tag that MLflow has no room for is left out, and said."""
    about = {"mlflow.source.name": "sgdflow", "mlflow.source.type": "LOCAL"}
    if found := _commit(working_directory()):
        about["mlflow.source.git.commit"] = found
    if chosen := chosen_experiment():
        about["sgdflow.experiment"] = chosen
    about |= {key: value for key, value in tags.items() if len(value) <= TAG_LIMIT}
    if long := [key for key, value in tags.items() if len(value) > TAG_LIMIT]:
        log.warning("MLflow has no room for the tags %s: %d characters.", listed(long), TAG_LIMIT)
    made = client(uri).create_run(experiment_id, run_name=name, tags=about)
    return Run(uri, experiment_id, made.info.run_id)


def client(uri: str) -> MlflowClient:
    """Return the client of a store."""
    quieten()
    from mlflow import MlflowClient

    # Prompts are kept where runs are, whatever the environment says of registries.
    return MlflowClient(uri, registry_uri=uri)


def probe(uri: str) -> list[str]:
    """Return the tables of a database.

    It fails now where the database does not answer: MLflow itself would retry for minutes.
    """
    quieten()
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    try:
        return sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()


def quieten() -> None:
    """Keep MLflow from telemetry, network look-ups and the noise of its migrations.

    Has to come before its first import.
    """
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    for name, level in _LOUD.items():
        logging.getLogger(name).setLevel(level)


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn whatever a store raises into a ConfigError that says what to do."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"MLflow cannot record runs in tracking.uri={masked(uri)}: {reason_of(error)}. "
            "Choose another tracking.uri, or run with tracking=none."
        ) from error


def reason_of(error: Exception) -> str:
    """Return the first line of what a store raised, without passwords."""
    lines = masked(str(error)).strip().splitlines()
    # SQLAlchemy may begin with advice to programmers.
    lines = [line for line in lines if not line.startswith(_ADVICE)]
    if lines and (match := _UNANSWERED.search(lines[0])):
        return f"nothing answers there ({match[1]})"
    return lines[0].rstrip(".") if lines else type(error).__name__


def _commit(folder: Path) -> str | None:
    """Return the git commit of a folder; None without git, a repository or a commit."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", "HEAD"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _create(file: Path, uri: str, experiment: str) -> None:
    """Make a sqlite store.

    It gets its name when it is complete: neither another process nor an interrupt leaves half of
    its migrations behind, which MLflow could never repair.
    """
    quieten()
    from mlflow.entities import ExperimentTag
    from mlflow.store.tracking import sqlalchemy_store

    make: Any = sqlalchemy_store.SqlAlchemyStore
    file.parent.mkdir(parents=True, exist_ok=True)
    lock, new = file.with_name(f"{file.name}.lock"), file.with_name(f"{file.name}.new")
    with alone(lock):
        if file.exists():
            return
        new.unlink(missing_ok=True)
        store = make(sqlite_uri(new), artifact_root(uri))
        tags = [ExperimentTag(views.TAG, views.view())]
        store.create_experiment(experiment, _artifacts(uri, experiment), tags)
        store.engine.dispose()
        new.replace(file)
        # Whoever still waits for this lock, or makes a new one, finds the store.
        lock.unlink()


def _experiment_id(uri: str, name: str) -> str:
    from mlflow.exceptions import MlflowException

    store = client(uri)
    found = store.get_experiment_by_name(name)
    if found is None:
        try:
            store.create_experiment(name, _artifacts(uri, name), {views.TAG: views.view()})
        except MlflowException:
            # Another process may have been faster.
            if store.get_experiment_by_name(name) is None:
                raise
        found = store.get_experiment_by_name(name)
        assert found is not None
    if found.lifecycle_stage != "active":
        raise ConfigError(
            f"tracking.experiment={name} was deleted in {masked(uri)}: choose another name, or "
            f"restore it with `mlflow experiments restore -x {found.experiment_id}`."
        )
    file = sqlite_file(uri)
    wanted = {views.TAG: views.view()}
    with suppress(sqlite3.Error):  # another process keeps it from being read
        wanted |= {MARK: mark(file)} if file else {}
    for tag, value in wanted.items():
        if found.tags.get(tag) != value:
            # Another process was faster, or may alone: runs need none of them.
            with suppress(MlflowException):
                store.set_experiment_tag(found.experiment_id, tag, value)
    return str(found.experiment_id)


def _artifacts(uri: str, experiment: str) -> str | None:
    root = artifact_root(uri)
    # No disk takes more than 255 bytes for a name, and runs below it have names of their own.
    folder = re.sub(r"[^\w.\-]+", "_", experiment).lstrip(".")[:60] or "_"
    return None if root is None else f"{root}/{folder}"


def _is_key(text: str) -> bool:
    """Say whether MLflow takes the text as a name."""
    clean = all(part not in (".", "..") for part in text.split("/"))
    return clean and len(text) <= _KEY_LIMIT and _KEY.fullmatch(text) is not None
