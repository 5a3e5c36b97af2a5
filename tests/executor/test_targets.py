"""Wide fan-in: several backward calls about a few predecessors each, with all of them in view."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sgdflow.config.paths import prompt_folders
from sgdflow.errors import CallFailed
from sgdflow.executor.backward import BackwardPass, Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import ForwardPass, PromptForward
from sgdflow.executor.graph import Graph, Node, Parameter
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, Script, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
FORWARD = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("text")))
LONG = 5000


def wide(members: int, digits: int = 1) -> Graph:
    """Return so many nodes that feed one."""
    names = [f"member_{i:0{digits}}" for i in range(members)]
    nodes = {n: Node(n, ("question",), {"instruction": f"{n}.instruction"}, FORWARD) for n in names}
    join = Node("join", ("question", *names), {"instruction": "join.instruction"}, FORWARD)
    found = {**nodes, "join": join}
    parameters = {f"{n}.instruction": Parameter(f"{n}.instruction", f"Task of {n}.") for n in found}
    return Graph("wide", ("question",), parameters, found, "join")


def critic(role: str, node: str, messages: Sequence[Message]) -> str:
    asked = re.findall(r'<gradient name="(\w+)">\.\.\.', messages[-1].content)
    return "".join(f'<gradient name="{n}">{n} should differ</gradient>' for n in asked)


def differentiate(
    graph: Graph,
    at_once: int | None,
    *,
    local: bool = False,
    script: Script = critic,
    per_edge: bool = False,
) -> tuple[BackwardPass, Sequence[str]]:
    llm = ScriptedLLM(script)
    ask = Ask(
        PROMPTS,
        f"backward/{'local' if local else 'joint'}.jinja",
        "backward",
        ReplyFormat("tagged", "gradient"),
    )
    function = PromptBackward(ask, per_edge, local=local, at_once=at_once)
    texts = {name: parameter.initial for name, parameter in graph.parameters.items()}
    given = dict.fromkeys(graph.inputs, "Q " * 400)
    values = {**given, **{n: f"{n} " + "x" * LONG for n in graph.nodes}}
    passed = ForwardPass("e", values, {}, {})
    how = Differentiation(function)
    found = backward_pass(graph, texts, passed, "wrong", tuple(texts), how, llm)
    return asyncio.run(found), [r.messages[-1].content for r in llm.requests if r.node == "join"]


def asked(prompt: str) -> list[str]:
    return re.findall(r'<gradient name="(\w+)">\.\.\.', prompt)


def shown(prompt: str) -> Mapping[str, str]:
    long = r'<variable name="(\w+)">\n(.*?)\n</variable>'
    found = re.findall(rf"(?s:{long})|^`(\w+)`: (.*)$", prompt, re.MULTILINE)
    return {name or short: text or value for name, text, short, value in found}


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize(
    ("members", "at_once", "calls"), [(7, 3, 3), (8, 4, 2), (4, 4, 1), (5, 1, 5)]
)
def test_gradients_are_those_of_one_call(
    members: int, at_once: int, calls: int, *, local: bool
) -> None:
    """One call about all of them is the oracle."""
    graph = wide(members)
    whole, one = differentiate(graph, None, local=local)
    found, prompts = differentiate(graph, at_once, local=local)
    assert (len(one), len(prompts)) == (1, calls)
    assert found.gradients == whole.gradients
    about = [[name for name in asked(prompt) if name != "join"] for prompt in prompts]
    assert [name for names in about for name in names] == [f"member_{i}" for i in range(members)]
    sizes = [len(names) for names in about]
    assert max(sizes) <= at_once
    assert max(sizes) - min(sizes) <= 1
    assert sum("join" in asked(prompt) for prompt in prompts) == local


def test_every_call_sees_the_whole_neighborhood_in_short() -> None:
    _, prompts = differentiate(wide(7), 3)
    for prompt in prompts:
        values = shown(prompt)
        assert list(values) == ["question", *(f"member_{i}" for i in range(7))]
        assert len(values["question"]) > 700  # the query is whole
        for name in list(values)[1:]:
            whole = name in asked(prompt)
            assert (len(values[name]) > LONG) == whole
            assert ("characters left out ...]" in values[name]) != whole
            assert values[name].startswith(name)


def test_prompts_are_bounded_whatever_the_fan_in() -> None:
    longest = {}
    for at_once in (None, 4):
        for members in (8, 30, 100):
            _, prompts = differentiate(wide(members), at_once)
            longest[at_once, members] = max(map(len, prompts))
    assert longest[None, 30] > 3 * longest[None, 8]
    assert longest[4, 30] < 1.25 * longest[4, 8]
    assert longest[4, 100] < 2 * longest[4, 8]


@pytest.mark.parametrize(
    ("at_once", "per_edge", "widths"),
    [(4, False, (100, 400, 1000)), (32, False, (96, 416, 992)), (32, True, (100, 300))],
)
def test_no_prompt_grows_with_the_fan_in(
    at_once: int, per_edge: bool, widths: Sequence[int]
) -> None:
    """Widths that make equal groups; what may differ is how many digits the number left has."""
    sizes = set()
    for members in widths:
        _, prompts = differentiate(wide(members, 4), at_once, per_edge=per_edge)
        names = [name for prompt in prompts for name in asked(prompt)]
        assert names == [f"member_{i:04}" for i in range(members)]
        sizes |= {len(re.sub(r"and \d+ more", "", prompt)) for prompt in prompts}
    assert len(sizes) == 1


def test_of_many_others_the_query_and_the_next_stand_beside_and_the_number_left() -> None:
    _, prompts = differentiate(wide(100), 4)
    last = list(shown(prompts[-1]))
    assert asked(prompts[-1]) == [f"member_{i}" for i in range(96, 100)]
    others = [f"member_{i}" for i in range(31)]  # from the first again, and the query is one of 32
    assert last == ["question", *others, *asked(prompts[-1])]
    for prompt, names in ((one, list(shown(one))) for one in prompts):
        assert prompt.count("and 65 more") == 2
        assert "\n`and 65 more`: (not shown)\n" in prompt
        place = prompt.partition("`join` is given")[2].partition("\n")[0]
        assert re.findall(r"`(\w+)`", place)[: len(names)] == names
        assert len(names) == 1 + 31 + 4
        whole = [n for n in names if "left out" not in shown(prompt)[n]]
        assert whole == (["question", *asked(prompt)])


def test_what_nobody_can_be_asked_to_change_is_bounded_too() -> None:
    """All but one of the predecessors are inputs: there is one call, about that one."""
    sizes = {}
    for inputs in (10, 100, 1000):
        graph, names = wide(1), [f"input_{i:04}" for i in range(inputs)]
        join = replace(graph.nodes["join"], predecessors=(*names, "member_0"))
        graph = replace(graph, inputs=("question", *names), nodes={**graph.nodes, "join": join})
        _, (prompt,) = differentiate(graph, 32)
        assert asked(prompt) == ["member_0"]
        assert len(shown(prompt)["member_0"]) > LONG
        sizes[inputs] = len(prompt)
    assert sizes[10] < sizes[100]
    assert abs(sizes[1000] - sizes[100]) < 10


@pytest.mark.parametrize("local", [False, True])
def test_a_prompt_that_is_too_long_for_the_model_is_halved_and_nobody_is_left_out(
    local: bool,
) -> None:
    """The other values stand in it in short; the window has room for about two whole ones."""
    window, refused = 3 * LONG, 0

    def small(role: str, node: str, messages: Sequence[Message]) -> Said:
        nonlocal refused
        if sum(len(message.content) for message in messages) <= window:
            return critic(role, node, messages)
        refused += 1
        return CallFailed("the prompt does not fit", "context_window")

    graph = wide(6)
    found, prompts = differentiate(graph, None, local=local, script=small)
    whole, _ = differentiate(graph, None, local=local)
    assert not found.failures
    assert found.gradients == whole.gradients
    fitting = [text for text in prompts if len(text) <= window]
    assert refused >= len(fitting) - 1 > 0  # each halving has one call in vain
    asked = [name for text in fitting for name in re.findall(r'<gradient name="(\w+)">\.', text)]
    assert len(asked) == len(set(asked)) == 6 + local
    assert all("characters left out" in text for text in fitting)


def test_a_prompt_that_fits_in_no_form_is_a_failure_with_its_reason() -> None:
    def tiny(role: str, node: str, messages: Sequence[Message]) -> Said:
        return CallFailed("the prompt does not fit", "context_window")

    found, prompts = differentiate(wide(2), None, script=tiny)
    assert found.failures["join"].reason == "the prompt does not fit"
    assert len(prompts) <= 3


@pytest.mark.parametrize("members", [1, 6])
def test_no_call_is_about_the_node_alone_where_its_predecessors_are_too_long(members: int) -> None:
    """Such a prompt would ask what each of nobody should do otherwise."""

    def small(role: str, node: str, messages: Sequence[Message]) -> Said:
        fits = members > 1 and len(asked(messages[-1].content)) <= 1 + local
        return critic(role, node, messages) if fits else CallFailed("too long", "context_window")

    local = True
    found, prompts = differentiate(wide(members), None, local=local, script=small)
    assert bool(found.failures) == (members == 1)
    assert all(asked(prompt) != ["join"] for prompt in prompts)


def test_calls_that_are_made_at_once_end_whatever_becomes_of_the_others() -> None:
    """Who else was answered before a failure was heard of is a matter of the clock."""

    def small(role: str, node: str, messages: Sequence[Message]) -> Said:
        names = asked(messages[-1].content)
        if len(names) > 1 or "member_1" in names:
            return CallFailed("too long", "context_window")
        return critic(role, node, messages)

    found, prompts = differentiate(wide(8), None, script=small)
    failure = found.failures["join"]
    assert (failure.kind, failure.reason) == ("context_window", "too long")
    assert len(failure.calls) == len(prompts) == 15
    assert sum(bool(call.reply) for call in failure.calls) == 7


def test_a_pass_takes_work_in_proportion_to_the_edges() -> None:
    """Counted is how often a name is looked up: each call would else go through all neighbors.

    What Jinja copies for each template is in it, and no work of a call's own.
    """
    looked_up = 0

    class Name(str):
        __slots__ = ()

        def __hash__(self) -> int:
            nonlocal looked_up
            looked_up += 1
            return super().__hash__()

        def __eq__(self, other: object) -> bool:
            nonlocal looked_up
            looked_up += 1
            return super().__eq__(other)

    def work(members: int) -> int:
        nonlocal looked_up
        plain = wide(members)
        name = {one: Name(one) for one in ("question", *plain.nodes, *plain.parameters)}
        graph = replace(
            plain,
            parameters={name[n]: replace(one, name=name[n]) for n, one in plain.parameters.items()},
            nodes={
                name[n]: replace(
                    one,
                    name=name[n],
                    predecessors=tuple(name[before] for before in one.predecessors),
                    parameters={local: name[full] for local, full in one.parameters.items()},
                )
                for n, one in plain.nodes.items()
            },
        )
        looked_up = 0
        differentiate(graph, 2)
        return looked_up

    assert work(320) < 6 * work(80)
