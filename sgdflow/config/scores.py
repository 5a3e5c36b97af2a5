"""Builds what scores the outputs of a task; all mistakes are found here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sgdflow.config import score_schema as schema
from sgdflow.config.fields import Target
from sgdflow.config.problems import Problems, ask
from sgdflow.config.targets import resolve
from sgdflow.data import scoring
from sgdflow.errors import ConfigError, did_you_mean, listed
from sgdflow.executor.functions import Function
from sgdflow.executor.objectives import Objective, Thrift, Weighted
from sgdflow.executor.scores import Judge, Score, Scorer
from sgdflow.library.needs import lacking
from sgdflow.prompting.templates import Prompts

Fit = Callable[[Function, str | None], Function]
"""Returns a function as it takes the targets of a task, or a field of them; raises DataError."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the scorers of a task are built for."""

    prompts: Prompts
    inputs: Sequence[str]
    nodes: Sequence[str] | None
    """None where the graph is not known, so that no judge's template can be tried."""
    errors: Literal["stop", "zero"]


def build_score(conf: Any, place: Place, problems: Problems, where: str = "task.score") -> Scorer:
    """Return the declared scorer; raises ConfigError."""
    if isinstance(conf, schema.WeightedConf):
        parts = {}
        for name, one in conf.objectives.items():
            with problems.collected():
                at = f"{where}.objectives.{name}.score"
                scorer = build_score(one.score, place, problems, at)
                parts[name] = Objective(scorer, one.weight, one.field)
        return Weighted(parts, place.errors)
    if isinstance(conf, schema.ThriftConf):
        return _thrift(conf, place, where)
    own: Score | Judge
    if isinstance(conf, schema.JudgeConf):
        lowest, highest = conf.scale
        own = Judge(ask(conf, place.prompts), conf.rubric, lowest, highest, place.errors)
    else:
        own = Score(_function(conf, where), place.errors)
    if place.nodes is None and isinstance(own, Judge):
        return own
    nodes = place.nodes or ()
    if told := [f"{where}: {problem}" for problem in own.problems(place.inputs, nodes)]:
        raise ConfigError("\n".join(told))
    return own


def fitted(scorer: Scorer, fit: Fit, field: str | None = None) -> Scorer:
    """Return a scorer whose functions take the targets of a task in one way."""
    match scorer:
        case Score(function, errors):
            return Score(fit(function, field), errors)
        case Weighted(parts, errors):
            new: Mapping[str, Objective] = {
                name: replace(one, scorer=fitted(one.scorer, fit, one.field))
                for name, one in parts.items()
            }
            return Weighted(new, errors)
    return scorer


def _thrift(conf: schema.ThriftConf, place: Place, where: str) -> Thrift:
    """Return what scores how little an example took; raises ConfigError where nothing else does."""
    if where == "task.score":
        raise ConfigError(
            f"{where}: an answer that took nothing would be the best one. Weigh it beside another "
            "score: 'task.score={objectives: {right: {score: like_target, weight: 3}, spare: "
            f"{{score: {_declared(conf)}}}}}}}'."
        )
    if isinstance(conf, schema.LatencyConf):
        enough, too_much = conf.latency
        return Thrift("latency", enough, too_much, place.errors)
    assert isinstance(conf, schema.CostConf)
    enough, too_much = conf.cost
    return Thrift("cost", enough, too_much, place.errors)


def _declared(conf: schema.ThriftConf) -> str:
    ((name, bounds),) = conf.model_dump().items()
    return f"{{{name}: [{bounds[0]:g}, {bounds[1]:g}]}}"


def _function(conf: str | Target, where: str) -> Function:
    """Return the scorer that is named, or the callable at the dotted path."""
    if isinstance(conf, Target):
        function = resolve(conf, where)
        wrong = lacking(function.call, conf.constants)
        told = [f"{where}.{key}: {why}." for key, why in wrong]
        if told and not function.unknown():  # which may be one that is lacking, misspelt
            raise ConfigError("\n".join(told))
        return function
    if conf not in scoring.SCORERS:
        raise ConfigError(
            f"{where}: there is no scorer '{conf}'.{did_you_mean(conf, scoring.SCORERS)} "
            f"There are: {listed(scoring.SCORERS)}. One of your own is named with "
            f"{where}._target_=MODULE.FUNCTION."
        )
    return Function(scoring.SCORERS[conf], conf)
