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


class ExampleCluster(Exchange):
    """The evidence of one parameter by failure mode, each mended by a proposal of its own."""

    rule: Literal["cluster"] = "cluster"
    prompt: Text = "aggregation/cluster.jinja"
    role: Text = "optimizer"
    reply: Reply = Reply(tag="groups")
    count: Annotated[int, Field(ge=2)] = 3
    """Groups of a parameter, and proposals of a step, at most."""
    fallback: Literal["collect", "skip"] = "collect"
    """Where no reply can be used: one proposal from all evidence, or none for the parameter."""


def rule_of(value: object) -> str:
    """Tell the rules for examples apart; the names start with ~ and are left out of paths."""
    form = form_of(value)
    if form != "~mapping":
        return form
    rule = value.get("rule", "tree") if isinstance(value, dict) else getattr(value, "rule", "")
    return f"~{rule}"


def _by_name(said: object) -> object:
    """Return a rule that was named alone, with all its defaults."""
    known = {"tree": ExampleTree, "cluster": ExampleCluster}
    return known[said]() if isinstance(said, str) and said in known else said


AnyAggregation = Annotated[
    Annotated[Target, Tag("~callable")]
    | Annotated[Literal["collect", "distinct", "sum", "tree"], Tag("~plain")]
    | Annotated[SuccessorTree, Tag("~mapping")],
    Discriminator(form_of),
    AfterValidator(lambda said: SuccessorTree() if said == "tree" else said),
]
AnyItemAggregation = Annotated[
    Annotated[Target, Tag("~callable")]
    | Annotated[Literal["collect", "distinct", "tree", "cluster"], Tag("~plain")]
    | Annotated[ExampleTree, Tag("~tree")]
    | Annotated[ExampleCluster, Tag("~cluster")],
    Discriminator(rule_of),
    AfterValidator(_by_name),
]


class Aggregation(Conf):
    """How gradients join: over the successors of a variable, and over examples."""

    successors: AnyAggregation = "collect"
    examples: AnyItemAggregation = "collect"
