"""Semantic gradient descent's update rule: rewrite each parameter from its own evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sgdflow.errors import OVERFLOW, NodeFailed
from sgdflow.executor.gradients import Gradient
from sgdflow.executor.graph import Graph
from sgdflow.executor.places import View
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask, Call
from sgdflow.prompting.replies import check_length
from sgdflow.update.checks import RUN, Check, check_text, no_check
from sgdflow.update.constraints import check_new, told
from sgdflow.update.contrast import Contrast, Done, contrasts
from sgdflow.update.edits import Form, Whole, numbers
from sgdflow.update.evidence import Item
from sgdflow.update.prompt_views import (
    SAMPLE_ITEM,
    SAMPLE_MEMBER,
    SAMPLE_WROTE,
    Attempt,
    Stand,
    examples,
    members,
    not_texts,
    stands,
    tries,
)
from sgdflow.update.rule import Proposal, Situation, StepCalls
from sgdflow.update.standing import Frame, Standing, about, frames, standing, successes


@dataclass(frozen=True, slots=True)
class _Known:
    """What the writers of all parameters are shown; whole passes are unpacked for it once."""

    how: Standing | None
    right: Mapping[str, Sequence[Item]]


@dataclass(frozen=True, slots=True)
class _Written:
    """A new text or the reason for none, and the calls that were made for it."""

    text: str | None
    reason: str | None
    calls: tuple[Call, ...]
    too_long: bool = False
    """Whether the prompt did not fit the writer's context window."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One call for each parameter that has evidence, or two with a critique; all at once."""

    ask: Ask
    max_characters: int | None = None
    """A longer text is asked for again and then skipped; never cut."""
    critique: Ask | None = None
    """A call before the rewrite, whose text the rewrite is shown."""
    memory: int = 0
    """How many of the latest texts tried are shown, with what the gate said of them."""
    momentum: int = 0
    """How many of the latest texts it had are shown, with gradients of each."""
    constraints: tuple[str, ...] = ()
    """What every text has to keep to; shown, and not checked."""
    successes: int = 0
    """How many right answers are shown beside the failures."""
    check: Check = no_check
    """Raises ReplyError for a text that is no use."""
    contrast: int = 0
    """How many texts of other candidates are shown, with what they made of the same examples."""
    form: Form = field(default_factory=Whole)
    """How a reply says what the new text is."""

    async def propose(self, situation: Situation, llm: LLM) -> Proposal:
        """Return the rewritten texts."""
        names = list(situation.evidence)
        known = _Known(standing(situation), successes(situation, names, self.successes))
        found = await together(self._one(name, situation, known, llm) for name in names)
        written = dict(zip(names, found, strict=True))
        return Proposal(
            {
                name: one.text
                for name, one in written.items()
                if one.text is not None and one.text.strip() != situation.parameters[name].strip()
            },
            {name: one.reason for name, one in written.items() if one.reason is not None},
            {name: one.calls for name, one in written.items()},
            too_long=tuple(name for name, one in written.items() if one.too_long),
        )

    def problems(self, graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
        """Yield what is wrong with the templates, or with parameters that are no texts."""
        sample = {
            "parameter": {"name": "parameter", "text": "..."},
            "lines": self.form.lines("..."),
            "cause": "...",
            **self._work([SAMPLE_MEMBER], [SAMPLE_ITEM]),
            "frames": [Frame("node", "...")],
            "about": "...",
            "standing": Standing(0.5, 2, "...", "..."),
            "successes": examples([SAMPLE_ITEM]),
            "others": ["other"],
            "attempts": [
                Attempt("...", 0.5, 0.5, "...", accepted=True),
                Attempt("...", None, 0.5, "...", 0.4, False, ("other",), (SAMPLE_WROTE,)),
            ],
            "stands": [Stand(1, "...", [Gradient("successor", "...")])],
            "contrasts": [Contrast("...", (Done(1, 1.0, "..."),), ("other",))],
        }
        if self.critique is not None:
            yield from (f"critique: {p}" for p in self.critique.problems(sample, "the critique"))
        yield from self.ask.problems({**sample, "critique": "..."}, "the update rule")
        if sample["lines"] and "lines" not in self.ask.prompts.mentioned(self.ask.prompt):
            yield (
                f"prompts/{self.ask.prompt} never shows lines, which edits name by number "
                "(form: edits). Use optimizer/rewrite.jinja, or form: whole."
            )
        yield from (numbers if sample["lines"] else not_texts)(graph, optimised)

    @property
    def goes_by_scores(self) -> bool:
        """Return False: of a text that was not scored to the end a bound is shown."""
        return False

    def calls(self, parameters: int) -> StepCalls:
        """Return what one step needs at most."""
        return StepCalls(optimizer=parameters * (1 if self.critique is None else 2))

    async def _one(self, name: str, situation: Situation, known: _Known, llm: LLM) -> _Written:
        right = known.right.get(name, ())
        tried = tries(situation.history, name, self.memory, situation.graph, situation.parameters)
        others = contrasts(situation, name, self.contrast)
        variables = {
            "parameter": {"name": name, "text": situation.parameters[name]},
            "lines": self.form.lines(situation.parameters[name]),
            "contrasts": others,
            **self._work(members(situation, name), situation.evidence[name], bool(others)),
            "constraints": [*self.constraints, *told(situation.graph.parameters[name].constraints)],
            "frames": frames(situation, name),
            "about": about(situation, name),
            "standing": known.how,
            "successes": examples(right),
            "others": [other for other in situation.evidence if other != name],
            "cause": cause.words if (cause := situation.causes.get(name)) else "",
            "attempts": tried,
            "stands": stands(situation.history, name, self.momentum),
        }
        made = (wrote for attempt in tried for wrote in attempt.replies if wrote.given)
        replies = [Item("", one.node, one.given, one.wrote, ()) for one in made]
        shown = (*situation.evidence[name], *right, *replies)
        calls: list[Call] = []
        # After a rejected proposal the same prompt may come again: ask for another reply.
        sample, critique = situation.sample, ""
        try:
            if self.critique is not None:
                review = await self.critique.send(llm, name, variables, sample=sample)
                calls.append(review.call)
                critique = review.texts[""]
            variables = {**variables, "critique": critique}
            answered = await self.ask.send(
                llm,
                name,
                variables,
                accept=partial(self._accept, name, situation, shown),
                sample=sample,
            )
        except NodeFailed as error:
            too_long = error.kind == OVERFLOW
            return _Written(None, str(error), (*calls, *error.calls), too_long)
        text = self.form.text(answered.texts[""], situation.parameters[name])
        return _Written(text, None, (*calls, answered.call))

    def _work(
        self, nodes: Sequence[View], items: Sequence[Item], numbered: bool = False
    ) -> Mapping[str, Any]:
        return {
            "members": nodes,
            "examples": examples(items, numbered=numbered),
            "constraints": list(self.constraints),
            "max_characters": self.max_characters,
            "copies": RUN if self.check is check_text else 0,
        }

    def _accept(
        self, name: str, situation: Situation, shown: Sequence[Item], texts: Mapping[str, str]
    ) -> None:
        before = str(situation.parameters[name])
        text = self.form.text(texts[""], before)
        check_length(text, self.max_characters)
        check_new(name, text, situation)
        declared = situation.graph.parameters[name].constraints
        # One of several, or a number, is no copy whatever it says.
        if not declared.choices and declared.number is None:
            self.check(text, before, shown)
