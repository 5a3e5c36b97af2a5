"""What is known of parameters is known for the run: what comes up again costs nothing.

The world is that of test_descent.py. Its models are asked anew for whatever is scored, as those
are that answer at random.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from test_descent import (
    ANSWER,
    METHOD,
    RECALL,
    World,
    between,
    descend,
    exactly,
    in_turn,
    letters_graph,
    tagged,
)
from test_search import scored

from sgdflow.data import Example
from sgdflow.descent.method import Method, Proposals, Sample, Stop
from sgdflow.descent.pool import PoolRules
from sgdflow.errors import CallFailed
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.functions import Function
from sgdflow.executor.scores import Score
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.update import Gate


def taking(steps: int, gate: Gate = METHOD.gate, **changes: Any) -> Method:
    return replace(METHOD, gate=gate, stop=Stop(steps=steps), **changes)


def test_a_text_that_was_turned_down_is_turned_down_again_without_a_call() -> None:
    made = descend(World(in_turn(*"xyxyx")), taking(5), optimised=[RECALL])
    assert set(scored(made).values()) == {1}
    said = [step.tried.decision.reason for step in made.steps]
    assert said[2:] == [f"{said[i]}; turned down before in step {i + 1}" for i in (0, 1, 0)]
    assert [step.gating.calls > 0 for step in made.steps] == [True, True, False, False, False]


def test_each_scoring_that_the_gate_repeats_is_made_once() -> None:
    made = descend(World(in_turn("x", "y", "x")), taking(3, Gate(repeats=3)), optimised=[RECALL])
    found = {number for (letter, _), number in scored(made).items() if letter in "abcd"}
    assert found == {3}


def test_what_counts_of_repeated_scorings_is_their_mean_on_either_side() -> None:
    """The first scoring is wrong with both of the texts."""
    world, answers = World(in_turn("x")), {"Recall.": iter("uuA"), "x": iter("uAA")}

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        prompt = messages[-1].content
        if role == "forward" and node == "recall" and between("variable", prompt) == ["a"]:
            return next(answers[between("instruction", prompt)[0]])
        return world(role, node, messages)

    method = taking(1, Gate(repeats=3))
    made = descend(ScriptedLLM(script), method, train="a", optimised=[RECALL])
    said = made.steps[0].tried.decision.reason
    assert said == "better: 0.3333 -> 0.6667 on 1 example (1 up, 0 down)"


def test_a_text_that_was_accepted_and_left_is_known_when_it_comes_back() -> None:
    there = in_turn("Know a.", "Know b.", "Know a.", "Know c.", "Know b.")
    made = descend(World(there), taking(5, Gate("not_worse")), optimised=[RECALL])
    assert made.result.accepted == 5
    assert set(scored(made).values()) == {1}


def test_what_was_turned_down_meets_another_text_with_the_scores_that_it_has() -> None:
    """The second meeting is another comparison: it is not said to be the first one."""
    there = in_turn("Know a. Know b.", "Know c.", "Know a. Know b. Know d.", "Know c.")
    made = descend(World(there), taking(4), optimised=[RECALL])
    assert [step.tried.decision.accepted for step in made.steps] == [True, False, True, False]
    assert set(scored(made).values()) == {1}
    assert "before" not in made.steps[3].tried.decision.reason


def test_a_decision_is_taken_anew_where_more_is_known_of_the_current_text() -> None:
    """A lazy step that looks for failures finds more to compare on; the rest is known."""
    method = taking(2, Gate(wave=None), lazy=True, sample=Sample("failing", 8, "waiting"))
    letters = "abcdefghijklmnop"
    made = descend(World(in_turn("x", "x")), method, train=letters, optimised=[RECALL])
    one, two = (step.tried for step in made.steps)
    assert one.trial.current is not None
    assert two.trial.current is not None
    assert len(one.trial.current.outcomes) < len(two.trial.current.outcomes)
    assert set(scored(made).values()) == {1}
    assert "before" not in two.decision.reason
    assert made.steps[1].gating.calls > 0


def test_a_decision_on_other_examples_is_another_one() -> None:
    method = taking(8, batch=1)
    made = descend(World(in_turn(*"xxxxxxxx")), method, train="ab", optimised=[RECALL])
    assert max(scored(made).values()) == 1
    first: dict[str, int] = {}
    for step in made.steps:
        (batch,) = step.tried.current.outcomes
        _, _, told = step.tried.decision.reason.partition("before in step ")
        assert told == (str(first[batch]) if batch in first else "")
        first.setdefault(batch, step.number)
    assert len(first) == 2


def test_a_decision_for_want_of_an_answer_is_taken_anew() -> None:
    world, down = World(in_turn("x", "x", "x")), iter("ab")

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        text = messages[-1].content
        if "<instruction>\nx" in text and next(down, ""):
            return CallFailed("nobody there", "server")  # twice: it is asked once more
        return world(role, node, messages)

    made = descend(ScriptedLLM(script), taking(3), train="a", optimised=[RECALL])
    said = [step.tried.decision.reason for step in made.steps]
    assert "nobody there" in said[0]
    equal = "equal: 0 -> 0 on 1 example (0 up, 0 down)"
    assert said[1:] == [equal, f"{equal}; turned down before in step 2"]


def test_parts_of_a_proposal_are_known_too() -> None:
    """The parts of the first are turned down with it; then each comes alone, then both again."""
    recall = iter(["x", "x", "Recall.", "x"])
    answer = iter(["y", "Answer.", "y", "y"])
    world = World(lambda *_: tagged(next(recall)), lambda *_: tagged(next(answer)))
    method = taking(4, proposals=Proposals(fallback=True))
    made = descend(world, method)
    first, *others = made.steps
    assert [len(one.changes) for one in first.tried.tested] == [2, 1, 1]
    assert [step.gating.calls for step in others] == [0, 0, 0]
    reasons = [step.tried.decision.reason for step in others]
    assert all("turned down before in step 1" in reason for reason in reasons)
    assert len(others[2].tried.tested) == 3


@pytest.mark.parametrize("again", [False, True])
def test_what_was_turned_down_before_takes_no_part_of_the_level(
    again: bool, places: list[int]
) -> None:
    second = "x" if again else "z"
    gate = Gate("paired", level=0.9)
    descend(World(in_turn("x", second, "y")), taking(3, gate), optimised=[RECALL])
    assert places[:3] == [0, 1, 1 if again else 2]


def test_nor_does_it_before_the_parts_that_are_tried_after_it(places: list[int]) -> None:
    recall, answer = iter("xx"), iter("yy")
    world = World(lambda *_: tagged(next(recall)), lambda *_: tagged(next(answer)))
    gate = Gate("paired", level=0.9)
    descend(world, taking(2, gate, proposals=Proposals(fallback=True)))
    # A whole and its parts, and the same once more; that no part passes counts as well.
    assert places[:6] == [0, 1, 2, 4, 4, 4]


# How much is known


def asked_again(
    room: int, texts: Sequence[str], kept: str, lost: str = "", *, together: bool = False
) -> list[str]:
    """Return which texts are asked about again, after each was scored in a step of its own."""
    down = {lost}
    seen: list[str] = []

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        text = messages[-1].content.split("<instruction>\n")[1].split("\n")[0]
        if node == "recall":
            seen.append(text)
            if text in down:
                return CallFailed("nobody there", "server")
        return "A"

    graph, score = letters_graph(), Score(Function(exactly, "exactly"))
    evaluate = Evaluator(graph, score, ScriptedLLM(script), room=room)
    examples = [Example(f"id {one}", {"letter": one}, "A") for one in "abc"]

    async def run() -> None:
        for text in texts:
            await evaluate({**graph.initial(), RECALL: text}, examples)
            if not together or text == texts[-1]:
                evaluate.keep({**graph.initial(), RECALL: kept})
        seen.clear()
        down.clear()
        for text in texts:
            await evaluate({**graph.initial(), RECALL: text}, examples)

    asyncio.run(run())
    return [*dict.fromkeys(seen)]


def test_what_is_known_of_others_has_a_bound_and_what_is_kept_has_none() -> None:
    """Each takes three examples of two nodes."""
    texts = ["kept", "one", "two", "three"]
    assert asked_again(18, texts, "kept") == []
    assert asked_again(17, texts, "kept") == ["one"]
    assert asked_again(6, texts, "kept") == ["one", "two"]
    assert asked_again(0, texts, "kept") == ["one", "two", "three"]
    assert asked_again(18, [*texts[1:], "kept"], "kept") == []


def test_what_is_forgotten_of_a_step_does_not_depend_on_who_was_answered_first() -> None:
    orders = permutations(["one", "two", "three"])
    found = {tuple(asked_again(12, order, "kept", together=True)) for order in orders}
    assert len(found) == 1
    assert len(*found) == 1


def test_what_the_infrastructure_kept_from_an_answer_is_no_score() -> None:
    assert asked_again(99, ["kept", "one", "two"], "kept", lost="one") == ["one"]
    assert asked_again(99, ["kept", "one", "two"], "kept", lost="kept") == []


# Merges


def test_a_merge_that_was_turned_down_is_not_tried_again_in_any_way() -> None:
    """To know some letters, or to guess where none is known, gets some right; both get none more.

    The better one, to which the merge adds, is the later one.
    """
    knows = "Know a. Know c."
    world = World(lambda text, letters: tagged(knows if {*letters} & {*"ac"} else text))

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        prompt = messages[-1].content
        if node == ANSWER:
            (text,) = between("parameter", prompt)
            return tagged("Guess." if "answer is: B" in prompt else text)
        said = world(role, node, messages)
        if node == "answer" and role == "forward" and "Guess." in prompt:
            return "B" if said == "unknown" else "nothing"
        return said

    method = taking(5, proposals=Proposals(2), pool=PoolRules(3, merge=True))
    waiting = replace(method, sample=Sample("failing", 1, "waiting"))
    made = descend(ScriptedLLM(script), waiting, train="abc")
    assert [len(step.proposals) for step in made.steps] == [2, 1, 2, 2, 2]
    assert [one.decision.accepted for one in made.steps[0].proposals] == [True, True]
    merge = made.steps[1].tried
    assert (merge.why, merge.parents, merge.decision.accepted) == ("merge", (2, 1), False)
    both = {RECALL: knows, ANSWER: "Guess."}
    later = [one for step in made.steps[2:] for one in step.proposals if one.proposed == both]
    assert {one.parents for one in later} == {(1,), (2,)}
    assert {one.parents for one in later if "before in step 2" in one.decision.reason} == {(2,)}
    assert all(step.gating.calls == 0 for step in made.steps[2:])
