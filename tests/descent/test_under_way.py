"""What is scored at the same time: all that waits for nothing, and no more than is declared.

The world is that of test_descent.py: a letter is answered by one call after another, so that as
many calls are under way as examples.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from test_descent import METHOD, RECALL, Watch, World, exactly, letters_graph

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.data import Example, Splits
from sgdflow.descent import Descent, Result
from sgdflow.descent.confirm import Confirm
from sgdflow.descent.method import Method, Problem, Stop
from sgdflow.executor.functions import Function
from sgdflow.executor.scores import Score
from sgdflow.llm import Message, Reply
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts


@dataclass
class Counted:
    """How many calls of nodes are under way, and were at most."""

    now: int = 0
    most: int = 0


class Slow(ScriptedLLM):
    """The world, whose answers take so long that all who may ask meanwhile do."""

    def __init__(self) -> None:
        super().__init__(World())
        self.calls = Counted()

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        if role != "forward":
            return await super().complete(role, messages, node=node, sample=sample)
        self.calls.now += 1
        self.calls.most = max(self.calls.most, self.calls.now)
        for _ in range(20):
            await asyncio.sleep(0)
        self.calls.now -= 1
        return await super().complete(role, messages, node=node, sample=sample)


def split(letters: str) -> tuple[Example, ...]:
    return tuple(Example(f"id {one}", {"letter": one}, one.upper()) for one in letters)


def problem(train: str, validation: str, test: str = "z", at_once: int = 1024) -> Problem:
    score = Score(Function(exactly, "exactly"))
    splits = Splits(split(train), split(validation), split(test))
    return Problem(letters_graph(), score, splits, (RECALL,), 0, at_once=at_once)


def descended(asked: Problem, method: Method, llm: Slow) -> Result:
    return asyncio.run(Descent(asked, method, llm, Watch()).run(asked.graph.initial()))


SCORED = replace(METHOD, stop=Stop(steps=0))


@pytest.mark.parametrize(
    ("method", "train", "validation", "test", "most"),
    [
        (SCORED, "abc", "defg", "z", 3 + 4),  # then test, which counts against no budget
        (replace(SCORED, batch=2), "abcde", "fg", "xyz", 5 + 3),  # train is only reported, too
        (replace(SCORED, confirm=Confirm()), "abc", "defg", "z", 4),  # there is nothing to confirm
    ],
)
def test_splits_that_count_alike_are_scored_together(
    method: Method, train: str, validation: str, test: str, most: int
) -> None:
    llm = Slow()
    result = descended(problem(train, validation, test), method, llm)
    assert llm.calls.most == most
    assert len(llm.requests) == 2 * len(train + validation + test)
    assert [result.initial.evaluations[one].summary() for one in ("train", "test")]


@pytest.mark.parametrize(("at_once", "most"), [(1024, 4 + 4), (4, 4)])
def test_the_winner_and_the_start_are_scored_together(at_once: int, most: int) -> None:
    llm, method = Slow(), replace(METHOD, confirm=Confirm(0.5), stop=Stop(steps=3))
    result = descended(problem("abc", "bcdefg", at_once=at_once), method, llm)
    assert llm.calls.most == most
    found = result.confirmation
    assert found is not None
    # Of b and c, which are training examples, too, what is known is not asked again.
    assert (found.examples, found.before, found.after) == (6, 0.0, 2 / 6)
    assert (found.better, found.worse, found.p, found.confirmed) == (2, 0, 0.25, True)
    assert found.parameters == result.parameters


def test_no_more_examples_are_under_way_than_declared() -> None:
    words = ["experiments=quickstart", "tracking=none", "llm.limits.examples=3"]
    prompts = Prompts(prompt_folders(Path(__file__).parent))
    declared = prepare(compose(words), prompts, {}).problem
    llm, asked = Slow(), replace(problem("abcdefghij", ""), at_once=declared.at_once)
    evaluate, texts = asked.evaluator(llm), asked.graph.initial()
    found = asyncio.run(evaluate(texts, asked.splits.train))
    assert (llm.calls.most, llm.calls.now) == (3, 0)
    assert [*found.scores] == [one.id for one in asked.splits.train]
    assert len(llm.requests) == 2 * 10
