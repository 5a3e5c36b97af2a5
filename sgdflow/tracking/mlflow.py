"""Records a run in MLflow."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sgdflow.errors import ConfigError
from sgdflow.records import as_yaml
from sgdflow.tracking import entries
from sgdflow.tracking.client import (
    PARENT,
    STOP_REASON,
    TAG_LIMIT,
    Run,
    explained,
    prepare,
    reason_of,
    start_run,
)
from sgdflow.tracking.memory import Logged, logged, remember, reopened
from sgdflow.tracking.store import store_uri

log = logging.getLogger(__name__)

# config.yaml is logged at the start, without secrets; the run directory's own may hold some.
_RUN_FILES = (
    "result.json",
    "parameters.yaml",
    "steps.jsonl",
    "calls.jsonl",
    "examples.jsonl",
    "report.html",
)


class MlflowTracker:
    """Records one run."""

    def __init__(
        self, uri: str | None, experiment: str, parent_run: str | None, memory: Path | None = None
    ) -> None:
        """Prepare to record; `memory` is a file to keep the run's id in, for a later start."""
        self._uri, self._experiment, self._parent = store_uri(uri), experiment, parent_run
        self._memory = memory
        self._logged = Logged()
        self._run: Run | None = None
        self._parameters: dict[str, Any] = {}
        self._spent: Counter[str] = Counter()

    @property
    def run_id(self) -> str | None:
        """Return the id of the run in MLflow, None before the start and after the end."""
        return self._run.id if self._run else None

    def started(
        self,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parameters: Mapping[str, Any],
    ) -> None:
        """Make the run; log the configuration as params and, whole, as config.yaml."""
        experiment = prepare(self._uri, self._experiment)
        kept = {k: v for k, v in tags.items() if not entries.looks_secret(k.split(".")[-1])}
        if self._parent:
            kept[PARENT] = self._parent
        self._parameters = dict(parameters)
        with explained(self._uri):
            self._run = run = self._open(experiment, name, kept)
        try:
            with explained(self._uri):
                flat = entries.flattened(params)
                run.log_params((k, v) for k, v in flat if k not in self._logged.params)
                run.log_text(as_yaml(entries.without_secrets(params)), "config.yaml")
                run.log_text(as_yaml(self._parameters), "parameters/initial.yaml")
        except ConfigError as error:
            self.failed(str(error))
            raise

    def scored(self, when: str, scores: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Log scores by split; the initial ones also begin the charts, as step 0."""

        def write(run: Run) -> None:
            metrics = entries.split_scores(when, scores)
            if when == "initial":
                metrics |= entries.standing_scores(scores) | self._length()
            if not metrics.keys() <= self._logged.metrics:
                run.log_metrics(metrics, 0)

        self._write(f"the {when} scores", write)

    def stepped(self, record: Mapping[str, Any], calls: Mapping[str, Any]) -> None:
        """Log a step; calls and tokens are running totals over the steps so far."""
        number = int(record["step"])
        self._spent.update(entries.spending(record))
        if record["accepted"]:
            self._parameters |= record["proposal"]

        def write(run: Run) -> None:
            if number not in self._logged.steps:
                run.log_metrics(entries.step_metrics(record) | self._spent | self._length(), number)
            learned = entries.gradients_record(record)
            text = json.dumps(learned, indent=2, ensure_ascii=False, default=str)
            run.log_text(text, f"gradients/step_{number:03d}.json")
            if record["accepted"]:
                run.log_text(as_yaml(self._parameters), f"parameters/step_{number:03d}.yaml")

        self._write(f"step {number}", write)

    def finished(self, result: Mapping[str, Any], folder: Path) -> None:
        """Log scores and totals, the files of the run directory, and the end.

        Their step is 0: the UI draws a metric without later steps as one bar for each run.
        """

        def write(run: Run) -> None:
            run.log_metrics(entries.result_metrics(result), 0)
            for path in (folder / name for name in _RUN_FILES):
                if path.is_file():
                    run.log_file(path)

        self._write("the result", write)
        self._end("FINISHED", str(result["stop_reason"]))

    def failed(self, reason: str) -> None:
        """End the run, unless it has ended, as one without a result."""
        self._end("FAILED", reason)

    def stopped(self, reason: str) -> None:
        """End the run, unless it has ended, as one that someone stopped."""
        self._end("KILLED", reason)

    def _end(self, status: str, reason: str) -> None:
        def say_why(run: Run) -> None:
            if len(reason) > TAG_LIMIT:
                run.log_text(reason, "stop_reason.txt")
            run.tag(STOP_REASON, "see stop_reason.txt" if len(reason) > TAG_LIMIT else reason)

        self._write("why the run ended", say_why)
        self._write("the end of the run", lambda run: self._close(run, status))
        self._run = None

    def _open(self, experiment: str, name: str, tags: Mapping[str, str]) -> Run:
        """Return the run that the memory names, or a new one."""
        run = reopened(self._uri, experiment, self._memory) if self._memory else None
        if run is not None:
            self._logged = logged(self._uri, run)
            return run
        run = start_run(self._uri, experiment, name, tags)
        remember(self._memory, run.id, "RUNNING")
        return run

    def _close(self, run: Run, status: str) -> None:
        run.end(status)
        remember(self._memory, run.id, status)

    def _write(self, what: str, write: Callable[[Run], None]) -> None:
        """Write, and go on when the store fails: the replies that records hold were paid for."""
        if self._run is None:
            return
        try:
            write(self._run)
        except Exception as error:
            log.warning(
                "MLflow has not recorded %s (%s); the run directory has it.", what, reason_of(error)
            )

    def _length(self) -> dict[str, float]:
        texts = [text for text in self._parameters.values() if isinstance(text, str)]
        return {"parameters/characters": float(sum(map(len, texts)))}
