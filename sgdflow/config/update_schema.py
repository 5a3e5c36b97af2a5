"""What may stand under `method.update`; every field says what it is for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from sgdflow.config.fields import Conf, Count, Exchange, Reply, Target, Text, form_of
from sgdflow.update.select import UNDECIDED


class Critique(Exchange):
    """A call before the rewrite, whose text the rewrite is shown."""

    prompt: Text = "optimizer/critique.jinja"
    role: Text = "optimizer"
    reply: Reply = Reply(tag="critique")
    causes: Annotated[int, Field(ge=2)] | None = None
    """null: a review; else so many causes at most, each mended by a proposal of its own."""
    fallback: Literal["collect", "skip"] = "collect"
    """With causes, where no reply can be used: one proposal from all evidence, or none."""


class ChoiceConf(Exchange):
    """A call that chooses demonstrations among right work."""

    prompt: Text = "optimizer/demonstrations.jinja"
    role: Text = "optimizer"
    reply: Reply = Reply(tag="chosen")
    pieces: Annotated[int, Field(ge=2)] = 12
    """How many pieces of right work are shown at most, those that stand now among them."""
    memory: Annotated[int, Field(ge=0)] = 3
    """Choices tried before that are shown, with what the gate said."""


class SelectConf(Conf):
    """Which of the optimised parameters a step updates."""

    rule: Literal["all", "random", "blamed"] = "all"
    """blamed: those with the most gradients that ask for a change."""
    count: Count = 1
    """How many of them, where the rule is not all."""
    dismissive: Text = "nothing should change"
    """What one says that asks for no change, where none of CHANGE:, KEEP:, UNCLEAR: begins it."""
    undecided: tuple[Text, ...] = UNDECIDED
    """What such a one says that cannot tell, and that asks nobody for a change."""


class Update(Exchange):
    """What all shipped update rules have in common."""

    role: Text = "optimizer"
    parameters: list[str] | None = None
    """Names of the parameters to optimise; null: all that are not frozen."""
    select: SelectConf = SelectConf()
    max_characters: Count | None = None
    """A longer text is asked for again, and never cut; null: any length."""
    demonstrations: ChoiceConf | None = None
    """Who chooses demonstrations where there is more right work than places; null: nobody."""


class RewriteConf(Update):
    """Each parameter anew from its own evidence."""

    rule: Literal["rewrite"] = "rewrite"
    form: Literal["whole", "edits"] = "whole"
    """Whether a reply is the new text, or adds, replaces and deletes numbered lines of the old."""
    prompt: Text = "optimizer/rewrite.jinja"
    reply: Reply = Reply(tag="improved")
    critique: Critique | None = None
    """null: one stage."""
    memory: Annotated[int, Field(ge=0)] = 0
    """Texts tried before that are shown, with what the gate said of them."""
    momentum: Annotated[int, Field(ge=0)] = 0
    """Texts that the parameter had before which are shown, with gradients of each."""
    constraints: tuple[Text, ...] = ()
    """What every text has to keep to; shown, and not checked."""
    checks: bool = True
    """Whether a text that speaks of feedback, copies a query shown or adds nothing is refused."""
    successes: Annotated[int, Field(ge=0)] = 0
    """Right answers shown beside the failures."""
    contrast: Annotated[int, Field(ge=0)] = 0
    """Texts of other candidates shown, with what they made of the same examples."""


class WholeConf(Update):
    """All parameters in one reply, from the whole executed graph."""

    rule: Literal["whole"] = "whole"
    prompt: Text = "optimizer/optoprime.jinja"
    reply: Reply = Reply(format="json", partial=True)
    memory: Annotated[int, Field(ge=0)] = 0
    """Earlier proposals shown, with what the gate said of them."""
    checks: bool = True
    """Whether a text that speaks of feedback, copies a query shown or adds nothing is refused."""


class SearchConf(Update):
    """Several texts for one parameter, chosen by their scores."""

    rule: Literal["search"] = "search"
    prompt: Text = "optimizer/copro.jinja"
    reply: Reply = Reply(tag="improved")
    breadth: Count = 4
    """Texts a step."""
    depth: Count = 3
    """Rounds over all parameters."""
    memory: Annotated[int, Field(ge=0)] | None = None
    """Best attempts shown; null: all."""


def rule_of(value: object) -> str:
    """Tell the update rules apart; the names start with ~ and are left out of paths."""
    form = form_of(value)
    if form == "~callable":
        return form
    rule = value.get("rule", "rewrite") if isinstance(value, dict) else getattr(value, "rule", "")
    return f"~{rule}"


AnyUpdate = Annotated[
    Annotated[Target, Tag("~callable")]
    | Annotated[RewriteConf, Tag("~rewrite")]
    | Annotated[WholeConf, Tag("~whole")]
    | Annotated[SearchConf, Tag("~search")],
    Discriminator(rule_of),
]
