"""Runs what was prepared: optimises or evaluates, and leaves the records behind."""

from __future__ import annotations

import logging
import time
from asyncio import CancelledError, to_thread
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from sgdflow import __version__, report
from sgdflow.config.prepare import Prepared
from sgdflow.config.written import written_of
from sgdflow.descent import Descent, Observer, Result, Scores, Step
from sgdflow.descent.method import Problem
from sgdflow.errors import plural
from sgdflow.executor.means import unanswered_words
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.progress import Progress
from sgdflow.llm import Metered, Spent
from sgdflow.plan.limits import shortages
from sgdflow.records import (
    FORMAT,
    SPLITS,
    RunFolder,
    documents,
    result_record,
    scores_record,
    spent_record,
    step_record,
    summary_record,
)
from sgdflow.records.account import account, counted
from sgdflow.records.details import calls_record, example_records, shown_records, untimed
from sgdflow.records.tree import place_of
from sgdflow.records.words import constant_words, detail_words, score_words, step_words
from sgdflow.runs.closing import candidate_words, changed_words, closing_words
from sgdflow.runs.ending import check_result, check_scores, why_lost
from sgdflow.tracking import Shown, Tracker

log = logging.getLogger(__name__)


Clean = Callable[[Any], Any]
"""Returns nested data without what is not to be recorded."""


class Beside(Observer, Protocol):
    """Sees a descent beside its records."""

    def ended(self, result: Result) -> None:
        """See how it ended, once all records are written."""


def _as_it_is(data: Any) -> Any:
    return data


async def optimise(
    prepared: Prepared,
    raw: Mapping[str, Any],
    llm: Metered,
    tracker: Tracker,
    folder: RunFolder,
    progress: Progress | None = None,
    clean: Clean = _as_it_is,
    beside: Beside | None = None,
) -> dict[str, Any]:
    """Descend, write the records as they come, and return the result record.

    `clean` takes out of records what is not to be recorded; `beside` sees what they are made of.
    """
    began = time.monotonic()
    tell(prepared)
    if why := prepared.method.unconfirmed:
        log.info("No winner will be confirmed: %s.", why)
    for warning in await to_thread(shortages, prepared):
        log.warning("%s", warning)
    written = written_of(raw)
    with _tracked(tracker, prepared, written, folder):
        # A store that cannot be used leaves nothing behind.
        folder.begin(written, prepared.start)
        documents.keep(folder.path, prepared.problem.graph)
        with _reported(prepared, folder):
            recorder = _Recorder(tracker, folder, llm, clean, prepared.problem, beside)
            descent = Descent(prepared.problem, prepared.method, llm, recorder, progress)
            result = await descent.run(prepared.start)
            made = result_record(result, about(prepared), time.monotonic() - began, llm.by_node())
            record: dict[str, Any] = clean(made)
            record["account"] = account(recorder.counts, record)
            folder.save(result.parameters, record["confirmation"])
            folder.keep_examples(lambda: map(clean, example_records(result)))
            changed = clean(changed_words(prepared.start, result.parameters))
            tree = candidate_words(recorder.places, prepared.start, result.parameters)
            log.info("%s", "\n".join([closing_words(record), *tree, changed]))
            check_result(result, recorder.lost)
            folder.finish(record)
        tracker.answered(_shown(prepared.problem, result.final.evaluations, clean))
        tracker.finished(record, folder.path)
    folder.check()
    if beside is not None:
        beside.ended(result)
    return record


async def evaluate(
    prepared: Prepared,
    llm: Metered,
    folder: RunFolder,
    progress: Progress | None = None,
    clean: Clean = _as_it_is,
    answered: Callable[[Shown], None] = lambda shown: None,
    scored: Callable[[Evaluation], None] = lambda evaluation: None,
) -> dict[str, Any]:
    """Score the starting parameters on the declared split and return the record."""
    began = time.monotonic()
    tell(prepared)
    problem, split = prepared.problem, prepared.config.split
    evaluator = problem.evaluator(llm, progress)
    evaluation = await evaluator(prepared.start, getattr(problem.splits, split))
    scored(evaluation)
    found = {
        "format": FORMAT,
        **about(prepared),
        "split": split,
        "score": summary_record(evaluation.summary()),
        "failures": dict(evaluation.failures),
        "unanswered": {
            i: {"kind": one.kind, "reason": one.failure} for i, one in evaluation.unanswered.items()
        },
        "examples": dict(evaluation.scores),
        **spent_record(llm.spent(), llm.by_node()),
        "faults": dict(sum(llm.spent().values(), Spent()).faults),
        "seconds": round(time.monotonic() - began, 3),
    }
    record: dict[str, Any] = clean(found)
    folder.finish(record, "evaluation.json")
    folder.check()
    log.info("%s %s", split, score_words(record["score"]))
    if failures := list(evaluation.failures.values()):
        log.warning("%s failed; the first: %s", plural(len(failures), "example"), failures[0])
    if unanswered := list(evaluation.unanswered.values()):
        words = unanswered_words(evaluation.unanswered_kinds)
        log.warning("%s; the first: %s", words, unanswered[0].failure)
    if constant := problem.constant(evaluation):
        log.warning("%s", constant_words(constant))
    check_scores(evaluation, f"{split} example")
    answered(_shown(problem, {split: evaluation}, clean))
    return record


