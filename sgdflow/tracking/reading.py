"""Recorded runs, read back from an MLflow store."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgdflow.config.documents import read_mapping
from sgdflow.errors import ConfigError, did_you_mean, listed
from sgdflow.records.texts import TEXTS
from sgdflow.secrets import masked
from sgdflow.tracking import EVALUATION, KIND, PROBE
from sgdflow.tracking.client import PARENT, STOP_REASON, client, probe, reason_of
from sgdflow.tracking.store import check_exists, is_server

_KIND, _MULTIRUN = KIND, "multirun"
_IS_MULTIRUN = f"tags.`{_KIND}` = '{_MULTIRUN}'"
_ID = re.compile(r"[0-9a-f]{6,32}")
_PAGE = 1000
_EXAMPLES = "examples.jsonl"
_FILES = ("config.yaml", "parameters.yaml", "result.json", "steps.jsonl", TEXTS)


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What the store says of one run."""

    id: str
    name: str
    status: str
    """FINISHED, FAILED, KILLED, RUNNING or SCHEDULED."""
    reason: str
    """Why it ended; empty where it has not."""
    params: Mapping[str, str]
    """The configuration, by dotted key."""
    metrics: Mapping[str, float]
    """The last value of each."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The parameters of a run."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which runs: all conditions that are given hold; without any, the latest multirun."""

    parent: str | None = None
    """Id (or its first six characters and more) or name of a multirun."""
    experiment: str | None = None
    where: str | None = None
    """A filter in MLflow's own words."""


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of a selection, in the order in which they started."""

    title: str
    runs: tuple[RecordedRun, ...]


class RunReader:
    """Reads a store; every method raises ConfigError for what the user can mend."""

    def __init__(self, uri: str) -> None:
        check_exists(uri)
        self._uri = uri
        with self._readable():
            # MLflow would make its tables in a database that has none.
            if not is_server(uri) and "runs" not in probe(uri):
                raise ConfigError(f"tracking.uri={masked(uri)} is a database without MLflow runs.")
            self._client = client(uri)

    def group(self, selection: Selection) -> Group:
        """Return the selected runs; multiruns themselves are not among them."""
        with self._readable():
            experiments = self._experiments(selection.experiment)
            conditions, titles = [], []
            if selection.parent is not None or selection == Selection():
                parent, title = self._parent(experiments, selection.parent)
                conditions.append(f"tags.`{PARENT}` = '{parent}'")
                titles.append(title)
            if selection.experiment is not None:
                titles.append(f"experiment '{selection.experiment}'")
            if selection.where is not None:
                conditions.append(selection.where)
                titles.append(f"runs where {selection.where}")
            found = self._search(experiments, " and ".join(conditions), selection.where)
            others = (_MULTIRUN, EVALUATION, PROBE)
            runs = [_recorded(run) for run in found if run.data.tags.get(_KIND) not in others]
        title = ", ".join(titles)
        if not runs:
            raise ConfigError(f"No runs match in {masked(self._uri)}: {title}.")
        return Group(title[0].upper() + title[1:], tuple(runs))

    def progress(self, run: RecordedRun, split: str) -> dict[str, tuple[tuple[int, float], ...]]:
        """Return (step, value) in order: `score/<split>`, and `spent_calls/<role>` as totals."""
        keys = [
            key for key in run.metrics if key == f"score/{split}" or key.startswith("spent_calls/")
        ]
        with self._readable():
            found = {key: self._client.get_metric_history(run.id, key) for key in keys}
        return {key: tuple(sorted((m.step, m.value) for m in found[key])) for key in keys}

    def examples(self, run: RecordedRun, split: str) -> Mapping[str, float] | None:
        """Return the final score of each example that has one; None where the run keeps none."""
        with self._readable():
            there = {file.path for file in self._client.list_artifacts(run.id)}
            if _EXAMPLES not in there:
                return None
            with tempfile.TemporaryDirectory() as folder:
                file = Path(self._client.download_artifacts(run.id, _EXAMPLES, folder))
                # Only "\n" ends a line: texts may hold what else Python takes for an end.
                lines = file.read_text(encoding="utf-8").split("\n")
        found = (json.loads(line) for line in lines if line)
        return {
            str(one["example"]): float(one["final"])  # a long name is a reference, always the same
            for one in found
            if one["split"] == split and one["final"] is not None
        }

    def texts(self, run: RecordedRun) -> Texts | None:
        """Return the parameters that a run began with and returned; None where it keeps none."""
        names = ("parameters/initial.yaml", "parameters.yaml")
        with self._readable(), tempfile.TemporaryDirectory() as folder:
            there = {file.path for file in self._client.list_artifacts(run.id)}
            if not {"parameters", "parameters.yaml"} <= there:
                return None
            paths = [self._client.download_artifacts(run.id, name, folder) for name in names]
            before, after = (read_mapping(Path(path)) for path in paths)
        return Texts(before, after)

    def copy(self, run_id: str, folder: Path) -> None:
        """Write what a run has recorded into a folder, as its run directory has it."""
        with self._readable():
            run = self._one(run_id)
            there = {file.path for file in self._client.list_artifacts(run.info.run_id)}
            wanted = {name: name for name in _FILES if name in there}
            if "parameters" in there:
                wanted["parameters/initial.yaml"] = "initial.yaml"
            for name, local in wanted.items():
                found = self._client.download_artifacts(run.info.run_id, name, str(folder))
                Path(found).replace(folder / local)
        if "parameters.yaml" not in wanted:
            raise ConfigError(
                f"The run {_called(run)} has no parameters.yaml: it is {run.info.status}. "
                "Name its run directory, which has the best parameters so far."
            )

    def _one(self, run_id: str) -> Any:
        runs = self._search(self._experiments(None), "")
        found = [run for run in runs if run.info.run_id.startswith(run_id)]
        if len(found) != 1:
            why = f"{len(found)} runs begin so: {', '.join(map(_called, found[:5]))}"
            if not found:
                why = "there is no such run. The latest are: " if runs else "it has no runs"
                why += "; ".join(_called(run) for run in reversed(runs[-5:]))
            raise ConfigError(f"{run_id}: in {masked(self._uri)} {why}.")
        if found[0].data.tags.get(_KIND) == _MULTIRUN:
            raise ConfigError(
                f"{_called(found[0])} is a multirun: name one of its jobs (see `sgdflow ui`)."
            )
        return found[0]

    def _experiments(self, name: str | None) -> list[str]:
        found: list[Any] = []
        token = None
        while True:
            page = self._client.search_experiments(page_token=token)
            found += page
            if not (token := page.token):
                break
        if name is None:
            return [one.experiment_id for one in found]
        ids = [one.experiment_id for one in found if one.name == name]
        if not ids:
            names = [one.name for one in found]
            raise ConfigError(
                f"experiment={name}: there is no such experiment in {masked(self._uri)}."
                f"{did_you_mean(name, names)} There are: {listed(names)}."
            )
        return ids

    def _parent(self, experiments: Sequence[str], wanted: str | None) -> tuple[str, str]:
        """Return the id of a multirun and how to call it."""
        multiruns = self._search(experiments, _IS_MULTIRUN)[::-1]
        if not multiruns:
            raise ConfigError(
                f"There is no multirun in {masked(self._uri)} yet: choose runs with "
                "experiment=NAME or where=FILTER, or make a multirun with `sgdflow optimize -m`."
            )
        if wanted is None:
            return multiruns[0].info.run_id, f"the latest multirun, {_called(multiruns[0])}"
        named = [run for run in multiruns if run.info.run_name == wanted]
        if not named and _ID.fullmatch(wanted):
            named = [run for run in multiruns if run.info.run_id.startswith(wanted)]
        if not named:
            names = list(dict.fromkeys(run.info.run_name for run in multiruns))
            raise ConfigError(
                f"parent={wanted}: no multirun has this name or id.{did_you_mean(wanted, names)} "
                f"The latest are: {'; '.join(_called(run) for run in multiruns[:5])}."
            )
        title = f"multirun {_called(named[0])}"
        if len(named) > 1:
            title += f" (the latest of {len(named)} that match)"
        return named[0].info.run_id, title

    def _search(
        self, experiments: Sequence[str], filter_: str, where: str | None = None
    ) -> list[Any]:
        from mlflow.exceptions import MlflowException

        found: list[Any] = []
        token = None
        while True:
            try:
                page = self._client.search_runs(
                    list(experiments), filter_, max_results=_PAGE, page_token=token
                )
            except MlflowException as error:
                if where is None or error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
                raise ConfigError(
                    f"where={where} is no filter that MLflow understands ({reason_of(error)}). "
                    "Write it like where=\"params.`method.name` = 'semantic'\"."
                ) from error
            found += page
            if not (token := page.token):
                return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                f"MLflow cannot read runs in tracking.uri={masked(self._uri)}: {reason_of(error)}."
            ) from error


def _called(run: Any) -> str:
    return f"'{run.info.run_name}' ({run.info.run_id[:8]})"


def _recorded(run: Any) -> RecordedRun:
    return RecordedRun(
        id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        reason=run.data.tags.get(STOP_REASON, ""),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
    )
