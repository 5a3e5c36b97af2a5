"""Forward and backward passes of text graphs: what is asked, when, and what comes of it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sgdflow.config.paths import prompt_folders
from sgdflow.data import Example
from sgdflow.errors import CallFailed, GraphError, ProviderRefused, ScoringFailed
from sgdflow.executor.backward import BackwardPass, Differentiation, backward_pass
from sgdflow.executor.backward_functions import PassThrough, PromptBackward
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.forward import CallableForward, ForwardPass, PromptForward, forward_pass
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import LOSS, Aggregation, Gradient, collect, distinct, total
from sgdflow.executor.graph import BackwardFunction, Graph, Node, Parameter
from sgdflow.executor.scores import Score
from sgdflow.executor.took import Took
from sgdflow.executor.walk import Failure, together
from sgdflow.llm import LLM, Message, Reply, Spent, Usage
from sgdflow.llm.scripted import Request, Said, Script, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.update import gather_evidence

T = TypeVar("T")

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
FORWARD = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("text")))
GRADIENT = ReplyFormat("tagged", "gradient")
JOINT = PromptBackward(Ask(PROMPTS, "backward/joint.jinja", "backward", GRADIENT))
EDGE = PromptBackward(
    Ask(PROMPTS, "backward/edge.jinja", "backward", GRADIENT), per_edge=True, neighbors=False
)


def agent(name: str, *predecessors: str) -> Node:
    """Return a node that a model computes, told what to do by a parameter of its own."""
    return Node(name, predecessors, {"instruction": f"{name}.instruction"}, FORWARD)


def code(name: str, *predecessors: str, call: Callable[..., Any]) -> Node:
    function = CallableForward(Function(call, name))
    return Node(name, predecessors, {}, function, PassThrough(PROMPTS))


def graph_of(*nodes: Node, frozen: Collection[str] = ()) -> Graph:
    """Return a graph of one input, question, whose last node is the output."""
    parameters = {
        full: Parameter(full, f"Task of {node.name}.", node.name in frozen)
        for node in nodes
        for full in node.parameters.values()
    }
    return Graph("test", ("question",), parameters, {n.name: n for n in nodes}, nodes[-1].name)


HINTS = graph_of(
    agent("hint_1", "question"),
    agent("hint_2", "question"),
    agent("answer", "hint_2", "question", "hint_1"),
)
DIAMOND = graph_of(
    agent("source", "question"),
    agent("start", "source"),
    agent("right", "start"),
    agent("left", "start"),
    agent("end", "left", "right"),
)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await coroutine

    return asyncio.run(bounded())


def forward(graph: Graph, llm: LLM, question: str = "Q?", example: str = "one") -> ForwardPass:
    return run(forward_pass(graph, graph.initial(), example, {"question": question}, llm))


def values_of(graph: Graph) -> ForwardPass:
    """Return a forward pass that was made without a model."""
    values = {"question": "Q?"} | {name: f"value of {name}" for name in graph.nodes}
    return ForwardPass("one", values, {}, {})


def backward(
    graph: Graph,
    llm: LLM,
    function: BackwardFunction = JOINT,
    aggregate: Aggregation = collect,
    optimised: Collection[str] | None = None,
    passed: ForwardPass | None = None,
) -> BackwardPass:
    names = graph.optimisable if optimised is None else [f"{n}.instruction" for n in optimised]
    how = Differentiation(function, aggregate)
    made = passed or values_of(graph)
    return run(backward_pass(graph, graph.initial(), made, "Feedback on the end.", names, how, llm))


def tagged(**gradients: str) -> str:
    return "\n".join(f'<gradient name="{n}">{text}</gradient>' for n, text in gradients.items())


def for_targets(say: Callable[[str, str], str] = "{0} to {1}".format) -> Script:
    """Return a script that gives each predecessor that is asked for what `say` says."""

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        assert role == "backward"
        asked = asked_for(messages[-1].content)
        return tagged(**{target: say(node, target) for target in asked})

    return script


def text_of(request: Request) -> str:
    return "\n".join(message.content for message in request.messages)


LINES = {
    "variable": r"^`(\w+)`: (.*)$",
    "output": r"^(.{0})Output: (.*)$",
    "feedback": r"^Feedback from `(\w+)`: (.*)$",
}
"""How a prompt shows short values."""


def blocks(request: Request, tag: str) -> list[tuple[str, ...] | str]:
    """Return what a prompt shows by tags or on a line, with the name where it has one."""
    between, prompt = rf'<{tag}(?: \w+="([^"]*)")?>\n(.*?)\n</{tag}>', text_of(request)
    lines = re.findall(LINES[tag], prompt, re.MULTILINE) if tag in LINES else []
    return [pair if pair[0] else pair[1] for pair in lines + re.findall(between, prompt, re.DOTALL)]


def asked_for(prompt: str) -> list[str]:
    """Return the names for which a prompt asks for a gradient."""
    return re.findall(r'<gradient name="(\w+)">', prompt)


def counted(llm: ScriptedLLM) -> Counter[str]:
    return Counter(request.node for request in llm.requests)


def test_a_shared_parameter_needs_a_name_of_its_own_too() -> None:
    for name in ("question", "answer"):
        with pytest.raises(GraphError, match=f"'{name}'"):
            Graph(
                "collision",
                ("question",),
                {name: Parameter(name, "text")},
                {"answer": Node("answer", ("question",), {"told": name}, FORWARD)},
                "answer",
            )


# Forward


def test_each_node_is_computed_from_what_it_declares_in_that_order() -> None:
    replies = {"hint_1": " First. ", "hint_2": "{{ 7*7 }}", "answer": "49"}
    llm = ScriptedLLM(lambda role, node, messages: replies[node])
    passed = forward(HINTS, llm, "How {{ much }}?")

    assert list(passed.values.items()) == [
        ("question", "How {{ much }}?"),
        ("hint_1", "First."),
        ("hint_2", "{{ 7*7 }}"),
        ("answer", "49"),
    ]
    assert passed.failures == {}
    requests = {request.node: request for request in llm.requests}
    assert len(llm.requests) == 3
    assert blocks(requests["hint_1"], "variable") == [("question", "How {{ much }}?")]
    assert blocks(requests["answer"], "variable") == [
        ("hint_2", "{{ 7*7 }}"),
        ("question", "How {{ much }}?"),
        ("hint_1", "First."),
    ]
    assert blocks(requests["answer"], "instruction") == ["Task of answer."]

    for name, (call,) in passed.calls.items():
        assert (call.node, call.role, call.reply) == (name, "forward", replies[name])
        assert call.messages == requests[name].messages
        assert call.usage.prompt > 0


@dataclass
class Gathering:
    """A model that answers no request before all that should be under way are.

    If they are not sent at once, they wait for each other until the test's time is up.
    """

    groups: Mapping[str, int]
    """Names of nodes, and how many requests for them belong together."""
    reply: Callable[[str], str]
    requests: list[str] = field(default_factory=list)
    met: dict[str, asyncio.Barrier] = field(default_factory=dict)

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        self.requests.append(node)
        (group,) = (names for names in self.groups if node in names.split())
        await self.met.setdefault(group, asyncio.Barrier(self.groups[group])).wait()
        return Reply(self.reply(messages[-1].content))

    def spent(self) -> Mapping[str, Spent]:
        return {}


def examples(*questions: str) -> list[Example]:
    return [Example(f"e{i}", {"question": q}, "yes") for i, q in enumerate(questions)]


def exactly(output: object, target: object) -> int:
    return int(output == target)


def test_nodes_of_an_example_and_examples_of_a_batch_run_at_once() -> None:
    llm = Gathering({"hint_1 hint_2": 8, "answer": 4}, lambda prompt: "yes")
    evaluate = Evaluator(HINTS, Score(Function(exactly, "exactly")), llm)
    evaluation = run(evaluate(HINTS.initial(), examples("a", "b", "c", "d")))
    assert evaluation.scores == {"e0": 1, "e1": 1, "e2": 1, "e3": 1}
    assert len(llm.requests) == 12


def test_no_more_examples_are_under_way_than_are_declared() -> None:
    begun: list[int] = []
    under_way, most = 0, 0

    def answers(inputs: str) -> Coroutine[Any, Any, str]:
        async def answer() -> str:
            nonlocal under_way, most
            begun.append(int(inputs))
            under_way += 1
            most = max(most, under_way)
            for _ in range(int(inputs) % 3 + 1):
                await asyncio.sleep(0)
            under_way -= 1
            return inputs

        return answer()

    graph = graph_of(code("end", "question", call=answers))
    scorer = Score(Function(lambda output, target: int(output) / 10, "scorer"))
    evaluate = Evaluator(graph, scorer, ScriptedLLM(lambda *asked: "yes"), at_once=3)
    evaluation = run(evaluate({}, examples(*map(str, range(10)))))
    assert (most, sorted(begun)) == (3, list(range(10)))
    assert evaluation.scores == {f"e{i}": i / 10 for i in range(10)}


def test_a_failed_node_fails_its_example_with_the_reason_and_the_batch_goes_on() -> None:
    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        if node == "hint_1" and "second" in messages[-1].content:
            return CallFailed("the model is overloaded", "overloaded")
        return "yes" if node == "answer" else "a hint"

    llm = ScriptedLLM(script)
    evaluate = Evaluator(HINTS, Score(Function(exactly, "exactly")), llm)
    evaluation = run(evaluate(HINTS.initial(), examples("first", "second", "third")))

    assert list(evaluation.outcomes) == ["e0", "e1", "e2"]
    assert evaluation.scores == {"e0": 1, "e2": 1}
    assert evaluation.failures == {"e1": "hint_1: the model is overloaded"}
    summary = evaluation.summary()
    assert summary is not None
    assert (summary.mean, summary.n, summary.failed) == (1, 2, 1)
    failed = evaluation.outcomes["e1"].passed
    assert failed.values == {"question": "second", "hint_2": "a hint"}
    assert failed.failures["answer"] == Failure(
        "hint_1", "the model is overloaded", kind="overloaded"
    )
    assert counted(llm) == {"hint_1": 3, "hint_2": 3, "answer": 2}


def test_a_refusing_provider_ends_the_batch() -> None:
    error = ProviderRefused("no such model")
    evaluate = Evaluator(
        HINTS, Score(Function(exactly, "exactly")), ScriptedLLM(lambda *asked: error)
    )
    with pytest.raises(ProviderRefused) as raised:
        run(evaluate(HINTS.initial(), examples("a", "b")))
    assert raised.value is error


def _broken(output: object, target: object) -> float:
    raise ValueError("cannot read that")


@pytest.mark.parametrize(
    ("scoring", "reason"),
    [
        (_broken, "scorer raised ValueError: cannot read that ("),
        (lambda output, target: 2, "scorer returned 2; a score is a number in [0, 1]. "),
        (lambda output, target: -0.1, "scorer returned -0.1;"),
        (lambda output, target: float("nan"), "scorer returned nan;"),
        (lambda output, target: None, "scorer returned None;"),
        (lambda output, target: "1", "scorer returned '1';"),
    ],
)
def test_a_scorer_that_fails_ends_it_at_once(scoring: Callable[..., Any], reason: str) -> None:
    evaluate = Evaluator(
        HINTS, Score(Function(scoring, "scorer")), ScriptedLLM(lambda *asked: "yes")
    )
    with pytest.raises(ScoringFailed) as told:
        run(evaluate(HINTS.initial(), examples("a")))
    assert str(told.value).startswith(f"task.score: example e0: {reason}")


@pytest.mark.parametrize(("value", "score"), [(True, 1.0), (0, 0.0), (0.25, 0.25)])
def test_scores_are_numbers_from_0_to_1(value: float, score: float) -> None:
    async def awaited(output: object, target: object) -> float:
        return value

    assert run(
        Score(Function(awaited, "scorer"))(examples("yes")[0], {}, "yes", ScriptedLLM({}), Took())
    ).score == pytest.approx(score)


def test_known_outcomes_are_not_paid_for_twice() -> None:
    llm = ScriptedLLM(lambda *asked: "yes")
    evaluate = Evaluator(HINTS, Score(Function(exactly, "exactly")), llm, room=0)
    start, other = HINTS.initial(), {**HINTS.initial(), "answer.instruction": "Else."}
    three = examples("a", "b", "c")

    async def requests_for(parameters: Mapping[str, Any], *which: Example) -> int:
        before = len(llm.requests)
        evaluation = await evaluate(parameters, which)
        assert list(evaluation.outcomes) == [one.id for one in which]
        return len(llm.requests) - before

    async def story() -> list[int]:
        made = [
            await requests_for(start, three[0], three[1]),
            await requests_for(start, three[2], three[0]),
            await requests_for(other, three[0]),
            await requests_for(start, *three),
        ]
        evaluate.keep(other)
        return [*made, await requests_for(other, three[0]), await requests_for(start, three[0])]

    assert run(story()) == [6, 3, 3, 0, 0, 3]


# Backward


def test_a_joint_call_shows_everything_once_and_gives_each_predecessor_its_own() -> None:
    llm = ScriptedLLM(for_targets())
    passed = backward(HINTS, llm)

    (request,) = llm.requests  # the hints have no predecessor that could change
    assert (request.role, request.node) == ("backward", "answer")
    assert blocks(request, "variable") == [
        ("hint_2", "value of hint_2"),
        ("question", "Q?"),
        ("hint_1", "value of hint_1"),
    ]
    assert blocks(request, "instruction") == ["Task of answer."]
    assert blocks(request, "output") == ["value of answer"]
    assert blocks(request, "feedback") == [("loss", "Feedback on the end.")]
    assert asked_for(text_of(request)) == ["hint_2", "hint_1"]

    assert passed.gradients == {
        "hint_1": (Gradient("answer", "answer to hint_1"),),
        "hint_2": (Gradient("answer", "answer to hint_2"),),
        "answer": (Gradient(LOSS, "Feedback on the end."),),
    }
    assert passed.failures == {}
    (call,) = passed.calls["answer"]
    assert call.messages == request.messages
    assert passed.calls["hint_1"] == passed.calls["hint_2"] == ()


def test_a_call_per_edge_shows_one_value_and_hides_its_neighbors() -> None:
    llm = ScriptedLLM(for_targets())
    passed = backward(HINTS, llm, EDGE)

    assert [blocks(request, "variable") for request in llm.requests] == [
        [("hint_2", "value of hint_2")],
        [("hint_1", "value of hint_1")],
    ]
    first, second = map(text_of, llm.requests)
    assert "value of hint_1" not in first
    assert "value of hint_2" not in second
    assert "Q?" not in first + second
    for request in llm.requests:
        assert blocks(request, "output") == ["value of answer"]
        assert blocks(request, "feedback") == [("loss", "Feedback on the end.")]
    assert passed.gradients["hint_1"] == (Gradient("answer", "answer to hint_1"),)
    assert passed.gradients["hint_2"] == (Gradient("answer", "answer to hint_2"),)
    assert [call.node for call in passed.calls["answer"]] == ["answer", "answer"]


def test_a_call_per_edge_may_show_the_neighbors() -> None:
    llm = ScriptedLLM(for_targets())
    ask = Ask(PROMPTS, "backward/joint.jinja", "backward", GRADIENT)
    backward(HINTS, llm, PromptBackward(ask, per_edge=True))
    assert [len(blocks(request, "variable")) for request in llm.requests] == [3, 3]
    asked = [asked_for(text_of(one)) for one in llm.requests]
    assert asked == [["hint_2"], ["hint_1"]]


@pytest.mark.parametrize(("function", "calls"), [(JOINT, 1), (EDGE, 2)], ids=["joint", "edge"])
def test_nodes_and_edges_are_differentiated_at_once(function: BackwardFunction, calls: int) -> None:
    def reply(prompt: str) -> str:
        return tagged(**dict.fromkeys(asked_for(prompt), "more"))

    # Two passes: their calls for 'end' at once, then those for 'left' and 'right'.
    llm = Gathering({"end": 2 * calls, "left right": 4, "start": 2}, reply)
    how = Differentiation(function)

    async def both() -> tuple[BackwardPass, ...]:
        start = DIAMOND.initial()
        return await together(
            backward_pass(DIAMOND, start, values_of(DIAMOND), "no", DIAMOND.optimisable, how, llm)
            for _ in range(2)
        )

    for passed in run(both()):
        assert passed.gradients["start"] == (Gradient("right", "more"), Gradient("left", "more"))


@pytest.mark.parametrize(
    ("optimised", "called", "reached"),
    [
        (["start"], {"end": 1, "middle": 1, "next": 1}, {"start", "next", "middle", "end"}),
        (["middle"], {"end": 1}, {"middle", "end"}),
        (["end"], {}, {"end"}),
        (["next", "other"], {"end": 1, "middle": 1}, {"next", "middle", "other", "end"}),
        ([], {}, set()),
    ],
)
def test_nothing_is_asked_for_what_cannot_change(
    optimised: list[str], called: Mapping[str, int], reached: set[str]
) -> None:
    graph = graph_of(
        agent("start", "question"),
        agent("next", "start"),
        agent("middle", "next", "question"),
        agent("other", "question"),
        agent("end", "middle", "other"),
    )
    llm = ScriptedLLM(for_targets())
    passed = backward(graph, llm, optimised=optimised)
    assert counted(llm) == called
    assert passed.gradients.keys() == reached
    # Only predecessors in reach are asked for, though all are shown.
    asked = {name for request in llm.requests for name in asked_for(text_of(request))}
    assert asked == reached - {"end"}


def test_a_frozen_parameter_is_no_reason_to_ask() -> None:
    graph = graph_of(
        agent("fixed", "question"),
        agent("free", "question"),
        agent("end", "fixed", "free"),
        frozen=["fixed"],
    )
    llm = ScriptedLLM(for_targets())
    passed = backward(graph, llm)
    assert [asked_for(text_of(request)) for request in llm.requests] == [["free"]]
    assert passed.gradients.keys() == {"free", "end"}


def test_a_code_node_passes_on_what_it_was_told_with_what_it_computed() -> None:
    graph = graph_of(
        agent("writer", "question"),
        code("shout", "writer", call=lambda text: text.upper() + "!"),
        agent("end", "shout"),
    )
    llm = ScriptedLLM(
        lambda role, node, messages: "soft" if role == "forward" else tagged(shout="Be louder.")
    )
    passed = forward(graph, llm)
    assert passed.values["shout"] == "SOFT!"
    made = backward(graph, llm, passed=passed)

    assert counted(llm) == {"writer": 1, "end": 2}
    assert made.gradients["shout"] == (Gradient("end", "Be louder."),)
    (gradient,) = made.gradients["writer"]
    assert gradient.source == "shout"
    for part in (
        '<value name="writer">\nsoft\n</value>',
        "<computed>\nSOFT!\n</computed>",
        '<said from="end">\nBe louder.\n</said>',
    ):
        assert part in gradient.value


class Slow(ScriptedLLM):
    """Answers for one node long after the others."""

    def __init__(self, script: Script, node: str) -> None:
        super().__init__(script)
        self._slow = node

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        reply = await super().complete(role, messages, node=node, sample=sample)
        for _ in range(20 if node == self._slow else 0):
            await asyncio.sleep(0)
        return reply


@pytest.mark.parametrize("slow", ["left", "right"])
def test_gradients_arrive_from_all_successors_in_declared_order(slow: str) -> None:
    llm = Slow(for_targets(), slow)
    passed = backward(DIAMOND, llm)
    assert passed.gradients["start"] == (
        Gradient("right", "right to start"),
        Gradient("left", "left to start"),
    )
    (request,) = (request for request in llm.requests if request.node == "start")
    assert blocks(request, "feedback") == [("right", "right to start"), ("left", "left to start")]
    assert passed.gradients["source"] == (Gradient("start", "start to source"),)
    assert list(passed.gradients) == ["source", "start", "right", "left", "end"]


@pytest.mark.parametrize(
    ("aggregate", "shown"),
    [
        (collect, [("right", "same"), ("left", "same")]),
        (distinct, [("right", "same")]),
        (lambda gradients: " & ".join(g.value for g in gradients), [("all", "same & same")]),
    ],
    ids=["collect", "distinct", "own"],
)
def test_the_declared_aggregation_decides_what_the_next_call_sees(
    aggregate: Aggregation, shown: list[tuple[str, str]]
) -> None:
    llm = ScriptedLLM(for_targets(lambda node, target: "same"))
    passed = backward(DIAMOND, llm, aggregate=aggregate)
    (request,) = (request for request in llm.requests if request.node == "start")
    assert blocks(request, "feedback") == shown
    assert len(passed.gradients["start"]) == 2  # the record keeps what arrived


def test_aggregations() -> None:
    a, b, again = Gradient("x", "a"), Gradient("y", "b"), Gradient("z", "a")
    assert collect((a, b, again)) == (a, b, again)
    assert distinct((a, b, again)) == (a, b)
    assert distinct((b, a, again, b)) == (b, a)
    assert distinct(()) == ()
    assert total((Gradient("x", 1.5), Gradient("y", -4), Gradient("z", 0.5))) == -2


def test_an_aggregation_that_fails_fails_its_node_only() -> None:
    def picky(gradients: Sequence[Gradient]) -> object:
        if len(gradients) == 2:
            raise ValueError("cannot join two")
        return gradients

    passed = backward(DIAMOND, ScriptedLLM(for_targets()), aggregate=picky)
    assert passed.failures == {
        name: Failure("start", "aggregation raised ValueError: cannot join two")
        for name in ("source", "start")
    }
    assert passed.gradients["left"] == (Gradient("end", "end to left"),)


def test_a_backward_failure_leaves_the_evidence_of_other_nodes_intact() -> None:
    graph = graph_of(
        agent("a", "question"),
        agent("left", "a"),
        agent("b", "question"),
        agent("right", "b"),
        agent("end", "left", "right"),
    )
    good = for_targets()
    assert callable(good)
    llm = ScriptedLLM(
        lambda role, node, messages: (
            CallFailed("overloaded", "overloaded") if node == "left" else good(role, node, messages)
        )
    )
    forward_made = values_of(graph)
    passed = backward(graph, llm, passed=forward_made)
    assert passed.failures == {
        "a": Failure("left", "overloaded", kind="overloaded"),
        "left": Failure("left", "overloaded", kind="overloaded"),
    }
    evidence = gather_evidence(graph, [forward_made], {"one": passed}, graph.optimisable)
    # What was said of 'left' had arrived before it failed to hand it on.
    assert {name: items[0].gradients for name, items in evidence.items()} == {
        "left.instruction": (Gradient("end", "end to left"),),
        "b.instruction": (Gradient("right", "right to b"),),
        "right.instruction": (Gradient("end", "end to right"),),
        "end.instruction": (Gradient(LOSS, "Feedback on the end."),),
    }


# Replies that cannot be used

GOOD = tagged(hint_2="two", hint_1="one")
MALFORMED = {
    "one is missing": (tagged(hint_2="two"), '<gradient name="hint_1"> is missing'),
    "untagged": ("Change the hints!", '<gradient name="hint_2"> is missing'),
    "empty": (tagged(hint_2="two", hint_1=" "), "it is empty where hint_1 should be"),
    "twice": (GOOD + tagged(hint_1="or this"), '<gradient name="hint_1"> stands 2 times'),
    "of another": (tagged(hint_2="two", hint_10="ten"), '<gradient name="hint_1"> is missing'),
    "closed twice": (tagged(hint_2="use </gradient> twice", hint_1="one"), "</gradient>"),
    "never closed": (GOOD.removesuffix("</gradient>"), "</gradient> is missing"),
    "closed by the next": (GOOD.replace("two</gradient>", "two"), "</gradient> is missing"),
    "cut off": (Reply(GOOD, truncated=True), "it was cut off at the token limit"),
    "nothing": ("", "it is empty"),
}


@pytest.mark.parametrize(("bad", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_reply_is_asked_for_again_with_the_reason(
    bad: str | Reply, reason: str
) -> None:
    llm = ScriptedLLM({"backward": [bad, GOOD]})
    passed = backward(HINTS, llm)
    first, second = llm.requests
    *before, said, again = second.messages
    assert tuple(before) == first.messages
    text = bad.text if isinstance(bad, Reply) else bad
    assert said == Message("assistant", text or "(empty)")
    assert again.role == "user"
    assert reason in again.content

    assert passed.aggregated["hint_1"] == (Gradient("answer", "one"),)
    assert passed.aggregated["hint_2"] == (Gradient("answer", "two"),)
    (call,) = passed.calls["answer"]
    assert call.messages == first.messages
    assert call.reply == GOOD
    (why,) = call.malformed
    assert reason in why


@pytest.mark.parametrize(("bad", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_after_the_last_attempt_nothing_of_a_malformed_reply_is_used(
    bad: str | Reply, reason: str
) -> None:
    llm = ScriptedLLM({"backward": [bad, bad, bad, GOOD]})
    passed = backward(HINTS, llm)
    assert len(llm.requests) == 3
    assert passed.gradients == {"answer": (Gradient(LOSS, "Feedback on the end."),)}
    assert passed.failures.keys() == {"answer", "hint_1", "hint_2"}
    why = passed.failures["hint_1"]
    assert why.origin == "answer"
    assert "3 replies of the backward model could not be used" in why.reason
    assert reason in why.reason


def test_an_exchange_counts_the_tokens_of_all_its_replies() -> None:
    replies = [Reply("no", Usage(100, 10)), Reply("Yes.", Usage(120, 20), truncated=True)]
    llm = ScriptedLLM({"forward": [Reply("", Usage(1, 1)), *replies, "unused"]})
    single = graph_of(agent("answer", "question"))
    passed = forward(single, llm)
    assert passed.values["answer"] == "no"
    assert passed.calls["answer"][0].usage == Usage(101, 11)
    assert len(passed.calls["answer"][0].malformed) == 1


def test_a_truncated_output_is_never_used() -> None:
    llm = ScriptedLLM(lambda *asked: Reply("The answer is 4", truncated=True))
    passed = forward(graph_of(agent("answer", "question")), llm)
    assert "answer" not in passed.values
    assert "cut off" in passed.failures["answer"].reason
    assert len(llm.requests) == 3


def test_numbered_replies_are_told_apart_by_whole_numbers() -> None:
    names = [f"hint_{i}" for i in range(1, 13)]
    graph = graph_of(*(agent(name, "question") for name in names), agent("answer", *names))
    function = PromptBackward(
        Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("numbered"))
    )
    lines = [f"{i}. gradient {i}" for i in range(1, 13)]
    without_second = [line for line in lines if not line.startswith("2.")]
    llm = ScriptedLLM({"backward": ["\n".join(without_second), "\n".join(lines)]})
    passed = backward(graph, llm, function)
    assert len(llm.requests) == 2
    for i, name in enumerate(names, 1):
        assert passed.gradients[name] == (Gradient("answer", f"gradient {i}"),)
