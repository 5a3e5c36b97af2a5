"""What may stand under `probe`; every field says what it is for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sgdflow.config.fields import Conf, Count, Exchange, Reply, Text, Value

Share = Annotated[float, Field(gt=0, lt=1)]


class WordingsConf(Exchange):
    """Other wordings of texts that may be optimised, to see whether their nodes interact."""

    prompt: Text = "probe/wordings.jinja"
    role: Text = "optimizer"
    reply: Reply = Reply(tag="wording")
    attempts: Count = 2
    count: Count = 1
    """Written for each parameter that has none in `texts`."""
    texts: dict[str, Annotated[list[Value], Field(min_length=1)]] = Field(default_factory=dict)
    """By parameter: wordings of one's own, which take no call."""


class ProbeConf(Conf):
    """What `sgdflow probe` asks before a run."""

    calls: Count = 300
    """The most calls of models that it makes."""
    examples: Count = 20
    """Training examples that are scored."""
    again: Annotated[int, Field(ge=0)] = 8
    """How many of them are answered a second time, with sample numbers of their own."""
    pairs: Annotated[int, Field(ge=0)] = 8
    """Examples on which each pair of nodes is tried, more where the level takes more; 0: none."""
    level: Share = 0.05
    """How likely the probe may be to call any pair of nodes interacting that is not."""
    gain: Share = 0.1
    """An improvement that the run should be able to show: 0.1 is ten points."""
    losses: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the examples that a better text is taken to spoil all the same."""
    power: Share = 0.8
    """How likely the run should be to show it."""
    wordings: WordingsConf = WordingsConf()
