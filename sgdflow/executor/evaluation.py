"""Scores of a graph with given parameters on given examples."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Self

from sgdflow.data import Example
from sgdflow.errors import CODE, NodeFailed, NothingAnswered, ScoringFailed
from sgdflow.executor.branches import present
from sgdflow.executor.forward import forward_pass, given_written
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.executor.kept import kept
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.executor.progress import Advance, Progress, Unwatched
from sgdflow.executor.scores import UNJUDGED, Scorer, unscored
from sgdflow.executor.took import took
from sgdflow.executor.walk import Failure, task_group
from sgdflow.llm import LLM
from sgdflow.llm.apart import Apart
from sgdflow.llm.packing import Packing

AT_ONCE = 1024
"""Examples under way at once, where nothing else is declared."""
ROOM = 200_000
"""Values of nodes that are remembered of parameters from which no step goes on."""
_UNANSWERED = frozenset(
    {
        "bad_request",
        "content_filter",
        "context_window",
        "empty",
        "malformed",
        "reasoning_only",
        "refusal",
        "too_large",
        "tool_call",
        "truncated",
    }
)
"""What a model could not answer, or its provider does not take, however often it is sent."""


@dataclass(frozen=True, slots=True)
class First:
    """How many examples are tried before all others, to stop where none can be answered."""

    count: int
    advice: Callable[[str, str], str]
    """What to do about a kind of failure at a node, in words."""

    def check(self, outcomes: Sequence[Outcome], place: str = "") -> None:
        """Raise NothingAnswered where all failed for one reason; `place` is that of the first."""
        kinds = {outcome.kind if outcome.failure is not None else "" for outcome in outcomes}
        if len(kinds) != 1 or kinds == {""}:
            return
        kind, failure, n = kinds.pop(), str(outcomes[0].failure), len(outcomes)
        node = failure.partition(":")[0]
        which = "The first example" if n == 1 else f"The first {n} examples all"
        advice = self.advice(kind, node)
        raise NothingAnswered(
            f"{which} failed for one reason, so that nothing else was asked "
            f"(llm.limits.first={self.count}): {kind}.\n{failure.rstrip('.')}"
            + (f", asked about {place}." if place else ".")
            + (f"\n{advice}" if advice else "")
        )


class Evaluator:
    """Runs and scores examples, and remembers what came of them, with whichever parameters."""

    def __init__(
        self,
        graph: Graph,
        score: Scorer,
        llm: LLM,
        progress: Progress | None = None,
        first: First | None = None,
        at_once: int = AT_ONCE,
        room: int = ROOM,
    ) -> None:
        self._first, self._at_once = first, at_once
        self._graph, self._score, self._llm = graph, score, llm
        self._given_written = given_written(graph)
        self._progress, self._packing = progress or Unwatched(), Packing()
        self._known: dict[tuple[str, int], dict[str, Outcome]] = {}
        self._settled, self._room = 0, room
        self._apart = False

    @property
    def untried(self) -> bool:
        """Return whether it is still to be found out that anything can be answered."""
        return self._first is not None

    def apart(self, among: int, progress: Progress) -> Self:
        """Return one that knows the same, for so many who ask it at the same time.

        Each example with given parameters draws by itself: what a model at random answers does
        not depend on who is scored first.
        """
        one = copy(self)
        self._first = None  # it tries the first examples, where that is still to do
        one._apart, one._progress = True, progress
        one._at_once = max(1, self._at_once // among)
        return one

    async def __call__(
        self, parameters: Parameters, examples: Sequence[Example], draw: int = 0
    ) -> Evaluation:
        """Return an outcome for each example; known outcomes of a draw are not computed again.

        What the infrastructure kept from an answer is asked once more. Another draw asks anew: a
        model that answers at random may answer otherwise.
        """
        known = self._known.setdefault((known_by(parameters), draw), {})
        todo = [example for example in examples if example.id not in known]
        await self._find(known, parameters, todo)
        # Once only: a request that never gets through must hold up no run.
        await self._find(known, parameters, [one for one in todo if known[one.id].lost])
        return Evaluation({example.id: known[example.id] for example in examples})

    async def _find(
        self, known: dict[str, Outcome], parameters: Parameters, todo: Sequence[Example]
    ) -> None:
        """Put what comes of some examples into what is known."""
        if todo:
            done = self._progress.expect("scoring", len(todo))
            outcomes = await self._each(parameters, todo, done)
            known.update({example.id: o for example, o in zip(todo, outcomes, strict=True)})

    def some(self, parameters: Parameters, examples: Sequence[Example]) -> Evaluation:
        """Return the outcomes that are known, of whichever examples."""
        known = self._known.get((known_by(parameters), 0), {})
        return Evaluation({one.id: known[one.id] for one in examples if one.id in known})

    def known(self, parameters: Parameters, examples: Sequence[Example]) -> Evaluation | None:
        """Return the outcomes that are known, None where one of them is not."""
        known = self._known.get((known_by(parameters), 0), {})
        if any(example.id not in known for example in examples):
            return None
        return Evaluation({example.id: known[example.id] for example in examples})

    def keep(self, *parameters: Parameters) -> None:
        """Keep all that is known of these, and of others as much as there is room for.

        Those go first that were known first. What the infrastructure kept from an answer is no
        score of theirs: it is asked for again, should they be proposed again.
        """
        keys, places = {known_by(p) for p in parameters}, [*self._known]
        # Those of one step by their names, and not in the order in which they were answered.
        old, new = places[: self._settled], sorted(places[self._settled :])
        kept, room = dict[tuple[str, int], dict[str, Outcome]](), self._room
        for place in reversed([*old, *new]):
            found = self._known[place]
            if place[0] not in keys:
                found = {i: outcome for i, outcome in found.items() if not outcome.lost}
                room -= len(found) * len(self._graph.nodes)
            if place[0] in keys or (found and room >= 0):
                kept[place] = found
        self._known, self._settled = dict(reversed(kept.items())), len(kept)

    async def _each(
        self, parameters: Parameters, todo: Sequence[Example], done: Advance
    ) -> Sequence[Outcome]:
        """Return the outcomes; the first time, all wait until one of the first is answered."""
        first, self._first = self._first, None
        count = 0 if first is None else first.count
        found: dict[str, Outcome] = {}

        async def work(examples: Iterator[Example]) -> None:
            for example in examples:
                found[example.id] = await self._one(parameters, example, done)

        async with task_group() as group:
            ahead = [group.create_task(self._one(parameters, one, done)) for one in todo[:count]]
            if first is not None:
                for task in asyncio.as_completed(ahead):
                    if (await task).failure is None:
                        break
                else:
                    self._check(first, [task.result() for task in ahead], todo[0].place)
            waiting = iter(todo[count:])
            for _ in range(min(self._at_once, len(todo) - count)):
                group.create_task(work(waiting))
        return [*(task.result() for task in ahead), *(found[one.id] for one in todo[count:])]

    def _check(self, first: First, outcomes: Sequence[Outcome], place: str) -> None:
        """Raise NothingAnswered where going on makes no sense."""
        code = all(outcome.kind == CODE for outcome in outcomes)
        if not (code and self._score.errors == "zero"):
            first.check(outcomes, place if code else "")

    async def _one(self, parameters: Parameters, example: Example, done: Advance) -> Outcome:
        outcome = await self._outcome(parameters, example)
        done(outcome.score)
        if (small := kept(self._packing, outcome.passed, outcome.calls)) is None:
            return outcome
        return replace(outcome, run=small, judged=())

    async def given(
        self, parameters: Parameters, example: Example, values: Mapping[str, Any]
    ) -> Outcome:
        """Return the outcome where some nodes have these values; it is not remembered."""
        return await self._outcome(parameters, example, values)

    async def _outcome(
        self, parameters: Parameters, example: Example, given: Mapping[str, Any] | None = None
    ) -> Outcome:
        llm = self._of(parameters, example) if self._apart else self._llm
        passed = await forward_pass(self._graph, parameters, example.id, example.inputs, llm, given)
        if self._graph.output in passed.failures:
            failure = passed.failures[self._graph.output]
            wrong = 0.0 if self._is_wrong(failure) else None
            return Outcome(passed, wrong, f"{failure.origin}: {failure.reason}", failure.kind)
        try:
            output = passed.values[self._graph.output]
            known, taken = present(passed.values), took(self._graph, passed)
            verdict = await self._score(example, known, output, llm, taken)
        except (NodeFailed, ScoringFailed) as error:
            raised = isinstance(error, NodeFailed)
            why = f"score: {error}"
            if isinstance(error, NodeFailed) and error.kind == UNJUDGED:
                return Outcome(passed, None, why, UNJUDGED, "", error.calls, error.behind)
            if raised and self._score.errors == "zero":
                return Outcome(passed, 0.0, why, CODE)
            raise ScoringFailed(
                f"{unscored(example, error)} Replies that are stored are not asked for again."
            ) from error
        return Outcome(passed, verdict.score, None, "", verdict.feedback, verdict.calls)

    def _of(self, parameters: Parameters, example: Example) -> LLM:
        return Apart(self._llm, f"{example.id} with {known_by(parameters)[:16]}")

    def _is_wrong(self, failure: Failure) -> bool:
        """Return whether it was a model that could not answer."""
        code = self._graph.nodes[failure.origin].forward.ask is None
        if self._score.errors == "zero" and (code or failure.kind == CODE):
            return True
        if failure.kind == CODE:
            return failure.origin in self._given_written
        return failure.kind in _UNANSWERED


def known_by(parameters: Parameters) -> str:
    """Return what parameters are known by, which is short however long their texts are."""
    return sha256(repr(sorted(parameters.items())).encode()).hexdigest()
