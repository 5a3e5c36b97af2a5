"""Where runs are recorded; importing this imports no MLflow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from sgdflow.secrets import masked
from sgdflow.tracking.store import VARIABLE, store_uri
from sgdflow.tracking.traces import Nodes

log = logging.getLogger(__name__)

__all__ = [
    "EVALUATION",
    "KIND",
    "MEMORY",
    "NO_CALLS",
    "NO_NODES",
    "PARENT_RUN",
    "PROBE",
    "RUN_NAME",
    "NullTracker",
    "Settings",
    "Shown",
    "Tracker",
    "open_tracker",
    "say_environment",
    "store_uri",
]

PARENT_RUN = "SGDFLOW_PARENT_RUN"
"""Environment variable with the id of the run that the jobs of a multirun belong to."""
RUN_NAME = "SGDFLOW_RUN_NAME"
"""Environment variable with what sets such a job apart from the others."""
NO_NODES: Nodes = MappingProxyType({})
NO_CALLS: Mapping[str, Sequence[float]] = MappingProxyType({})
_NOT_FOLLOWED = {
    "MLFLOW_EXPERIMENT_ID": "name the experiment with tracking.experiment=NAME.",
    "MLFLOW_REGISTRY_URI": "prompts and models are kept where runs are (tracking.uri).",
    "MLFLOW_RUN_ID": "every run is a new one; a run directory goes on in its own.",
}
KIND, EVALUATION, PROBE = "sgdflow.kind", "evaluation", "probe"
"""Tag of a run that is no optimisation, and its values for one that only scores or asks."""
MEMORY = "mlflow.json"
"""File of a run or sweep directory that says which MLflow run it is recorded in."""


Shown = Callable[[int], Sequence[Mapping[str, Any]]]
"""Returns records of so many of the wrongest and of the rightest examples."""


class Tracker(Protocol):
    """Sees one run; its records are those of the run directory (docs/files.md)."""

    def started(
        self,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parameters: Mapping[str, Any],
        nodes: Nodes = NO_NODES,
    ) -> None:
        """See the configuration as it is written, the parameters at the start and the graph.

        Raises ConfigError where nothing can be recorded: nothing has been spent yet. What fails
        later is a warning, as the run directory holds the same records.
        """

    def scored(self, when: str, scores: Mapping[str, Mapping[str, Any] | None]) -> None:
        """See the scores by split; `when` is "initial" before the first step."""

    def stepped(
        self,
        record: Mapping[str, Any],
        calls: Mapping[str, Any],
        seconds: Mapping[str, Sequence[float]] = NO_CALLS,
    ) -> None:
        """See a step's lines of steps.jsonl and calls.jsonl.

        `seconds` are what calls really made in the step took, by role.
        """

    def answered(self, shown: Shown) -> None:
        """See how some examples were answered at the end."""

    def finished(self, result: Mapping[str, Any], folder: Path) -> None:
        """See result.json and the run directory it stands in."""

    def evaluated(self, record: Mapping[str, Any], folder: Path) -> None:
        """See evaluation.json and the directory it stands in."""

    def probed(self, record: Mapping[str, Any], folder: Path) -> None:
        """See probe.json and the directory it stands in."""

    def failed(self, reason: str) -> None:
        """See that the run ended without a result."""

    def stopped(self, reason: str) -> None:
        """See that someone ended the run."""


class NullTracker:
    """Records nothing."""

    def started(
        self,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parameters: Mapping[str, Any],
        nodes: Nodes = NO_NODES,
    ) -> None:
        """Record nothing."""

    def scored(self, when: str, scores: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Record nothing."""

    def stepped(
        self,
        record: Mapping[str, Any],
        calls: Mapping[str, Any],
        seconds: Mapping[str, Sequence[float]] = NO_CALLS,
    ) -> None:
        """Record nothing."""

    def answered(self, shown: Shown) -> None:
        """Record nothing."""

    def finished(self, result: Mapping[str, Any], folder: Path) -> None:
        """Record nothing."""

    def evaluated(self, record: Mapping[str, Any], folder: Path) -> None:
        """Record nothing."""

    def probed(self, record: Mapping[str, Any], folder: Path) -> None:
        """Record nothing."""

    def failed(self, reason: str) -> None:
        """Record nothing."""

    def stopped(self, reason: str) -> None:
        """Record nothing."""


class Settings(Protocol):
    """The `tracking` part of a configuration."""

    @property
    def kind(self) -> str:
        """Return "mlflow" or "none"."""

    @property
    def uri(self) -> str | None:
        """Return the address of the store; None is mlflow.db in the working directory."""

    @property
    def experiment(self) -> str:
        """Return the name that runs are filed under."""

    @property
    def prompts(self) -> bool:
        """Return whether accepted texts become versions in the Prompt Registry."""

    @property
    def traces(self) -> int:
        """Return how many examples of each step are traced."""


def say_environment(environ: Mapping[str, str], uri: str | None, experiment: str) -> None:
    """Say which of MLflow's own variables decide where runs are recorded, and which do not."""
    followed = {VARIABLE: uri, "MLFLOW_EXPERIMENT_NAME": experiment}
    for name, value in followed.items():
        if environ.get(name) and environ[name] == value:
            log.info("Recorded as %s says: %s", name, masked(environ[name]))
        elif environ.get(name):
            key = "tracking.uri" if name == VARIABLE else "tracking.experiment"
            log.info("%s is not followed: %s says otherwise.", name, key)
    for name in _NOT_FOLLOWED:
        if environ.get(name):
            log.warning("%s is not followed: %s", name, _NOT_FOLLOWED[name])


def open_tracker(
    settings: Settings,
    environ: Mapping[str, str],
    folder: Path | None = None,
    *,
    beside: bool = False,
) -> Tracker:
    """Return the declared tracker; a job of a multirun finds its parent in `environ`.

    A run directory whose run did not end well is recorded in the same run again. MLflow may be
    imported `beside` the work where nobody else in this process imports it meanwhile.
    """
    if settings.kind == "none":
        return NullTracker()
    from sgdflow.tracking.mlflow import MlflowTracker

    if PARENT_RUN not in environ:  # else the multirun has said it
        say_environment(environ, settings.uri, settings.experiment)

    memory = folder / MEMORY if folder else None
    return MlflowTracker(
        settings.uri,
        settings.experiment,
        environ.get(PARENT_RUN),
        memory,
        name=environ.get(RUN_NAME) or None,
        prompts=settings.prompts,
        traces=settings.traces,
        beside=beside,
    )
