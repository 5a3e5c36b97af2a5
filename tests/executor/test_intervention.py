"""Verified blame against hand-worked trials, and its numeric counterpart against differences."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.paths import prompt_folders
from sgdflow.data import Example
from sgdflow.executor.backward import BackwardPass, Differentiation, backward_pass
from sgdflow.executor.backward_functions import CallableBackward
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.forward import CallableForward, PromptForward, forward_pass
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import Gradient, total
from sgdflow.executor.graph import Graph, Node, Parameter
from sgdflow.executor.intervention import Intervention, Verification, downstream
from sgdflow.executor.scores import Judge, Score
from sgdflow.executor.voting import Vote
from sgdflow.llm import Message
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.update import gather_evidence
from sgdflow.update.evidence import weighed

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
FORWARD = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("text")))
VALUE = Ask(PROMPTS, "backward/value.jinja", "backward", ReplyFormat("tagged", "value"), 1)
NAMES = ("left", "right", "join")


def team() -> Graph:
    """Return two who write a number each and one who adds them up."""
    nodes = {
        "left": Node("left", ("question",), {"instruction": "left.instruction"}, FORWARD),
        "right": Node("right", ("question",), {"instruction": "right.instruction"}, FORWARD),
        "join": Node("join", ("left", "right"), {"instruction": "join.instruction"}, FORWARD),
    }
    names = [f"{name}.instruction" for name in nodes]
    parameters = {name: Parameter(name, f"Task of {name}.") for name in names}
    return Graph("team", ("question",), parameters, nodes, "join")


def asks(value: Any) -> bool:
    return not str(value).startswith("Nothing")


def model(new: Mapping[str, str]) -> Callable[[str, str, Sequence[Message]], str]:
    """Return workers who say 1 and 2 and add up, and a writer of the given values."""

    def answer(role: str, node: str, messages: Sequence[Message]) -> str:
        text = messages[-1].content
        if role == "backward":
            return new[node]
        if node != "join":
            return {"left": "1", "right": "2"}[node]
        given = text.split("</variable>")[:2]
        return str(sum(int(part.rsplit("\n", 2)[1]) for part in given))

    return answer


def trials(
    new: Mapping[str, str], gradients: Mapping[str, str], target: str, *, exact: bool = False
) -> tuple[tuple[Intervention, ...], list[tuple[str, str]]]:
    """Return what the trials of these gradients found, and the calls they took."""
    graph, llm = team(), ScriptedLLM(model(new))
    texts = {name: one.initial for name, one in graph.parameters.items()}

    def score(output: str, target: str) -> float:
        if exact:
            return float(output == target)
        return max(0.0, 1 - abs(int(output) - int(target)) / 10)

    evaluate = Evaluator(graph, Score(Function(score, "score")), llm)
    example = Example("e", {"question": "Q"}, target)

    async def go() -> tuple[Intervention, ...]:
        outcome = (await evaluate(texts, [example])).outcomes["e"]
        llm.requests.clear()
        arrived = {name: (Gradient("join", said),) for name, said in gradients.items()}
        backward = BackwardPass("e", arrived, {}, {}, {})
        verification = Verification(VALUE, 1)
        return await verification.verify(
            graph, texts, example, outcome, backward, asks, evaluate, llm
        )

    found = asyncio.run(go())
    return found, [(request.role, request.node) for request in llm.requests]


BLAMED = {"left": "Say more.", "right": "Say more.", "join": "Be right."}


@pytest.mark.parametrize(
    ("new", "after", "verdict"),
    [("5", 1.0, "repaired"), ("3", 0.8, "better"), ("1", 0.6, "no effect"), ("0", 0.5, "worse")],
)
def test_a_value_written_as_its_gradient_asks_is_followed_to_the_score(
    new: str, after: float, verdict: str
) -> None:
    """By hand: 1 + 2 = 3 where 7 is expected scores 0.6; each new left value is added to 2."""
    found, calls = trials(
        {"left": f"<value>{new}</value>"},
        {**BLAMED, "right": "Nothing should change."},
        "7",
    )
    (one,) = found
    assert (one.node, one.value, one.verdict) == ("left", new, verdict)
    assert (one.before, one.after) == pytest.approx((0.6, after))
    # The writer's call and the one node after it: neither the left nor the right one run again.
    assert calls == [("backward", "left"), ("forward", "join")]


def test_what_only_all_values_together_repair_is_found_so() -> None:
    """By hand: 1 + 2 where 12 is expected and anything else is quite wrong; 4 + 8 is right."""
    new = {"left": "<value>4</value>", "right": "<value>8</value>"}
    found, calls = trials(new, BLAMED, "12", exact=True)
    assert [(one.before, one.after, one.verdict, one.together) for one in found] == [
        (0.0, 1.0, "repaired", True)
    ] * 2
    assert calls.count(("forward", "join")) == 3  # each alone, then both
    found, _ = trials({**new, "right": "<value>9</value>"}, BLAMED, "12", exact=True)
    assert [(one.after, one.verdict, one.together) for one in found] == [(0.0, "open", False)] * 2


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        ("colour=B4 size=?", "nearer"),  # one of two is right, and more is wrong
        ("colour=? size=?", "no effect"),  # the answer is the same word for word
        ("colour=C5 size=?", "open"),  # another answer, as wrong as before
        ("nothing", "open"),
        ("silence B4", "no effect"),  # who is given it breaks: what is left of that says nothing
        ("colour=B4 size=C3", "repaired"),
    ],
)
def test_where_a_score_cannot_show_it_the_words_of_the_answer_do(value: str, verdict: str) -> None:
    """An answer is right or wrong; the writer of the value and who hands it on are played."""
    graph = team()
    join = replace(graph.nodes["join"], predecessors=("left",))
    nodes = {"left": graph.nodes["left"], "join": join}
    told = {name: one for name, one in graph.parameters.items() if "right" not in name}
    graph = replace(graph, nodes=nodes, parameters=told)

    def said(role: str, node: str, messages: Sequence[Message]) -> str:
        if role == "backward":
            return f"<value>{value}</value>"
        given = messages[-1].content.partition('<variable name="left">')[2]
        if "silence" in given:
            return ""
        return given.partition("</variable>")[0].strip() or "colour=? size=?"

    llm, texts = ScriptedLLM(said), {f"{n}.instruction": "" for n in ("left", "join")}
    evaluate = Evaluator(graph, Score(Function(exactly, "exactly")), llm)
    example = Example("e", {"question": "Q"}, "colour=B4 size=C3")

    async def go() -> tuple[Intervention, ...]:
        outcome = (await evaluate(texts, [example])).outcomes["e"]
        backward = BackwardPass("e", {"left": (Gradient("join", "Mend it."),)}, {}, {}, {})
        trial = Verification(VALUE, 1)
        return await trial.verify(graph, texts, example, outcome, backward, asks, evaluate, llm)

    (found,) = asyncio.run(go())
    assert found.verdict == verdict


def test_values_that_help_together_alone_are_tried_so_though_one_comes_nearer() -> None:
    """By hand: right shows only where left is known, so that left alone comes nearer."""

    def said(role: str, node: str, messages: Sequence[Message]) -> str:
        if role == "backward":
            return {"left": "<value>B4</value>", "right": "<value>C3</value>"}[node]
        if node != "join":
            return "?"
        left, right = (
            part.rsplit("\n", 2)[1] for part in messages[-1].content.split("</variable>")[:2]
        )
        return f"left={left} right={right if left == 'B4' else '?'}"

    graph, llm = team(), ScriptedLLM(said)
    texts = {name: one.initial for name, one in graph.parameters.items()}
    evaluate = Evaluator(graph, Score(Function(exactly, "exactly")), llm)
    example = Example("e", {"question": "Q"}, "left=B4 right=C3")

    async def go() -> tuple[Intervention, ...]:
        outcome = (await evaluate(texts, [example])).outcomes["e"]
        blamed = {name: (Gradient("join", "Mend it."),) for name in ("left", "right")}
        backward = BackwardPass("e", blamed, {}, {}, {})
        trial = Verification(VALUE, 1)
        return await trial.verify(graph, texts, example, outcome, backward, asks, evaluate, llm)

    found = asyncio.run(go())
    assert [(one.verdict, one.together) for one in found] == [("repaired", True)] * 2


def exactly(output: str, target: str) -> float:
    return float(output == target)


def test_each_blamed_value_is_tried_alone_and_the_output_never() -> None:
    found, _ = trials({"left": "<value>5</value>", "right": "<value>4</value>"}, BLAMED, "7")
    assert [(one.node, one.verdict) for one in found] == [("left", "repaired"), ("right", "better")]


def test_no_more_calls_are_made_than_can_be_told_before() -> None:
    """By hand: the sum is voted on by 3 and judged, for each value alone and for both."""
    graph, names = team(), [f"{name}.instruction" for name in NAMES]
    join = replace(graph.nodes["join"], forward=Vote(FORWARD.ask, samples=3))
    graph = replace(graph, nodes={**graph.nodes, "join": join})
    form = ReplyFormat("tagged", "verdict")
    judge = Judge(Ask(PROMPTS, "score/judge.jinja", "judge", form), "Be right.")
    wrong = '<verdict name="feedback">No.</verdict><verdict name="score">0</verdict>'
    work = model({"left": "<value>4</value>", "right": "<value>8</value>"})
    llm = ScriptedLLM(lambda role, *asked: wrong if role == "judge" else work(role, *asked))
    evaluate, texts = Evaluator(graph, judge, llm), graph.initial()
    example, verification = Example("e", {"question": "Q"}, None), Verification(VALUE, 1)

    async def go() -> None:
        outcome = (await evaluate(texts, [example])).outcomes["e"]
        llm.requests.clear()
        arrived = {name: (Gradient("join", said),) for name, said in BLAMED.items()}
        passed = BackwardPass("e", arrived, {}, {}, {})
        await verification.verify(graph, texts, example, outcome, passed, asks, evaluate, llm)

    asyncio.run(go())
    made = Counter(request.role for request in llm.requests)
    assert made == {"backward": 2, "forward": 3 * 3, "judge": 3}
    assert verification.most(graph, names, judges=1) == (2, 3 * 3 + 3)


def test_a_value_that_could_not_be_written_tests_nothing() -> None:
    (one, _), calls = trials({"left": "no tags", "right": "<value>4</value>"}, BLAMED, "7")
    assert (one.verdict, one.value) == ("untested", None)
    assert "could not be used" in str(one.failure)
    assert calls.count(("forward", "join")) == 1


def test_trials_decide_what_a_writer_is_shown_first_and_what_not() -> None:
    graph = team()
    passes = [
        asyncio.run(
            forward_pass(
                graph,
                {f"{n}.instruction": "" for n in NAMES},
                name,
                {"question": "Q"},
                ScriptedLLM(model({})),
            )
        )
        for name in ("a", "b", "c")
    ]
    backward = {
        passed.example: BackwardPass(
            passed.example, {"left": (Gradient("join", f"On {passed.example}."),)}, {}, {}, {}
        )
        for passed in passes
    }
    evidence = gather_evidence(graph, passes, backward, ["left.instruction"])
    found = [
        Intervention("a", "left", 0.0, "9", 0.0),
        Intervention("c", "left", 0.0, "9", 1.0),
        Intervention("b", "right", 0.0, "9", 0.0),
    ]
    dropped = weighed(evidence, found)["left.instruction"]
    assert [(one.example, one.verdict) for one in dropped] == [("c", "repaired"), ("b", "untested")]
    nearer = [*found[1:], Intervention("a", "left", 0.0, "9", 0.0, moved="nearer")]
    kept = weighed(evidence, nearer)["left.instruction"]
    assert [(one.example, one.verdict) for one in kept] == [
        ("a", "nearer"),
        ("c", "repaired"),
        ("b", "untested"),
    ]
    different = [Intervention("a", "left", 0.0, "9", 0.0, moved="otherwise"), *found[1:]]
    kept = weighed(evidence, different)["left.instruction"]
    assert [one.verdict for one in kept] == ["repaired", "open", "untested"]
    shown = weighed(evidence, found, "show")["left.instruction"]
    assert [one.example for one in shown] == ["c", "b", "a"]
    assert weighed(evidence, [Intervention(i, "left", 0.0, "9", 0.0) for i in "abc"]) == {}


# Numbers: what a gradient says of a node's value, against the loss with that value changed.


def multiply(x: float, y: float, *, w: float) -> float:
    return w * x * y


def wave(x: float, *, w: float) -> float:
    return math.sin(w * x)


def back_multiply(operands: Mapping[str, float], output: float, gradient: float) -> Any:
    (x, y), w = [v for n, v in operands.items() if n != "w"], operands["w"]
    first, second = [n for n in operands if n != "w"]
    return {first: gradient * w * y, second: gradient * w * x}


def back_wave(operands: Mapping[str, float], output: float, gradient: float) -> Any:
    ((name, x),) = [(n, v) for n, v in operands.items() if n != "w"]
    return {name: gradient * operands["w"] * math.cos(operands["w"] * x)}


def numeric() -> Graph:
    """Return a graph in which one value is used twice and another through two others."""
    shapes = {"a": ("x",), "b": ("a",), "c": ("a", "b"), "d": ("b",), "e": ("c", "d")}
    nodes = {}
    for name, given in shapes.items():
        call, back = (wave, back_wave) if len(given) == 1 else (multiply, back_multiply)
        forward = CallableForward(Function(call, name))
        backward = CallableBackward(Function(back, name))
        nodes[name] = Node(name, given, {"w": f"{name}.w"}, forward, backward)
    parameters = {f"{n}.w": Parameter(f"{n}.w", 0.7 + i / 5) for i, n in enumerate(nodes)}
    return Graph("numeric", ("x",), parameters, nodes, "e")


@pytest.mark.parametrize("x", [0.3, -1.1, 2.4])
def test_gradients_of_values_are_what_interventions_measure(x: float) -> None:
    graph, llm = numeric(), ScriptedLLM(lambda *_: "")
    weights = {name: one.initial for name, one in graph.parameters.items()}

    async def output(given: Mapping[str, float]) -> float:
        passed = await forward_pass(graph, weights, "e", {"x": x}, llm, given)
        return float(passed.values["e"])

    async def go() -> tuple[BackwardPass, dict[str, float]]:
        passed = await forward_pass(graph, weights, "e", {"x": x}, llm)
        how = Differentiation(CallableBackward(Function(back_wave, "unused")), total)
        backward = await backward_pass(graph, weights, passed, 1.0, tuple(weights), how, llm)
        slopes, h = {}, 1e-5
        for name in graph.nodes:
            value, after = passed.values[name], downstream(graph, name)
            known = {n: passed.values[n] for n in graph.nodes if n not in after}
            up = await output({**known, name: value + h})
            down = await output({**known, name: value - h})
            slopes[name] = (up - down) / (2 * h)
        return backward, slopes

    backward, slopes = asyncio.run(go())
    assert backward.aggregated["e"] == pytest.approx(slopes["e"])
    for name in ("a", "b", "c", "d"):
        assert backward.aggregated[name] == pytest.approx(slopes[name], rel=1e-6, abs=1e-8)
