"""Other wordings of texts: those that are declared, the others written by a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sgdflow.config.prepare import Prepared
from sgdflow.config.problems import ask
from sgdflow.errors import NodeFailed, ReplyError
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.probe.units import Unit
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.dressing import unfenced_like
from sgdflow.prompting.templates import Prompts
from sgdflow.update.constraints import check, told
from sgdflow.update.prompt_views import SAMPLE_MEMBER


@dataclass(frozen=True, slots=True)
class Wordings:
    """What there is to try."""

    texts: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Parameter -> its other wordings."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """Parameter -> why it has none."""

    def of(self, unit: Unit) -> Sequence[Mapping[str, Any]]:
        """Return the wordings of a node: for each, new values of all its parameters."""
        if any(not self.texts.get(name) for name in unit.parameters):
            return ()
        columns = zip(*(self.texts[name] for name in unit.parameters), strict=False)
        return [dict(zip(unit.parameters, row, strict=True)) for row in columns]

    def why_none(self, unit: Unit) -> str:
        """Return why a node has none."""
        return next((self.lacking[n] for n in unit.parameters if n in self.lacking), "")


def wordings_sample() -> Mapping[str, Any]:
    """Return made-up variables of the template."""
    return {
        "parameter": {"name": "parameter", "text": "..."},
        "members": [SAMPLE_MEMBER],
        "constraints": ["..."],
        "variant": 1,
        "count": 2,
    }


async def written(
    prepared: Prepared, prompts: Prompts, found: Sequence[Unit], llm: LLM
) -> Wordings:
    """Return the declared wordings of these nodes, and those that a model writes for the others."""
    conf = prepared.config.probe.wordings
    names = [name for unit in found for name in unit.parameters]
    asked = [name for name in names if name not in conf.texts]
    exchange = ask(conf, prompts)
    replies = await together(
        _one(prepared, exchange, name, variant, llm)
        for name in asked
        for variant in range(1, conf.count + 1)
    )
    texts: dict[str, tuple[Any, ...]] = {n: tuple(conf.texts[n]) for n in names if n in conf.texts}
    lacking: dict[str, str] = {}
    for name in asked:
        mine = [said for who, said in replies if who == name]
        good = dict.fromkeys(said for said in mine if isinstance(said, str))
        texts[name] = tuple(good)
        if not good:
            lacking[name] = str(next(said for said in mine if isinstance(said, NodeFailed)))
    return Wordings(texts, lacking)


async def _one(
    prepared: Prepared, exchange: Ask, name: str, variant: int, llm: LLM
) -> tuple[str, str | NodeFailed]:
    graph, before = prepared.problem.graph, str(prepared.start[name])
    constraints = graph.parameters[name].constraints

    def accept(texts: Mapping[str, str]) -> None:
        if _plain(unfenced_like(texts[""], before)) == _plain(before):
            raise ReplyError("it is the text as it stood; write one that differs")
        check(constraints, texts[""], before)

    variables = {
        "parameter": {"name": name, "text": before},
        "members": [graph.view(node, prepared.start).few() for node in graph.successors[name]],
        "constraints": list(told(constraints)),
        "variant": variant,
        "count": prepared.config.probe.wordings.count,
    }
    try:
        answered = await exchange.send(llm, name, variables, accept=accept, sample=variant)
    except NodeFailed as error:
        return name, error
    return name, unfenced_like(answered.texts[""], before)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
