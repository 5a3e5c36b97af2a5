"""A node that is asked about each item of a list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.errors import ConfigError
from sgdflow.executor.backward import Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import ForwardPass, forward_pass
from sgdflow.executor.graph import Graph
from sgdflow.executor.intervention import _replaceable
from sgdflow.inspection import rehearsed
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.plan.estimate import step_estimate
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.update.evidence import gather_evidence

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
LIST = "parts.questions"


def mapped() -> Graph:
    return build_graph(expand_graph(compose(["graph=mapped"])["graph"]), PROMPTS)


def team(items: Sequence[Any], bad: str = "none") -> Any:
    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        content = messages[1].content
        if role == "backward":
            names = [n for n in (LIST, "answers") if f'<gradient name="{n}">' in content]
            return "".join(f'<gradient name="{n}">{node} on {n}</gradient>' for n in names)
        if node == "parts":
            return json.dumps({"questions": items})
        if node == "answers":
            item = content.split(f'<variable name="{LIST}">\n')[1].split("\n</variable>")[0]
            return "" if item == bad else f"<output>re {item}</output>"
        return "<output>done</output>"

    return script


def forward(script: Any) -> tuple[Graph, ForwardPass, ScriptedLLM]:
    graph, llm = mapped(), ScriptedLLM(script)
    run = forward_pass(graph, graph.initial(), "one", {"question": "Q?"}, llm)
    return graph, asyncio.run(run), llm


def test_each_item_is_asked_about_in_its_own_prompt_and_order_is_kept() -> None:
    _, passed, llm = forward(team(["a", "b", "c"]))
    assert passed.failures == {}
    assert passed.values["answers"] == ["re a", "re b", "re c"]
    assert len(passed.calls["answers"]) == 3
    asked = next(one for one in llm.requests if one.node == "answer").messages[-1].content
    assert '<variable name="answers">\n["re a", "re b", "re c"]\n</variable>' in asked


def test_of_an_empty_list_nothing_is_asked() -> None:
    _, passed, llm = forward(team([]))
    assert passed.values["answers"] == []
    assert [one.node for one in llm.requests] == ["parts", "answer"]


def test_gradients_reach_the_maps_parameters_and_who_wrote_the_list() -> None:
    graph, passed, llm = forward(team(["a", "b"]))
    joint = Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
    how, names = Differentiation(PromptBackward(joint)), graph.optimisable
    made = backward_pass(graph, graph.initial(), passed, "Wrong.", names, how, llm)
    back = asyncio.run(made)
    assert back.failures == {}
    assert [one.value for one in back.gradients["answers"]] == ["answer on answers"]
    assert [one.value for one in back.gradients[LIST]] == [
        f"answers on {LIST}", f"answer on {LIST}",
    ]  # fmt: skip
    evidence = gather_evidence(graph, [passed], {"one": back}, names)
    [item] = evidence["answers.instruction"]
    assert (item.predecessors[LIST], item.output) == (["a", "b"], ["re a", "re b"])
    assert "answers on parts.questions" in str(evidence["parts.instruction"][0].gradients)
    # A list is no text that a trial could put in its place.
    assert "answers" not in _replaceable(graph, graph.order)


def test_an_item_without_an_answer_fails_the_node_with_all_calls() -> None:
    _, passed, _ = forward(team(["a", "b"], bad="b"))
    failure = passed.failures["answers"]
    assert (failure.origin, failure.kind, len(failure.calls)) == ("answers", "empty", 2)


def test_a_longer_list_fails_the_node_before_it_costs_anything() -> None:
    _, passed, llm = forward(team(list("abcdefg")))
    assert passed.failures["answers"].reason == (
        f"'{LIST}' has 7 items, more than the 6 that the node declares (forward.most)"
    )
    assert [one.node for one in llm.requests] == ["parts"]


def graph_of(**answer: Any) -> Mapping[str, Any]:
    nodes = {"answer": {"predecessors": ["items"], "forward": answer}}
    return {"name": "g", "inputs": ["items"], "nodes": nodes, "output": "answer"}


def test_what_is_no_list_fails_the_node() -> None:
    graph = build_graph(expand_graph(graph_of(each="items")), PROMPTS)
    run = forward_pass(graph, graph.initial(), "one", {"items": "a, b"}, ScriptedLLM({}))
    assert asyncio.run(run).failures["answer"].reason == "'items' is 'a, b', no list to go through"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            {"each": "itms"},
            ": each: 'itms' is no predecessor of the node. Did you mean 'items'? "
            "Predecessors: items.",
        ),
        (
            {"each": "items", "most": 0},
            ".most: input should be greater than or equal to 1 (got 0).",
        ),
        (
            {"each": "items", "samples": 2},
            ": has each and samples: a list of votes is not taken; choose one (got {'each': "
            "'items', 'samples': 2}).",
        ),
    ],
)
def test_mistakes_are_told(answer: Any, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(graph_of(**answer)), PROMPTS)
    assert str(refused.value) == f"graph.nodes.answer.forward{told}"


def test_plan_and_check_count_as_many_items_as_there_may_be() -> None:
    raw = dict(compose(["tracking=none", "method.lazy=false", "method.confirm=null"]))
    conf = json.dumps(compose(["graph=mapped"])["graph"]).replace('"question"', '"order"')
    ready = prepare({**raw, "graph": json.loads(conf)}, PROMPTS, {})
    sums = step_estimate(ready.problem, ready.method).sums
    assert sums[0].endswith("100 examples x (3 nodes + 5 more samples) = 800 calls")
    assert rehearsed(ready).troubles == ()
