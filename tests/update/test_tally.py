"""Tallies of answers: of what was read for the score, beside what should have been."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from sgdflow.config.build import build_graph, build_method, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import validated
from sgdflow.data.scoring import any_of, like_target
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.functions import Function
from sgdflow.executor.kept import kept
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.executor.scores import Score
from sgdflow.llm.packing import Packing, unpacked
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.update import Item, Situation
from sgdflow.update.tally import Tally, tally

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))


def told(outputs: Mapping[str, str | None], targets: Mapping[str, object], score: object) -> Tally:
    """None: a model could not answer."""
    outcomes = {
        i: Outcome(ForwardPass(i, {} if out is None else {"end": out}, {}, {}), 0.0, out and None)
        for i, out in outputs.items()
    }
    unread = Outcome(ForwardPass("x", {}, {}, {}), 0.0, "answer: cut off", "truncated")
    outcomes |= {i: unread for i, out in outputs.items() if out is None}
    reader = Score(Function(score, {}, "score"))  # type: ignore[arg-type]
    return tally(Evaluation(outcomes), targets, "end", reader)


def test_what_was_read_is_counted_and_not_what_was_written() -> None:
    outputs = {
        "1": "Thinking of 1 thing. **No**",
        "2": "It is 2 things, so: no.",
        "3": "The answer is yes.",
        "4": "I would rather not.",
        "5": None,
    }
    found = told(outputs, dict.fromkeys("12", "Yes") | dict.fromkeys("345", "no"), like_target)
    assert found.answers == '"no" 2, no readable answer 2, "yes" 1'
    assert found.wanted == '"no" 3, "yes" 2'


def test_many_different_answers_are_told_only_where_some_are_frequent() -> None:
    numbers = {str(i): f"So we get {i if i % 2 else 7}" for i in range(30)}
    found = told(numbers, {str(i): str(i) for i in range(30)}, like_target)
    assert (found.answers, found.wanted) == ('"7" 16, others 14', "")
    texts = {str(i): f"{i} is a text of its own" for i in range(30)}
    assert told(texts, {i: f"{i} other" for i in texts}, like_target).answers == ""


def test_outputs_that_the_score_is_not_of_are_not_counted() -> None:
    """A judge's verdict may well be the same for all: the label is of another node's value."""

    def of_the_draft(target: object, values: Mapping[str, object]) -> float:
        raise NotImplementedError

    found = told(dict.fromkeys("abcdefghij", "5"), dict.fromkeys("abcdefghij", "x"), of_the_draft)
    assert (found.answers, found.wanted, found.constant) == ("", "", "")


def test_acceptable_answers_count_as_the_first_of_them() -> None:
    found = told({"1": "It is Paris"}, {"1": ["Paris", "City of Light"]}, any_of)
    assert found.expected == {"paris": 1}


@pytest.mark.parametrize(
    ("given", "expected", "said"),
    [
        (
            {"no": 35, "yes": 5},
            {"no": 20, "yes": 20},
            '35 of 40 answers are "no" (only 20 should be)',
        ),
        ({"no": 33, "yes": 7}, {"no": 20, "yes": 20}, ""),
        ({"no": 36, "yes": 4}, {"no": 30, "yes": 10}, ""),  # as most of them should be
        ({"0": 9}, {"1": 3, "2": 6}, '9 of 9 answers are "0" (none should be)'),
        ({"no": 7}, {"yes": 7}, ""),  # of so few nothing is said
        ({"no readable answer": 20}, {"yes": 20}, ""),  # its kinds are told by others
        ({}, {}, ""),
    ],
)
def test_answers_are_constant_where_nearly_all_are_one_and_should_not_be(
    given: Mapping[str, int], expected: Mapping[str, int], said: str
) -> None:
    assert Tally(given, expected).constant == said


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_passes_are_unpacked_as_often_for_many_texts_as_for_one(
    score: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each writer is shown the tally and some right work; a pass is as large as its graph."""
    unpacked_passes = 0

    def counted(packed: bytes, like: bytes) -> object:
        nonlocal unpacked_passes
        unpacked_passes += 1
        return unpacked(packed, like)

    monkeypatch.setattr("sgdflow.executor.kept.unpacked", counted)

    def work(nodes: int) -> int:
        nonlocal unpacked_passes
        names = [f"n{i}" for i in range(nodes)]
        layer = {
            one: {"predecessors": ["question"], "parameters": {"instruction": "Count."}}
            for one in names
        }
        end = {"end": {"predecessors": names, "forward": {"_target_": "builtins.max"}}}
        conf = {"name": "g", "inputs": ["question"], "nodes": {**layer, **end}, "output": "end"}
        graph = build_graph(expand_graph(conf), PROMPTS)
        values = {"question": "1 and 2?", **dict.fromkeys(names, "3"), "end": "3"}
        small = kept(Packing(), ForwardPass("e", values, {}, {}), ())
        assert small is not None
        evidence = {
            f"{one}.instruction": (Item("f", one, {"question": "4 and 5?"}, "8", ()),)
            for one in names
        }
        known = Evaluation({"e": Outcome(small, score, None)})
        situation = Situation(
            graph, graph.initial(), evidence, optimised=[*evidence], standing=known,
            targets={"e": "3"}, reader=Score(Function(like_target, "score")),
        )  # fmt: skip
        rule = build_method(validated(compose([])).method, graph, PROMPTS).update
        llm = ScriptedLLM(lambda role, node, messages: "<improved>Count them all.</improved>")
        unpacked_passes = 0
        found = asyncio.run(rule.propose(situation, llm))
        assert len(found.changes) == len(llm.requests) == nodes
        asked = [request.messages[-1].content for request in llm.requests]
        assert ["1 and 2?" in one for one in asked] == [score == 1.0] * nodes
        return unpacked_passes

    assert work(12) == work(1) > 0
