"""Records a run in MLflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from sgdflow.errors import ConfigError
from sgdflow.records import as_json, as_yaml, chosen_score, read_yaml
from sgdflow.records.texts import TEXTS
from sgdflow.records.tree import candidates, number_of, place_of, tree_lines
from sgdflow.records.words import returned_words
from sgdflow.tracking import NO_CALLS, NO_NODES, Shown, naming
from sgdflow.tracking.client import (
    PARENT,
    RETURNED,
    STOP_REASON,
    TAG_LIMIT,
    Run,
    explained,
    prepare,
    start_run,
)
from sgdflow.tracking.prompts import PromptBook, Standing
from sgdflow.tracking.ready import is_ready
from sgdflow.tracking.run_file import Logged, logged, remember, reopened
from sgdflow.tracking.store import store_uri
from sgdflow.tracking.trace_store import log_traces
from sgdflow.tracking.traces import Nodes, final_traces, traces
from sgdflow.tracking.writer import Writer

# config.yaml is logged at the start.
_RUN_FILES = (
    "result.json", "parameters.yaml", "steps.jsonl", "calls.jsonl", "examples.jsonl", TEXTS,
    "report.html",
)  # fmt: skip


class MlflowTracker:
    """Records one run."""

    def __init__(
        self,
        uri: str | None,
        experiment: str,
        parent_run: str | None,
        memory: Path | None = None,
        *,
        name: str | None = None,
        prompts: bool = True,
        traces: int = 2,
        beside: bool = False,
    ) -> None:
        """Prepare to record; a store that is ready is opened `beside` the work.

        `memory` is a file to keep the run's id in, for a later start; `name` goes before the run's.
        """
        self._beside = beside
        self._uri, self._experiment, self._parent = store_uri(uri), experiment, parent_run
        self._memory, self._name, self._with_prompts, self._traces = memory, name, prompts, traces
        self._logged = Logged()
        self._run: Run | None = None
        self._about: tuple[str, dict[str, str]] = ("", {})
        self._writer: Writer | None = None
        self._prompts: PromptBook | None = None
        self._tags: dict[str, str] = {}
        self._nodes: Nodes = NO_NODES
        self._parameters: dict[str, Any] = {}
        self._first: Mapping[str, Any] = {}
        self._spent: Counter[str] = Counter()
        self._places: list[Mapping[str, Any]] = []

    @property
    def run_id(self) -> str | None:
        """Return the id of the run in MLflow, once it is there; None before and after."""
        return self._run.id if self._run else None

    def started(
        self,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parameters: Mapping[str, Any],
        nodes: Nodes = NO_NODES,
    ) -> None:
        """Make the run; log the configuration as params and, whole, as config.yaml.

        A store that is ready is opened beside the work; one that may not be, before it.
        """
        self._tags = dict(tags)
        parent = {PARENT: self._parent} if self._parent else {}
        self._parameters, self._nodes, self._first = dict(parameters), nodes, dict(parameters)
        self._about = self._name or name, self._tags | parent
        initial = dict(parameters)

        def write(run: Run) -> None:
            flat = naming.flattened(params)
            run.log_params((k, v) for k, v in flat if k not in self._logged.params)
            run.log_text(as_yaml(params), "config.yaml")
            run.log_text(as_yaml(initial), "parameters/initial.yaml")

        if self._may_wait():
            self._writer = Writer()
            self._write("the start of the run", lambda run: None)
            self._write("the configuration", write)
        else:
            with explained(self._uri):
                run = self._opened()
            self._writer = Writer()
            try:
                with explained(self._uri):
                    write(run)
            except ConfigError as error:
                self.failed(str(error))
                raise
        self._keep(0, self._parameters, "the text that a run started from")

    def scored(self, when: str, scores: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Log scores by split; the initial ones also begin the charts, as step 0."""
        metrics = naming.split_scores(when, scores)
        if when == "initial":
            metrics |= naming.standing_scores(scores) | naming.lengths(self._parameters)
        if not metrics.keys() <= self._logged.metrics:
            self._write(f"the {when} scores", lambda run: run.log_metrics(metrics, 0))

    def stepped(
        self,
        record: Mapping[str, Any],
        calls: Mapping[str, Any],
        seconds: Mapping[str, Sequence[float]] = NO_CALLS,
    ) -> None:
        """Log a step; calls, tokens and cost are running totals over the steps so far."""
        number = int(record["step"])
        self._places.append(place_of(record))
        self._spent.update(naming.spending(record) | naming.step_costs(record))
        if record["accepted"]:
            self._parameters |= record["proposal"]
        if number in self._logged.steps:
            return
        totals = {key: total for key, total in self._spent.items() if isfinite(total)}
        metrics = naming.step_metrics(record) | totals
        metrics |= naming.latencies(seconds) | naming.lengths(self._parameters)
        self._write_details(number, record)
        if record["accepted"]:
            self._keep(number, record["proposal"], naming.commit_message(record))
        if chosen := list(traces(record, calls, self._nodes, self._traces)):
            about = self._tags | {"sgdflow.accepted": str(record["accepted"]).lower()}
            self._write(
                f"the traces of step {number}",
                lambda run: log_traces(self._uri, run, chosen, str(number), about),
            )
        # Last: a step that has metrics is there as a whole, should the run be gone on with.
        self._write(f"step {number}", lambda run: run.log_metrics(metrics, number))

    def answered(self, shown: Shown) -> None:
        """Log the traces of some right and some wrong examples."""
        if chosen := list(final_traces(shown(self._traces), self._nodes)):
            self._write(
                "the traces of the end",
                lambda run: log_traces(self._uri, run, chosen, "end", self._tags),
            )

    def finished(self, result: Mapping[str, Any], folder: Path) -> None:
        """Log scores and totals, the files of the run directory, and the end.

        Their step is 0: the UI draws a metric without later steps as one bar for each run.
        """
        file = folder / "parameters.yaml"
        best = read_yaml(file) if file.is_file() else {}

        def write(run: Run) -> None:
            run.log_metrics(naming.result_metrics(result), 0)
            if returned := returned_words(result):
                run.tag(RETURNED, "; ".join(returned)[:TAG_LIMIT])
            if len(found := candidates(self._places, self._first)) > 1:
                lines = tree_lines(found, number_of(found, best))
                run.log_text("\n".join([*lines, ""]), "candidates.txt")
            for path in (folder / name for name in _RUN_FILES):
                if path.is_file():
                    run.log_file(path)

        self._write("the result", write)
        self._crown(result, folder)
        self._end("FINISHED", str(result["stop_reason"]))

    def evaluated(self, record: Mapping[str, Any], folder: Path) -> None:
        """Log the score where a run has its final one, totals, the record, and the end."""

        def write(run: Run) -> None:
            run.log_metrics(naming.evaluation_metrics(record), 0)
            run.log_file(folder / "evaluation.json")

        self._write("the evaluation", write)
        self._end("FINISHED", f"scored {record['split']}")

    def probed(self, record: Mapping[str, Any], folder: Path) -> None:
        """Log the numbers, the words, the record, and the end."""

        def write(run: Run) -> None:
            run.log_metrics(naming.probe_metrics(record), 0)
            run.log_text("\n".join([*record["words"], ""]), "probe.txt")
            run.log_file(folder / "probe.json")

        self._write("the probe", write)
        self._end("FINISHED", f"probed: {record['advice']['verdict']}")

    def failed(self, reason: str) -> None:
        """End the run, unless it has ended, as one without a result."""
        self._end("FAILED", reason)

    def stopped(self, reason: str) -> None:
        """End the run, unless it has ended, as one that someone stopped and now waits for.

        What cannot be written soon is recorded when the run goes on; the run directory has it.
        """
        if self._writer is not None:
            self._writer.hurry()
        self._end("KILLED", reason)

    def _write_details(self, number: int, record: Mapping[str, Any]) -> None:
        parameters = dict(self._parameters)

        def write(run: Run) -> None:
            learned = naming.gradients_record(record)
            text = as_json(learned, indent=2)
            run.log_text(text, f"gradients/step_{number:03d}.json")
            if record["accepted"]:
                run.log_text(as_yaml(parameters), f"parameters/step_{number:03d}.yaml")

        self._write(f"the gradients of step {number}", write)

    def _keep(self, step: int, texts: Mapping[str, Any], message: str) -> None:
        if self._with_prompts:
            texts, tags = dict(texts), self._tags | {"sgdflow.step": str(step)}
            what = f"the prompts of step {step}"
            self._write(what, lambda run: self._book(run).keep(texts, message, tags))

    def _crown(self, result: Mapping[str, Any], folder: Path) -> None:
        best, file = chosen_score(result), folder / "parameters.yaml"
        if self._with_prompts and best is not None and file.is_file():
            split, score = best
            standing = Standing(score, f"{split} of {self._tags.get('sgdflow.task', '')}")
            what = "the best prompts"
            self._write(what, lambda run: self._book(run).crown(read_yaml(file), standing))

    def _book(self, run: Run) -> PromptBook:
        if self._prompts is None:
            self._prompts = PromptBook(self._uri, run, self._tags.get("sgdflow.graph", "graph"))
        return self._prompts

    def _end(self, status: str, reason: str) -> None:
        if self._writer is None:
            return

        def say_why(run: Run) -> None:
            if len(reason) > TAG_LIMIT:
                run.log_text(reason, "stop_reason.txt")
            run.tag(STOP_REASON, "see stop_reason.txt" if len(reason) > TAG_LIMIT else reason)

        self._write("why the run ended", say_why)
        self._write("the end of the run", lambda run: self._close(run, status))
        self._writer.close()  # what it writes may have to make the run
        self._run = self._writer = None

    def _may_wait(self) -> bool:
        """Say whether the store may be opened beside the work."""
        goes_on = self._memory is not None and self._memory.is_file()
        return self._beside and not goes_on and is_ready(self._uri, self._experiment)

    def _opened(self) -> Run:
        """Return the run, which the first to ask makes."""
        if self._run is None:
            self._run = self._open()
        return self._run

    def _open(self) -> Run:
        """Return the run that the memory names, or a new one."""
        experiment = prepare(self._uri, self._experiment)
        run = reopened(self._uri, experiment, self._memory) if self._memory else None
        if run is not None:
            self._logged = logged(self._uri, run)
            return run
        run = start_run(self._uri, experiment, *self._about)
        remember(self._memory, run.id, "RUNNING")
        return run

    def _close(self, run: Run, status: str) -> None:
        run.end(status)
        remember(self._memory, run.id, status)

    def _write(self, what: str, write: Callable[[Run], object]) -> None:
        if self._writer is not None:
            self._writer.put(what, lambda: write(self._opened()))
