"""Builds a task: its examples, read and checked, and how their outputs are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sgdflow.config import schema
from sgdflow.config.problems import Problems
from sgdflow.config.targets import resolve
from sgdflow.data import Pools, Splits, draw, scoring
from sgdflow.data.checks import PARTS, Columns, checked, unusable
from sgdflow.errors import ConfigError, DataError, did_you_mean, listed
from sgdflow.executor.functions import Function
from sgdflow.executor.loss import Score


@dataclass(frozen=True, slots=True)
class Notice:
    """What a run says of its data before it begins."""

    text: str
    unsure: bool = False
    """Whether somebody should look whether it is what they meant."""


@dataclass(frozen=True, slots=True)
class TaskData:
    """Examples, and how outputs for them are scored."""

    score: Score
    splits: Splits
    notices: tuple[Notice, ...]


def build_task(
    task: schema.Task, seed: int, inputs: Sequence[str], problems: Problems
) -> TaskData | None:
    """Return the data of a task, None where `problems` says why there is none.

    All targets are tried with the scorer, so that none is found unusable after it was paid for.
    """
    scorer = pools = splits = None
    notices: list[Notice] = []
    columns = _columns(task)
    with problems.collected():
        scorer = _scorer(task.score)
    with problems.collected():
        pools, said = _pools(task, columns)
        notices += [Notice(said, unsure=True)] if said else []
    if pools is None:
        return None
    if scorer is not None:
        with problems.collected():
            scorer, read = _fitted(scorer, pools, columns)
            notices += read
    with problems.collected():
        splits = draw(pools, task.splits.model_dump(), seed)
        _check_inputs(task.name, splits, inputs)
    if scorer is None or splits is None:
        return None
    return TaskData(Score(scorer, task.errors), splits, tuple(notices))


def _scorer(conf: str | schema.Target) -> Function:
    """Return the scorer that is named, or the callable at the dotted path."""
    if isinstance(conf, str):
        if conf not in scoring.SCORERS:
            raise ConfigError(
                f"task.score: there is no scorer '{conf}'.{did_you_mean(conf, scoring.SCORERS)} "
                f"There are: {listed(scoring.SCORERS)}. One of your own is named with "
                "task.score._target_=MODULE.FUNCTION."
            )
        return Function(scoring.SCORERS[conf], conf)
    found = resolve(conf, "task.score")
    if told := [f"task.score: {problem}" for problem in found.problems("output", "target")]:
        raise ConfigError("\n".join(told))
    return found


def _pools(task: schema.Task, columns: Columns) -> tuple[Pools, str]:
    source = resolve(task.data, "task.data")
    if problems := list(source.problems()):
        raise ConfigError("\n".join(f"task.data: {problem}" for problem in problems))
    try:
        pools = source.call(**source.constants)
        if not isinstance(pools, Pools):
            found = type(pools).__name__
            raise DataError(f"task.data: {source.name} returned {found}, not Pools.")
        return checked(pools, columns, task.missing)
    except ConfigError as error:
        told = str(error)
        raise DataError(told if told.startswith("task.") else f"task.data: {told}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).rstrip('.')}."
        raise DataError(f"task.data: {source.name} raised {reason}") from error


def _fitted(scorer: Function, pools: Pools, columns: Columns) -> tuple[Function, Sequence[Notice]]:
    """Return the scorer as it takes the targets of this task; raises DataError."""
    if not any(scorer.call is one for one in scoring.SCORERS.values()):
        return scorer, ()
    notices: list[Notice] = []
    targets = [example.target for part in PARTS for example in getattr(pools, part)]
    if isinstance(scorer.call, scoring.LikeTarget | scoring.AnyOf):
        taken = scorer.call.take(targets)
        scorer = replace(scorer, call=taken.score)
        advice = "; choose task.score=NAME if that is wrong (docs/scoring.md)"
        notices.append(Notice(f"targets: {taken.said}{advice * taken.unsure}", taken.unsure))
    tried = partial(scoring.tried, partial(scorer.call, **scorer.constants))
    if told := unusable(pools, columns, tried):
        advice = "task.score=any_of takes lists of acceptable answers, where one of them is enough."
        if "] is a list" not in told:
            advice = "Mend these rows, or choose another scorer with task.score=NAME."
        raise DataError(f"task.data: {told}\n{advice} docs/scoring.md says what each scorer takes.")
    return scorer, notices


def _check_inputs(name: str, splits: Splits, inputs: Sequence[str]) -> None:
    for example in splits.train[:1]:
        missing = [wanted for wanted in inputs if wanted not in example.inputs]
        if missing:
            raise DataError(
                f"graph.inputs: task '{name}' has no {listed(missing)}."
                f"{did_you_mean(missing[0], example.inputs)} It has: {listed(example.inputs)}."
            )


def _columns(task: schema.Task) -> Columns:
    """Return the columns that a table's keys name; other tasks have none."""
    inputs: Mapping[str, str] = {}
    if isinstance(task.inputs, Mapping):
        inputs = {str(name): str(column) for name, column in task.inputs.items()}
    elif isinstance(task.inputs, list | tuple):
        inputs = {str(name): str(name) for name in task.inputs}
    return Columns(inputs, task.target if isinstance(task.target, str) else None)
