"""What may stand under `method.aggregation`; every field says what it is for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from sgdflow.config.fields import Conf, Exchange, Reply, Target, Text, form_of


class TreeConf(Exchange):
    """Summaries of groups, and then of the summaries, down to one."""

    rule: Literal["tree"] = "tree"
    reply: Reply = Reply(tag="summary")
    largest: Annotated[int, Field(ge=4)] = 8
    """What a group has at most; else it has the square root of their number."""


class SuccessorTree(TreeConf):
    """The gradients of one value that many successors use."""

    prompt: Text = "aggregation/successors.jinja"
    role: Text = "backward"


class ExampleTree(TreeConf):
    """The evidence of one parameter from many examples."""

    prompt: Text = "aggregation/examples.jinja"
    role: Text = "optimizer"


AnyAggregation = Annotated[
    Annotated[Target, Tag("~callable")]
    | Annotated[Literal["collect", "distinct", "sum", "tree"], Tag("~plain")]
    | Annotated[SuccessorTree, Tag("~mapping")],
    Discriminator(form_of),
    AfterValidator(lambda said: SuccessorTree() if said == "tree" else said),
]
AnyItemAggregation = Annotated[
    Annotated[Target, Tag("~callable")]
    | Annotated[Literal["collect", "distinct", "tree"], Tag("~plain")]
    | Annotated[ExampleTree, Tag("~mapping")],
    Discriminator(form_of),
    AfterValidator(lambda said: ExampleTree() if said == "tree" else said),
]


class Aggregation(Conf):
    """How gradients join: over the successors of a variable, and over examples."""

    successors: AnyAggregation = "collect"
    examples: AnyItemAggregation = "collect"
