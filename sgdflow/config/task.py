"""Builds a task: its examples, read and checked, and how their outputs are scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sgdflow.config import schema
from sgdflow.config.graph_schema import shown_images
from sgdflow.config.problems import Problems
from sgdflow.config.scores import Place, build_score, fitted
from sgdflow.config.targets import resolve
from sgdflow.data import Pools, Splits, draw, scoring
from sgdflow.data.checks import PARTS, Columns, checked, doubtful, of_field, unusable
from sgdflow.errors import ConfigError, DataError, did_you_mean, listed, raised_at
from sgdflow.executor.functions import Function
from sgdflow.executor.scores import Scorer
from sgdflow.prompting.templates import Prompts


@dataclass(frozen=True, slots=True)
class Notice:
    """What a run says of its data before it begins."""

    text: str
    unsure: bool = False
    """Whether somebody should look whether it is what they meant."""


@dataclass(frozen=True, slots=True)
class TaskData:
    """Examples, and how outputs for them are scored."""

    score: Scorer
    splits: Splits
    notices: tuple[Notice, ...]


def build_task(
    task: schema.Task,
    seed: int,
    graph: schema.GraphConf | None,
    prompts: Prompts,
    problems: Problems,
) -> TaskData | None:
    """Return the data of a task, None where `problems` says why there is none.

    All targets are tried with the scorer, so that none is found unusable after it was paid for.
    Where the graph is not known, what depends on it is not looked at.
    """
    inputs = graph.inputs if graph is not None else ()
    scorer: Scorer | None = None
    pools = splits = None
    notices: list[Notice] = []
    columns = _columns(task)
    if graph is not None:
        columns = replace(columns, images=shown_images(graph))
    with problems.collected():
        place = Place(prompts, inputs, None if graph is None else tuple(graph.nodes), task.errors)
        scorer = build_score(task.score, place, problems)
    with problems.collected():
        pools, said = _pools(task, columns, scorer is None or scorer.needs_target)
        notices += [Notice(told, unsure=True) for told in (said, *doubtful(pools, columns)) if told]
    if pools is None:
        return None
    notices += [Notice(told, unsure=True) for told in _told_beforehand(task, columns, inputs)]
    if scorer is not None:
        with problems.collected():
            taking = _Taking(pools, columns, notices)
            scorer = fitted(scorer, taking.fit)
    with problems.collected():
        splits = draw(pools, task.splits.model_dump(), seed)
        _check_inputs(task.name, splits, inputs)
    if scorer is None or splits is None:
        return None
    return TaskData(scorer, splits, tuple(notices))


def _pools(task: schema.Task, columns: Columns, targets: bool) -> tuple[Pools, str]:
    source = resolve(task.data, "task.data")
    if problems := list(source.problems()):
        raise ConfigError("\n".join(f"task.data: {problem}" for problem in problems))
    try:
        pools = source.call(**source.constants)
        if not isinstance(pools, Pools):
            found = type(pools).__name__
            raise DataError(f"task.data: {source.name} returned {found}, not Pools.")
        if targets and task.target is None and not _any_target(pools):
            raise DataError(
                "task.target: no example has a target, and task.score compares with one. Name its "
                "column, or score without (task.score.rubric=TEXT; docs/scoring.md)."
            )
        return checked(pools, columns, task.missing, targets=targets)
    except ConfigError as error:
        told = str(error)
        raise DataError(
            told if told.startswith(("task.", "examples")) else f"task.data: {told}"
        ) from error
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {str(error).rstrip('.')}{raised_at(error)}."
        raise DataError(f"task.data: {source.name} raised {reason}") from error


def _told_beforehand(task: schema.Task, columns: Columns, inputs: Sequence[str]) -> Iterator[str]:
    """Yield which inputs of the graph are what its output is compared with."""
    named = task.target.values() if isinstance(task.target, Mapping) else task.target or ()
    target = [named] if isinstance(named, str) else list(named)
    for name in inputs:
        if (column := columns.inputs.get(name)) in target:
            yield (
                f"task.inputs: the input '{name}' of the graph is column '{column}', which is "
                "task.target, too: nodes are told the answer. Take it out of graph.inputs, unless "
                "that is meant."
            )


def _any_target(pools: Pools) -> bool:
    examples = (example for part in PARTS for example in getattr(pools, part))
    return any(example.target is not None for example in examples)


@dataclass(frozen=True, slots=True)
class _Taking:
    """How the targets of a task are taken by shipped scorers, which look at all of them."""

    pools: Pools
    columns: Columns
    notices: list[Notice]
    """Added to where a scorer has decided something."""

    def fit(self, scorer: Function, field: str | None) -> Function:
        """Return the scorer as it takes the targets of this task, or a field; raises DataError."""
        if not any(scorer.call is one for one in scoring.SCORERS.values()):
            return scorer
        pools = self.pools if field is None else of_field(self.pools, field)
        targets = [example.target for part in PARTS for example in getattr(pools, part)]
        if isinstance(scorer.call, scoring.LikeTarget | scoring.AnyOf):
            taken = scorer.call.take(targets)
            scorer = replace(scorer, call=taken.score)
            advice = "; choose task.score=NAME if that is wrong (docs/scoring.md)"
            said = f"targets{f' of {field}' * (field is not None)}: {taken.said}"
            said += advice * taken.unsure
            self.notices.append(Notice(said, taken.unsure))
        tried = partial(scoring.tried, partial(scorer.call, **scorer.constants))
        if told := unusable(pools, self.columns, tried):
            advice = (
                "task.score=any_of takes lists of acceptable answers, where one of them is enough."
            )
            if "] is a list" not in told:
                advice = "Mend these rows, or choose another scorer with task.score=NAME."
            if field is None and any(isinstance(target, Mapping) for target in targets):
                advice = "Fields of a target are scored one by one: task.score.objectives."
            raise DataError(
                f"task.data: {told}\n{advice} docs/scoring.md says what each scorer takes."
            )
        return scorer


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
