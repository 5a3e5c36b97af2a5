"""Local blame: what a node lacks itself, apart from what it should have been given."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sgdflow.config.paths import prompt_folders
from sgdflow.executor.backward import BackwardPass, Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import ForwardPass, PromptForward
from sgdflow.executor.gradients import Gradient
from sgdflow.executor.graph import Graph, Node, Parameter
from sgdflow.llm import Message
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.update import Select, gather_evidence

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
FORWARD = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("text")))
LOCAL = PromptBackward(
    Ask(PROMPTS, "backward/local.jinja", "backward", ReplyFormat("tagged", "gradient")), local=True
)
CHAIN = ("first", "second", "third")


def chain(*frozen: str) -> Graph:
    """Return three nodes in a row; the last one has two parameters."""
    nodes, before = {}, "question"
    for name in CHAIN:
        own = {"instruction": f"{name}.instruction"}
        own |= {"style": "third.style"} if name == "third" else {}
        nodes[name] = Node(name, (before,), own, FORWARD)
        before = name
    names = [full for node in nodes.values() for full in node.parameters.values()]
    parameters = {full: Parameter(full, f"Task of {full}.", full in frozen) for full in names}
    return Graph("chain", ("question",), parameters, nodes, "third")


def critic(role: str, node: str, messages: Sequence[Message]) -> str:
    asked = re.findall(r'<gradient name="(\w+)">\.\.\.', messages[-1].content)
    said = {name: f"{node} on {'itself' if name == node else name}" for name in asked}
    return "".join(f'<gradient name="{n}">{text}</gradient>' for n, text in said.items())


def differentiate(graph: Graph, optimised: Sequence[str]) -> tuple[BackwardPass, ScriptedLLM]:
    llm = ScriptedLLM(critic)
    texts = {name: parameter.initial for name, parameter in graph.parameters.items()}
    values = {"question": "Q", **{name: name.upper() for name in CHAIN}}
    passed = ForwardPass("e", values, {}, {})
    how = Differentiation(LOCAL)
    found = backward_pass(graph, texts, passed, "wrong", optimised, how, llm)
    return asyncio.run(found), llm


def sources(found: Mapping[str, tuple[Gradient, ...]]) -> Mapping[str, list[tuple[str, str]]]:
    return {name: [(g.source, g.value) for g in given] for name, given in found.items()}


def test_the_own_part_is_the_parameters_and_the_rest_travels_on() -> None:
    """By hand: two calls for three nodes, as many as without; the own part stays with its node."""
    graph = chain()
    names = tuple(graph.parameters)
    passed, llm = differentiate(graph, names)
    assert [request.node for request in llm.requests] == ["third", "second"]
    assert sources(passed.gradients) == {
        "second.instruction": [("second", "second on itself")],
        "third.instruction": [("third", "third on itself")],
        "third.style": [("third", "third on itself")],
        "first": [("second", "second on first")],
        "second": [("third", "third on second")],
        "third": [("loss", "wrong")],
    }
    forward = ForwardPass("e", {"question": "Q", "first": "1", "second": "2", "third": "3"}, {}, {})
    evidence = gather_evidence(graph, [forward], {"e": passed}, names)
    assert {name: [g.value for g in items[0].gradients] for name, items in evidence.items()} == {
        "first.instruction": ["second on first"],  # nobody before it to blame: all is its own
        "second.instruction": ["second on itself"],
        "third.instruction": ["third on itself"],
        "third.style": ["third on itself"],
    }


def test_a_node_whose_text_may_not_change_is_not_asked_about_itself() -> None:
    graph = chain("second.instruction")
    names = [name for name in graph.parameters if name != "second.instruction"]
    passed, llm = differentiate(graph, names)
    assert [re.findall(r'name="(\w+)">\.\.\.', r.messages[-1].content) for r in llm.requests] == [
        ["second", "third"],
        ["first"],
    ]
    assert "second.instruction" not in passed.gradients


def test_blame_counts_what_a_node_says_of_itself() -> None:
    """With joint gradients the third node's are passed on; its own part is passed on by nobody."""
    graph = chain()
    names = tuple(graph.parameters)
    passed, _ = differentiate(graph, names)
    forward = ForwardPass("e", {"question": "Q", "first": "1", "second": "2", "third": "3"}, {}, {})
    evidence = gather_evidence(graph, [forward], {"e": passed}, names)
    assert Select().blame(evidence, graph.learning_before(names)) == dict.fromkeys(names, 1)
