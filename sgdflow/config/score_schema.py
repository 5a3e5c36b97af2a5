"""What may stand under `task.score`; every field says what it is for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator

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
        if len(scale) != 2 or not scale[0] < scale[1]:
            raise ValueError("should be two numbers, the lower one first, such as [0, 1] or [1, 5]")
        return scale


def _alone(value: object) -> object:
    """Leave out the scorer of a shipped task, which Hydra keeps beside what is declared instead."""
    if isinstance(value, dict) and str(value.get("_target_", "")).startswith(SHIPPED):
        return {key: one for key, one in value.items() if key != "_target_"}
    return value


def _score_form(value: object) -> str:
    """Tell the forms of a score apart; the names start with ~ and are left out of paths."""
    if isinstance(value, JudgeConf) or (isinstance(value, dict) and "rubric" in value):
        return "~judge"
    if isinstance(value, WeightedConf) or (isinstance(value, dict) and "objectives" in value):
        return "~weighted"
    return form_of(value)


OneScore = Annotated[
    Annotated[Text, Tag("~plain")]
    | Annotated[Target, Tag("~callable")]
    | Annotated[Target, Tag("~mapping")]
    | Annotated[JudgeConf, BeforeValidator(_alone), Tag("~judge")],
    Discriminator(_score_form),
]


class ObjectiveConf(Conf):
    """One of several scores."""

    score: OneScore
    """As task.score, but for several objectives."""
    field: Text | None = None
    """Which field of the output is scored, against that of the target; null: the whole."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """How much it counts beside the others."""


class WeightedConf(Conf):
    """Several scores, whose weighted mean counts."""

    objectives: Annotated[dict[str, ObjectiveConf], Field(min_length=1)]
    """The scores by name."""


AnyScore = Annotated[
    Annotated[Text, Tag("~plain")]
    | Annotated[Target, Tag("~callable")]
    | Annotated[Target, Tag("~mapping")]
    | Annotated[JudgeConf, BeforeValidator(_alone), Tag("~judge")]
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
