"""An evaluation with what it leaves behind: its record, also in MLflow."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sgdflow.config.prepare import Prepared
from sgdflow.config.schema import Tracking
from sgdflow.config.written import written_of
from sgdflow.executor.forward import forward_roles
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.progress import Progress
from sgdflow.llm import Metered
from sgdflow.records import RunFolder
from sgdflow.records.spending import asked_again
from sgdflow.runs.run import Clean, about, evaluate, nodes_of
from sgdflow.tracking import EVALUATION, KIND, Tracker

log = logging.getLogger(__name__)


async def evaluated(
    prepared: Prepared,
    raw: Mapping[str, Any],
    llm: Metered,
    tracker: Tracker,
    folder: RunFolder,
    progress: Progress,
    clean: Clean,
    scored: Callable[[Evaluation], None] = lambda evaluation: None,
) -> dict[str, Any]:
    """Score the starting parameters on the declared split, and record it."""
    split = prepared.config.split
    with tracked(tracker, prepared, written_of(raw), EVALUATION, split):
        record = await evaluate(prepared, llm, folder, progress, clean, tracker.answered, scored)
        tracker.evaluated(record, folder.path)
    for words in asked_again(record):
        log.info("%s", words.strip())
    return record


def scoring_roles(prepared: Prepared) -> Collection[str]:
    """Return the roles that scores take, without a method."""
    judges = (judge.ask.role for judge in prepared.problem.score.judges())
    return {*forward_roles(prepared.problem.graph).values(), *judges}


def scores_alone(settings: Tracking) -> Tracking:
    """Return what is tracked where nothing is learned."""
    return settings.model_copy(update={"prompts": False, "traces": 0})


@contextmanager
def tracked(
    tracker: Tracker, prepared: Prepared, written: Mapping[str, Any], kind: str, what: str
) -> Iterator[None]:
    """Record the start of what is no optimisation, and how it ended if it did not end well.

    `what` of the task it is: the split that is scored, or a probe.
    """
    names = about(prepared)
    tags = {f"sgdflow.{key}": str(value) for key, value in names.items()}
    name = f"{what} of {names['task']}-{names['seed']}"
    tags |= {KIND: kind} | ({"sgdflow.split": what} if kind == EVALUATION else {})
    tags |= {"sgdflow.parameters": path} if (path := prepared.config.parameters) else {}
    tracker.started(name, written, tags, prepared.start, nodes_of(prepared))
    try:
        yield
    except (CancelledError, KeyboardInterrupt):
        tracker.stopped("interrupted")
        raise
    except BaseException as error:
        tracker.failed(f"{type(error).__name__}: {error}")
        raise
