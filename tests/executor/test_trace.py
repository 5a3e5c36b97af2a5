"""What a program did becomes a graph: which call used which prompt, and what it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.functions import Function
from sgdflow.executor.graph import Node, Operands
from sgdflow.executor.trace import TracedForward
from sgdflow.llm import Message, Usage
from sgdflow.prompting.ask import Call

Shape = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""Call -> what it is given, and which prompts it uses."""
PLAN, ANSWER = "Plan it.", "Answer it."

CASES: Mapping[str, tuple[Mapping[str, str], Sequence[tuple[str, str]], str, Shape]] = {
    "a chain": (
        {"plan": PLAN, "answer": ANSWER},
        [(f"{PLAN}\nWhy?", "first, then"), (f"{ANSWER} Why? Plan: first, then", "Because.")],
        "Because.",
        {
            "plan_call": (["question"], ["plan"]),
            "answer_call": (["question", "plan_call"], ["answer"]),
        },
    ),
    "holes, tags and JSON": (
        {"plan": "Plan {question} in {n} steps.", "answer": "By {{ plan }} answer shortly."},
        [
            ("Plan Why? in 3 steps.", "Well: <steps>\nlook  it up\n</steps> Good luck."),
            ("By look it up answer shortly.", '{"answer": 7, "sure": true}'),
        ],
        "7",
        {"plan_call": (["question"], ["plan"]), "answer_call": (["plan_call"], ["answer"])},
    ),
    "a prompt within another": (
        {"plan": "Plan it.", "answer": "Plan it. Then answer it."},
        [("Plan it. Then answer it. Why?", "So."), ("Plan it. So.", "Done.")],
        "Done.",
        {"answer_call": (["question"], ["answer"]), "plan_call": (["answer_call"], ["plan"])},
    ),
    "one prompt again and again": (
        {"plan": PLAN},
        [(f"{PLAN} Why?", "A"), (f"{PLAN} A", "B"), (f"{PLAN} B", "C")],
        "C",
        {
            "plan_call": (["question"], ["plan"]),
            "plan_call_2": (["plan_call"], ["plan"]),
            "plan_call_3": (["plan_call_2"], ["plan"]),
        },
    ),
    "a number is not a part of another": (
        {"plan": PLAN, "answer": ANSWER},
        [(f"{PLAN} Why?", "4"), (f"{ANSWER} Why? It is 14, or 4.5.", "9")],
        "9",
        {
            "plan_call": (["question"], ["plan"]),
            "answer_call": (["question"], ["answer"]),
            "result": (["plan_call", "answer_call"], []),
        },
    ),
    "an answer made of two, a prompt that is not used, an input that is not seen": (
        {"plan": PLAN, "answer": ANSWER, "third": "Never."},
        [(f"{PLAN} WHY?", "red"), (f"{ANSWER} WHY?", "blue")],
        "red and blue",
        {
            "plan_call": (["question"], ["plan"]),
            "answer_call": ([], ["answer"]),
            "result": (["plan_call", "answer_call"], []),
        },
    ),
    "a call without a prompt": (
        {"answer": ANSWER},
        [("Search for Why?", "a page"), (f"{ANSWER} a page", "Because.")],
        "So: Because.",
        {
            "model_call": (["question"], []),
            "answer_call": (["model_call"], ["answer"]),
            "result": (["answer_call"], []),
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_calls_become_nodes(case: str) -> None:
    prompts, made, output, expected = CASES[case]
    names = {local: f"agent.{local}" for local in prompts}
    forward = TracedForward(Function(str, "agent"))
    node = Node("agent", ("question",), names, forward)
    calls = tuple(Call("agent", "inside", (Message("user", m),), r, Usage()) for m, r in made)
    passed = ForwardPass("1", {"question": "Why?", "agent": output}, {"agent": calls}, {})
    parameters = {full: prompts[local] for local, full in names.items()}
    unfolded = forward.unfolded(node, Operands({"question": "Why?"}, prompts), parameters, passed)
    assert unfolded is not None
    graph = unfolded.graph
    found = {n: ([*one.predecessors], [*one.parameters]) for n, one in graph.nodes.items()}
    assert found == expected
    assert unfolded.passed.values[graph.output] == output
    assert set(graph.parameters) == {names[p] for _, used in expected.values() for p in used}


def test_what_ends_first_among_calls_at_the_same_time_makes_no_difference() -> None:
    """Two at once, which cannot have taken up each other's replies, then one that takes up both."""
    prompts = {"plan": PLAN, "answer": ANSWER, "join": "Join."}
    names = {local: f"agent.{local}" for local in prompts}
    forward = TracedForward(Function(str, "agent"))
    node = Node("agent", ("question",), names, forward)
    said = {"plan": f"{PLAN} Why? 4", "answer": f"{ANSWER} Why? 3", "join": "Join. 3 4"}
    replies = {"plan": "3", "answer": "4", "join": "34"}
    parameters = {full: prompts[local] for local, full in names.items()}
    found = []
    for ends in ({"plan": 5.0, "answer": 6.0}, {"plan": 6.0, "answer": 5.0}):
        times = {"plan": (1.0, ends["plan"]), "answer": (2.0, ends["answer"]), "join": (6.0, 9.0)}
        calls = tuple(
            Call("agent", "inside", (Message("user", text),), replies[n], Usage(), times=times[n])
            for n, text in sorted(said.items(), key=lambda one: times[one[0]][1])
        )
        passed = ForwardPass("1", {"question": "Why?", "agent": "34"}, {"agent": calls}, {})
        operands = Operands({"question": "Why?"}, prompts)
        unfolded = forward.unfolded(node, operands, parameters, passed)
        assert unfolded is not None
        found.append({n: one.predecessors for n, one in unfolded.graph.nodes.items()})
        assert list(found[0]) == list(found[-1]) == ["plan_call", "answer_call", "join_call"]
    assert found[0] == found[1]
    assert found[0]["plan_call"] == found[0]["answer_call"] == ("question",)
    assert found[0]["join_call"] == ("plan_call", "answer_call")


def test_a_program_that_made_no_call_stays_one_node() -> None:
    forward = TracedForward(Function(str, "agent"))
    node = Node("agent", ("question",), {}, forward)
    passed = ForwardPass("1", {"question": "Why?", "agent": "So."}, {}, {})
    assert forward.unfolded(node, Operands({"question": "Why?"}, {}), {}, passed) is None
