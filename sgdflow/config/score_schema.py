"""What may stand under `task.score`; every field says what it is for."""

from __future__ import annotations

from math import inf, isfinite
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    FiniteFloat,
    Tag,
    field_validator,
    model_validator,
)

from sgdflow.config.fields import Conf, Exchange, Reply, Target, Text, form_of

SHIPPED = "sgdflow.data.scoring."
"""Where the scorers stand that a shipped task names."""


class JudgeConf(Exchange):
    """A model that scores by a rubric."""

    rubric: Text
    """What an output is judged by."""
    prompt: Text = "score/judge.jinja"
    role: Text = "judge"
    reply: Reply = Reply(tag="verdict")
    scale: list[float] = Field(default=[0.0, 1.0])
    """The lowest and the highest score that it gives."""

    @field_validator("scale")
    @classmethod
    def _ascends(cls, scale: list[float]) -> list[float]:
        if len(scale) != 2 or not scale[0] < scale[1] or not all(map(isfinite, scale)):
            raise ValueError("should be two numbers, the lower one first, such as [0, 1] or [1, 5]")
        return scale


class ThriftConf(Conf):
    """What an example took: up to the first of two bounds it scores 1, from the second on 0."""


_FORMS = ("_target_", "rubric", "objectives", "cost", "latency")
"""Keys each of which says how an output is scored."""


def _bounds(value: object, such_as: str) -> object:
    numbers = value if isinstance(value, list | tuple) else ()
    plain = all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers)
    if not plain or len(numbers) != 2 or not 0 <= numbers[0] < numbers[1] < inf:
        raise ValueError(
            f"should be two numbers from 0 on, such as {such_as}: up to the first it scores 1, "
            "from the second on 0"
        )
    return value


class CostConf(ThriftConf):
    """The price of an example's calls."""

    cost: Annotated[list[float], BeforeValidator(lambda v: _bounds(v, "[0.001, 0.01]"))]
    """In US dollars."""


class LatencyConf(ThriftConf):
    """How long an example's calls take, those beside each other at once."""

    latency: Annotated[list[float], BeforeValidator(lambda v: _bounds(v, "[2, 20]"))]
    """In seconds."""


def _alone(value: object, where: str = "task.score") -> object:
    """Leave out the scorer of a shipped task, which Hydra keeps beside what is declared instead."""
    if not isinstance(value, dict):
        return value
    target = value.get("_target_")
    if target is None or str(target).startswith(SHIPPED):
        value = {key: one for key, one in value.items() if key != "_target_"}
    first, *others = [form for form in _FORMS if form in value]
    if others:
        said = f" ({target})" if first == "_target_" else ""
        raise ValueError(
            f"has {first}{said} and {others[0]}, and an output is scored in one way. Take one of "
            f"them out, on the command line with '~{where}.{first}'; or weigh both: task.score="
            "{objectives: {NAME: {score: ...}, OTHER: {score: ...}}} (docs/scoring.md)"
        )
    return value


def _alone_in(value: object) -> object:
    return _alone(value, "task.score.objectives.NAME.score")


def _not_several(value: object) -> object:
    if isinstance(value, dict) and "objectives" in value:
        raise ValueError(
            "has objectives of its own, and these are weighed in one place: name each of them in "
            "task.score.objectives, with its weight"
        )
    return value


def _score_form(value: object) -> str:
    """Tell the forms of a score apart; the names start with ~ and are left out of paths."""
    if isinstance(value, JudgeConf) or (isinstance(value, dict) and "rubric" in value):
        return "~judge"
    if isinstance(value, WeightedConf) or (isinstance(value, dict) and "objectives" in value):
        return "~weighted"
    for form, kind in (("cost", CostConf), ("latency", LatencyConf)):
        if isinstance(value, kind) or (isinstance(value, dict) and form in value):
            return f"~{form}"
    return form_of(value)


OneScore = Annotated[
    Annotated[Text, Tag("~plain")]
    | Annotated[Target, Tag("~callable")]
    | Annotated[Target, Tag("~mapping")]
    | Annotated[JudgeConf, BeforeValidator(_alone_in), Tag("~judge")]
    | Annotated[CostConf, BeforeValidator(_alone_in), Tag("~cost")]
    | Annotated[LatencyConf, BeforeValidator(_alone_in), Tag("~latency")],
    Discriminator(_score_form),
]


class ObjectiveConf(Conf):
    """One of several scores."""

    score: Annotated[OneScore, BeforeValidator(_not_several)]
    """As task.score, but for several objectives."""
    field: Text | None = None
    """Which field of the output is scored, against that of the target; null: the whole."""
    weight: Annotated[FiniteFloat, Field(gt=0)] = 1.0
    """How much it counts beside the others."""

    @model_validator(mode="after")
    def _has_a_field(self) -> Self:
        if self.field is not None and isinstance(self.score, ThriftConf):
            raise ValueError("what an example took is no field's; leave 'field' out")
        return self


class WeightedConf(Conf):
    """Several scores, whose weighted mean counts."""

    objectives: Annotated[dict[str, ObjectiveConf], Field(min_length=1)]
    """The scores by name."""


AnyScore = Annotated[
    Annotated[Text, Tag("~plain")]
    | Annotated[Target, Tag("~callable")]
    | Annotated[Target, Tag("~mapping")]
    | Annotated[JudgeConf, BeforeValidator(_alone), Tag("~judge")]
    | Annotated[CostConf, BeforeValidator(_alone), Tag("~cost")]
    | Annotated[LatencyConf, BeforeValidator(_alone), Tag("~latency")]
    | Annotated[WeightedConf, BeforeValidator(_alone), Tag("~weighted")],
    Discriminator(_score_form),
]


def judges(score: Any, where: str = "task.score") -> dict[str, JudgeConf]:
    """Return the judges that a score declares, by the key where each stands."""
    if isinstance(score, WeightedConf):
        found: dict[str, JudgeConf] = {}
        for name, one in score.objectives.items():
            found |= judges(one.score, f"{where}.objectives.{name}.score")
        return found
    return {where: score} if isinstance(score, JudgeConf) else {}


def thrifty(score: Any, where: str = "task.score") -> dict[str, ThriftConf]:
    """Return what scores how little an example took, by the key where each stands."""
    if isinstance(score, WeightedConf):
        found: dict[str, ThriftConf] = {}
        for name, one in score.objectives.items():
            found |= thrifty(one.score, f"{where}.objectives.{name}.score")
        return found
    return {where: score} if isinstance(score, ThriftConf) else {}