def _shown(problem: Problem, found: Mapping[str, Evaluation], clean: Clean) -> Shown:
    """Return what gives some examples of the split that decided least."""
    split = next((s for s in reversed(SPLITS) if s in found and found[s].outcomes), "")
    outcomes = found[split].outcomes if split else {}

    def shown(count: int) -> list[dict[str, Any]]:
        return [*map(clean, shown_records(split, outcomes, problem.targets, count))]

    return shown


def tell(prepared: Prepared) -> None:
    """Say what a user should know of the data before anything is paid for."""
    for notice in prepared.notices:
        log.log(logging.WARNING if notice.unsure else logging.INFO, "%s", notice.text)


def _tell_known(steps: int) -> None:
    if steps:
        log.info(
            "An earlier start had taken %s: what comes out the same again is marked "
            "(known from before), anything else is new.",
            plural(steps, "step"),
        )


def about(prepared: Prepared) -> dict[str, Any]:
    """Return what was run, in names."""
    config = prepared.config
    return {
        "version": __version__,
        "graph": config.graph.name,
        "task": config.task.name,
        "method": config.method.name,
        "llm": config.llm.name,
        "seed": config.seed,
    }


def nodes_of(prepared: Prepared) -> dict[str, Sequence[str]]:
    """Return the predecessors of each node, in an order in which they can be computed."""
    graph = prepared.problem.graph
    return {name: graph.nodes[name].predecessors for name in graph.order}


@dataclass(frozen=True, slots=True)
class _Recorder:
    """Writes down what a descent does, as it happens."""

    tracker: Tracker
    folder: RunFolder
    llm: Metered
    clean: Clean
    problem: Problem
    beside: Observer | None = None
    answered: Counter[str] = field(default_factory=Counter)
    """Calls whose latencies the tracker has, by role."""
    lost: list[str | None] = field(default_factory=list)
    """Why each step's proposal was lost to failures, None where it was not."""
    counts: list[Counter[str]] = field(default_factory=list)
    """What each step adds to the account."""
    places: list[Mapping[str, Any]] = field(default_factory=list)
    """Of each step, what its place in the tree of candidates takes."""

    def scored(self, initial: Scores) -> None:
        _tell_known(self.folder.known)
        scores = scores_record(initial, initial)
        self.tracker.scored("initial", {split: scores[split]["initial"] for split in SPLITS})
        words = [
            f"{split} {score_words(scores[split]['initial'])}"
            for split in SPLITS
            if scores[split]["initial"] is not None
        ]
        self._latencies()  # those of the start belong to no step
        log.info("before: %s", "; ".join(words) or "nothing could be scored")
        if self.beside is not None:
            self.beside.scored(initial)
        found = map(self.problem.constant, initial.evaluations.values())
        if constant := next(filter(None, found), ""):
            log.warning("before: %s", constant_words(constant))

    def stepped(self, step: Step) -> None:
        record = self.clean(step_record(step))
        calls = self.clean(calls_record(step, self.problem.targets))
        self.lost.append(why_lost(step))
        self.counts.append(counted(record))
        self.places.append(place_of(record))
        known = self.folder.append(record, untimed(calls))
        self.folder.save(step.best)
        self.tracker.stepped(record, calls, self._latencies())
        log.info("%s", step_words(record, known=known))
        if record["accepted"] and record["constant"] and not known:
            log.warning("step %s: %s", record["step"], constant_words(record["constant"]))
        for words in detail_words(record):
            log.debug("  %s", words)
        if self.beside is not None:
            self.beside.stepped(step)

    def _latencies(self) -> Mapping[str, Sequence[float]]:
        """Return how long the calls since the last step took."""
        new = {role: took[self.answered[role] :] for role, took in self.llm.latencies().items()}
        self.answered.update({role: len(took) for role, took in new.items()})
        return new


@contextmanager
def _reported(prepared: Prepared, folder: RunFolder) -> Iterator[None]:
    """Write the report at the end, also of a run that failed."""
    try:
        yield
    except (CancelledError, KeyboardInterrupt):  # whoever waits for the end is served first
        raise
    except BaseException:
        _report(prepared, folder)
        raise
    _report(prepared, folder)


def _report(prepared: Prepared, folder: RunFolder) -> None:
    """Write the report; a run never fails for it."""
    declaration = prepared.config.graph.model_dump(by_alias=True)
    try:
        report.write(folder.path, lambda _: declaration)
    except Exception as error:
        log.warning("%s is not written: %s: %s", report.NAME, type(error).__name__, error)


@contextmanager
def _tracked(
    tracker: Tracker, prepared: Prepared, written: Mapping[str, Any], folder: RunFolder
) -> Iterator[None]:
    """Record the start, and how it ended if it did not end well."""
    names = about(prepared)
    tags = {f"sgdflow.{key}": str(value) for key, value in names.items()}
    # Short, as the UI cuts it off; the graph is a tag.
    name = f"{names['task']}-{names['method']}-{names['seed']}"
    tracker.started(name, written, tags, prepared.start, nodes_of(prepared))
    try:
        yield
    except (CancelledError, KeyboardInterrupt):
        tracker.stopped("interrupted")
        _report(prepared, folder)
        raise
    except BaseException as error:
        tracker.failed(f"{type(error).__name__}: {error}")
        raise
