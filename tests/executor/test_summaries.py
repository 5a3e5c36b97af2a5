"""Summaries of groups: what each prompt shows, what comes of it, and what it takes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgdflow.config.paths import prompt_folders
from sgdflow.errors import CallFailed, NodeFailed
from sgdflow.executor.backward import BackwardPass, Differentiation, backward_pass
from sgdflow.executor.backward_functions import CallableBackward, PromptBackward
from sgdflow.executor.forward import ForwardPass, PromptForward
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import Gradient
from sgdflow.executor.graph import Graph, Node, Parameter
from sgdflow.executor.graph_paths import widths
from sgdflow.executor.places import View
from sgdflow.executor.tree import FEWEST, Joined, Tree
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, Script, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.update import gather_evidence
from sgdflow.update.condense import condensed
from sgdflow.update.evidence import Learned
from sgdflow.update.prompt_views import examples
from sgdflow.update.rule import Situation

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
FORWARD = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("text")))
JOINT = PromptBackward(
    Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
)
ASK = Ask(PROMPTS, "aggregation/successors.jinja", "backward", ReplyFormat("tagged", "summary"), 1)
VALUE = View("value", (), (), {"instruction": "Say it."})


def feedback(prompt: str) -> list[str]:
    return re.findall(r"^Feedback from `\w+`: (.*)$", prompt, re.MULTILINE)


def summaries(prompt: str) -> list[str]:
    return re.findall(r"<summary name=[^>]*>\n(.*?)\n</summary>", prompt)


def union(role: str, node: str, messages: Sequence[Message]) -> str:
    """Sum up by naming all that is shown: nothing may be lost, and nothing be there twice."""
    shown = feedback(messages[-1].content) or summaries(messages[-1].content)
    return f"<summary>{' '.join(shown)}</summary>"


def join(tree: Tree, number: int, script: Script = union) -> tuple[Joined, ScriptedLLM]:
    llm = ScriptedLLM(script)
    parts = tuple(Gradient(f"s{i}", f"g{i}") for i in range(number))

    def shown(group: Sequence[Any]) -> dict[str, Any]:
        return {"node": VALUE, "output": "V", "gradients": group}

    return asyncio.run(tree.join(parts, shown, "value", llm)), llm


@settings(deadline=None)
@given(number=st.integers(FEWEST, 3000), largest=st.integers(4, 20))
def test_groups_are_neither_single_nor_larger_than_declared(number: int, largest: int) -> None:
    parts = range(number)
    groups = list(Tree(ASK, largest).groups(parts))
    assert [one for group in groups for one in group] == list(parts)
    sizes = [len(group) for group in groups]
    assert 2 <= min(sizes) <= max(sizes) <= largest
    assert max(sizes) - min(sizes) <= 1
    if isqrt(number) <= largest // 2:
        assert isqrt(number) <= min(sizes)


@pytest.mark.parametrize(
    ("number", "calls"),
    # By hand: 2 groups of 2; 4 of 2; 4 of 4; 8 of 8; 13 of 8 or 7, then 4 of 4 or 3.
    [(4, 2 + 1), (8, 4 + 1), (16, 4 + 1), (64, 8 + 1), (100, 13 + 4 + 1)],
)
def test_no_prompt_shows_more_than_a_group_and_nothing_is_lost(number: int, calls: int) -> None:
    tree = Tree(ASK, 8)
    found, llm = join(tree, number)
    assert (found.summary.text, found.summary.of) == (
        " ".join(f"g{i}" for i in range(number)),
        number,
    )
    assert len(llm.requests) == len(found.calls) == calls == tree.calls(number)
    for request in llm.requests:
        prompt = request.messages[-1].content
        assert 2 <= len(feedback(prompt)) + len(summaries(prompt)) <= 8
    assert tree.calls(FEWEST - 1) == 0


@pytest.mark.parametrize(
    ("number", "largest"), [(5, 4), (17, 4), (128, 4), (130, 5), (399, 12), (63, 7)]
)
def test_the_calls_are_foretold(number: int, largest: int) -> None:
    tree = Tree(ASK, largest)
    assert len(join(tree, number)[1].requests) == tree.calls(number)


def narrow(room: int) -> Script:
    """Return a model whose window has room for so many parts or summaries."""

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        prompt = messages[-1].content
        if len(feedback(prompt)) + len(summaries(prompt)) > room:
            return CallFailed("the prompt does not fit", "context_window")
        return union(role, node, messages)

    return script


@pytest.mark.parametrize(("number", "room"), [(16, 3), (64, 2), (7, 2), (30, 5)])
def test_a_group_that_does_not_fit_the_window_is_halved_and_nothing_is_lost(
    number: int, room: int
) -> None:
    found, llm = join(Tree(ASK, 8), number, narrow(room))
    whole, _ = join(Tree(ASK, 8), number)
    assert found.summary == whole.summary
    assert len(found.calls) == len(llm.requests)


def test_where_no_two_summaries_fit_it_ends_with_the_reason() -> None:
    with pytest.raises(NodeFailed, match="no two summaries fit the backward model's context"):
        join(Tree(ASK, 8), 9, narrow(1))


def test_a_summary_that_cannot_be_read_ends_it_with_all_calls_told() -> None:
    parts = tuple(Gradient(f"s{i}", f"g{i}") for i in range(16))

    def last_group_fails(role: str, node: str, messages: Sequence[Message]) -> str:
        return "no tags" if "g15" in messages[-1].content else union(role, node, messages)

    async def go() -> None:
        shown = {"node": VALUE, "output": "V"}
        llm = ScriptedLLM(last_group_fails)
        await Tree(ASK).join(parts, lambda group: {**shown, "gradients": group}, "value", llm)

    with pytest.raises(NodeFailed, match="summary: 1 reply of the backward model") as failed:
        asyncio.run(go())
    assert len(failed.value.calls) == 4


def fan(width: int) -> Graph:
    """Return a source that so many readers use, and one who joins what they say."""
    readers = [f"reader_{i}" for i in range(width)]
    nodes = {"source": Node("source", ("question",), {"instruction": "source.text"}, FORWARD)}
    nodes |= {name: Node(name, ("source",), {}, FORWARD) for name in readers}
    nodes["end"] = Node("end", tuple(readers), {}, FORWARD)
    parameters = {"source.text": Parameter("source.text", "Say it.")}
    return Graph("fan", ("question",), parameters, nodes, "end")


def gradients(role: str, node: str, messages: Sequence[Message]) -> str:
    prompt = messages[-1].content
    if "<summary>" in prompt:
        return union(role, node, messages)
    names = re.findall(r'<gradient name="(\w+)">', prompt)
    return "\n".join(f'<gradient name="{n}">{node} asks {n}</gradient>' for n in names)


def back(width: int, tree: Tree | None) -> tuple[Graph, BackwardPass, ScriptedLLM]:
    graph, llm = fan(width), ScriptedLLM(gradients)
    values = {"question": "Q"} | {name: f"value of {name}" for name in graph.nodes}
    passed, how = ForwardPass("one", values, {}, {}), Differentiation(JOINT, tree=tree)
    work = backward_pass(graph, graph.initial(), passed, "Wrong.", ["source.text"], how, llm)
    return graph, asyncio.run(work), llm


def test_many_successors_are_summed_up_and_the_gradients_stay_known() -> None:
    graph, passed, llm = back(9, Tree(ASK))
    said = [f"reader_{i} asks source" for i in range(9)]
    assert [one.value for one in passed.gradients["source"]] == said
    assert passed.joined == {"source": Gradient("9 successors", " ".join(said))}
    assert passed.aggregated["source"] == (passed.joined["source"],)
    assert len(passed.calls["source"]) == 3 + 1  # groups of three, and one of them
    assert len(llm.requests) == 1 + 9 + 4  # the end, each reader, the summaries
    assert widths(graph, ["source.text"])["source"] == 9
    for narrow, tree in ((9, None), (3, Tree(ASK))):
        _, plain, _ = back(narrow, tree)
        assert (plain.joined, len(plain.aggregated["source"])) == ({}, narrow)


def test_a_writer_is_shown_the_summary_of_successors() -> None:
    graph, passed, _ = back(9, Tree(ASK))
    forward = ForwardPass("one", {"question": "Q", "source": "S"}, {}, {})
    evidence = gather_evidence(graph, [forward], {"one": passed}, ["source.text"])
    assert len(evidence["source.text"][0].gradients) == 9
    learned = (Learned(forward, 0.0, backward=passed),)
    situation = Situation(graph, graph.initial(), evidence, learned=learned)
    found = asyncio.run(condensed(situation, None, ScriptedLLM({})))
    assert found.evidence["source.text"][0].gradients == (passed.joined["source"],)


@pytest.mark.parametrize(("room", "summed"), [(9, False), (4, True)])
def test_gradients_that_do_not_fit_a_critics_window_are_summed_up(room: int, summed: bool) -> None:
    """Nine readers of one value, whose node is to tell the one before it what to change."""
    graph = fan(9)
    first = Node("first", ("question",), {"instruction": "source.text"}, FORWARD)
    nodes = {"first": first, **graph.nodes, "source": Node("source", ("first",), {}, FORWARD)}
    graph = replace(graph, nodes=nodes)

    def small(role: str, node: str, messages: Sequence[Message]) -> Said:
        if len(feedback(messages[-1].content)) > room:
            return CallFailed("the prompt does not fit", "context_window")
        return gradients(role, node, messages)

    def passed(how: Differentiation) -> BackwardPass:
        values = {"question": "Q"} | {name: f"value of {name}" for name in graph.nodes}
        forward = ForwardPass("one", values, {}, {})
        names, llm = ["source.text"], ScriptedLLM(small)
        work = backward_pass(graph, graph.initial(), forward, "Wrong.", names, how, llm)
        return asyncio.run(work)

    found = passed(Differentiation(JOINT, overflow=Tree(ASK)))
    assert not found.failures
    assert ("source" in found.joined) == summed
    assert [one.value for one in found.gradients["first"]] == ["source asks first"]
    if summed:
        told = " ".join(f"reader_{i} asks source" for i in range(9))
        assert found.joined["source"] == Gradient("9 successors", told)
        assert len(found.calls["source"]) == 1 + 4 + 1  # in vain, the summaries, and once more
        lost = passed(Differentiation(JOINT))
        assert lost.failures["source"].reason == "the prompt does not fit"


@pytest.mark.parametrize("width", [10, 100, 1000])
def test_a_summary_that_cannot_be_read_leaves_a_writer_no_more_than_a_prompt_shows(
    width: int,
) -> None:
    """Those that ask for a change are shown first; what is not shown is told, also in the steps."""

    def unreadable(role: str, node: str, messages: Sequence[Message]) -> str:
        if "<summary>" in messages[-1].content:
            return "no tags"
        asks = "CHANGE" if node == f"reader_{width - 1}" else "KEEP"
        return re.sub(r">(?=\w)", f">{asks}: ", gradients(role, node, messages))

    graph, llm = fan(width), ScriptedLLM(unreadable)
    values = {"question": "Q"} | {name: f"value of {name}" for name in graph.nodes}
    forward = ForwardPass("one", values, {}, {})
    how = Differentiation(JOINT, tree=Tree(ASK, fewest=33))
    work = backward_pass(graph, graph.initial(), forward, "Wrong.", ["source.text"], how, llm)
    passed = asyncio.run(work)
    assert len(passed.gradients["source"]) == width
    told = passed.failures["source"].reason if passed.failures else ""
    said = f"of its {width:,} gradients 32 are shown to those who write for it"
    assert (said in told) == (width > 32)

    evidence = gather_evidence(graph, [forward], {"one": passed}, ["source.text"])
    (item,) = examples(evidence["source.text"])
    shown = [one.source for one in item["gradients"]]
    assert len(shown) == min(width, 33)
    if width > 32:
        assert shown[0] == f"reader_{width - 1}"
        assert shown[1:-1] == [f"reader_{i}" for i in range(31)]
        assert shown[-1] == f"and {width - 32} more"


def test_numbers_are_not_summed_up() -> None:
    same = CallableBackward(
        Function(lambda known, output, gradient: dict.fromkeys(known, 1.0), "f")
    )
    graph, llm = fan(40), ScriptedLLM({})
    graph = replace(graph, nodes={n: replace(one, backward=same) for n, one in graph.nodes.items()})
    forward = ForwardPass("one", {"question": "Q"} | dict.fromkeys(graph.nodes, 1.0), {}, {})
    how = Differentiation(JOINT, tree=Tree(ASK, fewest=33))
    work = backward_pass(graph, graph.initial(), forward, 2.0, ["source.text"], how, llm)
    assert len(asyncio.run(work).aggregated["source"]) == 40
    assert not llm.requests
