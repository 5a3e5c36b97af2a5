"""A bounded loop is declared once and unrolled; its repetitions share their parameters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.errors import ConfigError
from sgdflow.executor.backward import Differentiation, backward_pass
from sgdflow.executor.backward_functions import CallableBackward, PromptBackward
from sgdflow.executor.forward import forward_pass
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import total
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.report.reading import shape_of
from sgdflow.update.evidence import gather_evidence

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
REFINED = {
    "draft": ["question"],
    "critique_1": ["question", "draft"],
    "answer_1": ["question", "draft", "critique_1"],
    "critique_2": ["question", "answer_1"],
    "answer_2": ["question", "answer_1", "critique_2"],
    "critique": ["question", "answer_2"],
    "answer": ["question", "answer_2", "critique"],
}


def test_a_loop_is_written_out_and_shares_its_parameters() -> None:
    conf = expand_graph(compose(["graph=refined"])["graph"])
    assert {name: node.predecessors for name, node in conf.nodes.items()} == REFINED
    graph = build_graph(conf, PROMPTS)
    assert list(graph.parameters) == [
        "draft.instruction", "critique.instruction", "answer.instruction",
    ]  # fmt: skip
    assert graph.successors["answer.instruction"] == ("answer_1", "answer_2", "answer")
    # What a run records of it can be read again, by the report and by another run.
    again = conf.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert expand_graph(again).model_dump() == conf.model_dump()
    assert list(shape_of(again).nodes) == list(REFINED)


def team(role: str, node: str, messages: Sequence[Message]) -> Said:
    if role == "forward":
        return f"<output>by {node}</output>"
    names = [n for n in REFINED if f'<gradient name="{n}">' in messages[-1].content]
    return "".join(f'<gradient name="{n}">{node} on {n}</gradient>' for n in names)


def test_gradients_of_all_repetitions_join_at_the_parameters() -> None:
    graph = build_graph(expand_graph(compose(["graph=refined"])["graph"]), PROMPTS)
    llm, start, names = ScriptedLLM(team), graph.initial(), graph.optimisable
    passed = asyncio.run(forward_pass(graph, start, "one", {"question": "Q"}, llm))
    assert passed.values["answer"] == "by answer"
    joint = Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
    how = Differentiation(PromptBackward(joint))
    back = asyncio.run(backward_pass(graph, start, passed, "Wrong.", names, how, llm))
    assert back.failures == {}
    evidence = gather_evidence(graph, [passed], {"one": back}, names)
    assert {name: [item.node for item in items] for name, items in evidence.items()} == {
        "draft.instruction": ["draft"],
        "critique.instruction": ["critique_1", "critique_2", "critique"],
        "answer.instruction": ["answer_1", "answer_2", "answer"],
    }
    last, before = back.gradients["answer"], back.gradients["answer_2"]
    assert [one.value for one in last] == ["Wrong."]
    assert sorted(one.value for one in before) == ["answer on answer_2", "critique on answer_2"]


def times(x: float, factor: float) -> float:
    return x * factor


def derivatives(operands: Mapping[str, Any], output: float, gradient: float) -> dict[str, float]:
    (x,) = [value for name, value in operands.items() if name != "factor"]
    (name,) = [name for name in operands if name != "factor"]
    return {name: gradient * operands["factor"], "factor": gradient * x}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_derivative_of_a_loop_is_that_of_the_power_it_computes(count: int) -> None:
    """y = a^n x, so dy/da = n a^(n-1) x."""
    node = {
        "predecessors": ["x"],
        "parameters": {"factor": 3.0},
        "forward": {"_target_": f"{__name__}.times"},
        "backward": {"_target_": f"{__name__}.derivatives"},
        "repeat": {"times": count, "instead_of": "x"},
    }
    conf = {"name": "g", "inputs": ["x"], "nodes": {"y": node}, "output": "y"}
    graph, llm = build_graph(expand_graph(conf), PROMPTS), ScriptedLLM({})
    start = graph.initial()
    passed = asyncio.run(forward_pass(graph, start, "one", {"x": 2.0}, llm))
    assert passed.values["y"] == 2.0 * 3.0**count
    how = Differentiation(CallableBackward(Function(derivatives, "d")), total)
    made = backward_pass(graph, start, passed, 1.0, graph.optimisable, how, llm)
    back = asyncio.run(made)
    assert back.aggregated["y.factor"] == pytest.approx(count * 3.0 ** (count - 1) * 2.0)


def test_conditions_lists_and_fields_are_those_of_the_own_repetition() -> None:
    fields = {"reply": {"schema": {"parts": "text[]", "more": "boolean"}}}
    nodes = {
        "start": {"predecessors": ["q"], "forward": fields},
        "inner": {
            "predecessors": ["start.parts", "start.more"],
            "when": {"start.more": True},
            "forward": {"each": "start.parts"},
        },
        "end": {
            "predecessors": ["inner", "q"],
            "forward": fields,
            "repeat": {"times": 2, "instead_of": "start"},
        },
    }
    conf = expand_graph({"name": "g", "inputs": ["q"], "nodes": nodes, "output": "end"})
    assert conf.nodes["inner_1"].when == {"start.more": True}
    assert conf.nodes["inner"].when == {"end_1.more": True}
    assert conf.nodes["inner"].predecessors == ["end_1.parts", "end_1.more"]
    assert getattr(conf.nodes["inner"].forward, "each", "") == "end_1.parts"
    build_graph(conf, PROMPTS)


def loop(repeat: Any, **more: Any) -> Mapping[str, Any]:
    nodes = {
        "draft": {"predecessors": ["q"]},
        "other": {"predecessors": ["q"]},
        "answer": {"predecessors": ["draft"], "repeat": repeat},
        "end": {"predecessors": ["answer", "other"]},
        **more,
    }
    return {"name": "g", "inputs": ["q"], "nodes": nodes, "output": "end"}


WHERE = "graph.nodes.answer.repeat"
MISTAKES: dict[str, tuple[Mapping[str, Any], str]] = {
    "a name that is nowhere": (
        loop({"times": 2, "instead_of": "nobody"}),
        f"{WHERE}.instead_of: the graph has no node or input 'nobody'. Before 'answer' are: draft, "
        "q.",
    ),
    "a misspelt name": (
        loop({"times": 2, "instead_of": "drft"}),
        f"{WHERE}.instead_of: the graph has no node or input 'drft'. Did you mean 'draft'? Before "
        "'answer' are: draft, q.",
    ),
    "a node beside it": (
        loop({"times": 2, "instead_of": "other"}),
        f"{WHERE}.instead_of: no path leads from 'other' to 'answer'. Before 'answer' are: draft, "
        "q.",
    ),
    "a name that is taken": (
        loop({"times": 3, "instead_of": "draft"}, answer_2={"predecessors": ["q"]}),
        f"{WHERE}.times: the repetition would be called 'answer_2', which is there already.",
    ),
    "loops that share a node": (
        loop(
            {"times": 2, "instead_of": "draft"},
            end={
                "predecessors": ["answer", "other"],
                "repeat": {"times": 2, "instead_of": "draft"},
            },
        ),
        "graph.nodes.end.repeat.instead_of: 'answer' is part of another loop; loops cannot share "
        "nodes.",
    ),
    "a circle as it is": (
        loop({"times": 2, "instead_of": "draft"}, draft={"predecessors": ["answer"]}),
        f"{WHERE}.instead_of: the nodes form a circle as they are; name what the loop begins with.",
    ),
    "no time": (
        loop({"times": 0, "instead_of": "draft"}),
        f"{WHERE}.times: input should be greater than or equal to 1 (got 0).",
    ),
    "more often than anybody means": (
        loop({"times": 51, "instead_of": "draft"}),
        f"{WHERE}.times: input should be less than or equal to 50 (got 51).",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told(name: str) -> None:
    conf, told = MISTAKES[name]
    with pytest.raises(ConfigError) as refused:
        expand_graph(conf)
    assert str(refused.value) == told


WHEN: dict[str, tuple[Mapping[str, Any], str]] = {
    "what is no predecessor": (
        {"strat.kind": "a"},
        "graph.nodes.inner.when: 'strat.kind' is no predecessor of the node. Did you mean "
        "'start.kind'? Predecessors: start.kind.",
    ),
    "a value that is never there": (
        {"start.kind": "c"},
        "graph.nodes.inner.when: 'start.kind' is never 'c'. It is one of a, b.",
    ),
    "a value that is there only the first time": (
        {"start.kind": "a"},
        "graph.nodes.inner.when: once it is repeated, 'end_1.kind' is never 'a'. It is one of b, d."
        "\ngraph.nodes.inner.when: once it is repeated, 'end_2.kind' is never 'a'. It is one of b, "
        "d.",
    ),
}


@pytest.mark.parametrize("name", WHEN)
def test_a_condition_in_a_loop_is_told_of_the_node_that_stands_in_the_file(name: str) -> None:
    """Once, though the graph has three of it: inner_1, inner_2 and inner."""
    when, told = WHEN[name]

    def answering(*kinds: str) -> Mapping[str, Any]:
        return {"reply": {"schema": {"kind": [*kinds]}}}

    nodes = {
        "start": {"predecessors": ["q"], "forward": answering("a", "b")},
        "inner": {"predecessors": ["start.kind"], "when": when},
        "end": {
            "predecessors": ["inner", "q"],
            "forward": answering("b", "d"),
            "repeat": {"times": 3, "instead_of": "start"},
        },
    }
    conf = expand_graph({"name": "g", "inputs": ["q"], "nodes": nodes, "output": "end"})
    with pytest.raises(ConfigError) as refused:
        build_graph(conf, PROMPTS)
    assert str(refused.value) == told
