"""Trials of gradients beside what else may be declared of a backward pass, two at a time."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.data import Example
from sgdflow.errors import CallFailed
from sgdflow.executor.backward import BackwardPass, Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.forward import PromptForward
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import Gradient
from sgdflow.executor.graph import Graph, Node, Parameter
from sgdflow.executor.intervention import Intervention, Verification
from sgdflow.executor.scores import Score
from sgdflow.executor.tree import Tree
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.update.evidence import Item, weighed
from sgdflow.update.select import Select

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
FORWARD = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("text")))
JOINT = PromptBackward(
    Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
)
SUMMARY = Ask(PROMPTS, "aggregation/successors.jinja", "backward", ReplyFormat("tagged", "summary"))
VALUE = Ask(PROMPTS, "backward/value.jinja", "backward", ReplyFormat("tagged", "value"))
ASKS = Select().asks


def fan(readers: int, told: str) -> Graph:
    """Return a source that so many use, each told so, and one who joins what they say."""
    names = [f"reader_{i}" for i in range(readers)]
    nodes = {"source": Node("source", ("question",), {"instruction": "source.text"}, FORWARD)}
    nodes |= {n: Node(n, ("source",), {"instruction": f"{n}.text"}, FORWARD) for n in names}
    nodes["end"] = Node("end", tuple(names), {}, FORWARD)
    parameters = {f"{n}.text": Parameter(f"{n}.text", told) for n in names}
    parameters["source.text"] = Parameter("source.text", "Say it.")
    return Graph("fan", ("question",), parameters, nodes, "end")


def answering(role: str, node: str, messages: Sequence[Message]) -> str:
    prompt = messages[-1].content
    if role == "forward":
        return "fine" if "\nmended\n" in prompt or "\nfine\n" in prompt else "poor"
    if "<value>" in prompt:
        return "<value>mended</value>"
    if "<summary>" in prompt:
        return "<summary>CHANGE: all of them ask for a mend</summary>"
    asked = re.findall(r'<gradient name="(\w+)">\.\.\.', prompt)
    said = f"CHANGE: it has to be mended for {node}, as there are many rules of its own to keep"
    return "".join(f'<gradient name="{name}">{said}</gradient>' for name in asked)


def right(output: str, target: str) -> float:
    return float(output == target)


def tried(readers: int) -> tuple[tuple[Intervention, ...], dict[str, int]]:
    """Return the trials, and the length of the longest prompt of each kind about the source."""
    graph, llm = fan(readers, "Go by the rules. " * 40), ScriptedLLM(answering)
    evaluate = Evaluator(graph, Score(Function(right, "right")), llm)
    example, texts = Example("e", {"question": "Q"}, "fine"), graph.initial()

    async def go() -> tuple[Intervention, ...]:
        outcome = (await evaluate(texts, [example])).outcomes["e"]
        how = Differentiation(JOINT, tree=Tree(SUMMARY))
        passed = await backward_pass(
            graph, texts, outcome.passed, "Wrong.", ["source.text"], how, llm
        )
        verification = Verification(VALUE, 1)
        return await verification.verify(
            graph, texts, example, outcome, passed, ASKS, evaluate, llm
        )

    found = asyncio.run(go())
    longest: dict[str, int] = {}
    for request in llm.requests:
        text = request.messages[-1].content
        if request.node == "source" and request.role == "backward":
            kind = "value" if "<value>" in text else "summary"
            longest[kind] = max(longest.get(kind, 0), len(text))
    return found, longest


def test_no_prompt_about_a_value_grows_with_those_who_use_it() -> None:
    """Fifty readers more change the figures in it alone."""
    (few, shorter), (many, longer) = tried(50), tried(100)
    for found in (few, many):
        source = next(one for one in found if one.node == "source")
        assert (source.value, source.verdict) == ("mended", "repaired")
    assert set(shorter) == set(longer) == {"value", "summary"}
    for kind, length in longer.items():
        assert abs(length - shorter[kind]) < 20


def test_the_answer_of_a_node_with_tools_can_be_tried() -> None:
    """A reply that calls a tool has fields; what its node hands on is one text."""
    conf = json.loads(json.dumps(compose(["graph=tooled"])["graph"]))
    nodes = conf["nodes"]
    nodes["plan"]["forward"] = nodes["answer"].pop("forward")
    nodes["plan"]["parameters"]["calculate"] = nodes["answer"]["parameters"].pop("calculate")
    graph = build_graph(expand_graph(conf), PROMPTS)
    verification = Verification(VALUE, 1)
    assert list(verification.problems(graph, graph.optimisable)) == []
    assert verification.most(graph, graph.optimisable, judges=0) == (1, 1)


RIGHT = {"department": "billing", "urgency": 2, "reasons": ["an invoice"]}


@pytest.mark.parametrize(
    ("replies", "verdict"),
    [
        ([json.dumps(RIGHT)], "repaired"),
        ([json.dumps({**RIGHT, "department": "sales"}), json.dumps(RIGHT)], "repaired"),
        ([json.dumps({**RIGHT, "department": "technical"})], "no effect"),
        (["no fields"] * 3, "untested"),
        ([CallFailed("the prompt does not fit", "context_window")], "untested"),
    ],
)
def test_a_value_with_fields_is_written_whole_in_the_form_of_its_node(
    replies: Sequence[Said], verdict: str
) -> None:
    """Played: who drafts and who answers name the department that they are given."""
    graph = build_graph(expand_graph(compose(["graph=triage"])["graph"]), PROMPTS)
    said, asked = list(replies), list[str]()

    def team(role: str, node: str, messages: Sequence[Message]) -> Said:
        prompt = messages[-1].content
        if role == "backward":
            asked.append(messages[0].content + messages[1].content)
            return said.pop(0)
        if node == "triage":
            return json.dumps({**RIGHT, "department": "technical"})
        department = (
            "billing" if "billing" in prompt.partition("# How to reply")[0] else "technical"
        )
        if node == "draft":
            return f"<output>The {department} team looks into it.</output>"
        return json.dumps({"department": department, "urgency": 2, "reply": "We look into it."})

    llm, texts = ScriptedLLM(team), graph.initial()
    evaluate = Evaluator(graph, Score(Function(in_department, "in_department")), llm)
    example, verification = (
        Example("e", {"ticket": "My invoice."}, "billing"),
        Verification(VALUE, 1),
    )

    async def go() -> tuple[Intervention, ...]:
        outcome = (await evaluate(texts, [example])).outcomes["e"]
        blame = (Gradient("triage.department", "CHANGE: an invoice is for billing"),)
        backward = BackwardPass("e", {"triage": blame}, {}, {}, {})
        llm.requests.clear()
        return await verification.verify(
            graph, texts, example, outcome, backward, ASKS, evaluate, llm
        )

    (found,) = asyncio.run(go())
    assert found.verdict == verdict
    assert all(
        '"urgency"' in prompt and "the new value, in these fields" in prompt for prompt in asked
    )
    ran = [request.node for request in llm.requests if request.role == "forward"]
    assert ran == ([] if verdict == "untested" else ["draft", "answer"])
    if verdict == "untested":
        why = "does not fit" if len(replies) == 1 else "could not be used"
        assert why in str(found.failure)
    else:
        assert found.value == json.loads(str(replies[-1]))
    assert list(verification.problems(graph, graph.optimisable)) == []
    # By hand: after the triage two, after the draft one, after both two.
    assert verification.most(graph, graph.optimisable, judges=0) == (2, 2 + 1 + 2)


def in_department(output: Mapping[str, Any], target: str) -> float:
    return float(output["department"] == target)


@pytest.mark.parametrize("verdict", ["repaired", "no effect"])
def test_a_trial_of_a_value_says_nothing_of_an_instruction_that_is_not_blamed(verdict: str) -> None:
    """With local blame a value may be wrong because of what its node was given."""
    own = Gradient("middle", "KEEP: it made the best of a wrong draft")
    blamed = Gradient("middle", "CHANGE: it has to add the units")
    evidence = {
        "middle.text": (
            Item("a", "middle", {}, "x", (own,)),
            Item("b", "middle", {}, "x", (blamed,)),
        )
    }
    after = 1.0 if verdict == "repaired" else 0.0
    found = [Intervention(example, "middle", 0.0, "y", after) for example in "ab"]
    seen = weighed(evidence, found, "show", ASKS)["middle.text"]
    assert {one.example: one.verdict for one in seen} == {"a": "untested", "b": verdict}
    left = weighed(evidence, found, "drop", ASKS)["middle.text"]
    assert [one.example for one in left] == (["b", "a"] if verdict == "repaired" else ["a"])
