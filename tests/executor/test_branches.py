"""A node that is computed only where its condition holds."""

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
from sgdflow.data import Example
from sgdflow.errors import ConfigError
from sgdflow.executor.backward import BackwardPass, Differentiation, backward_pass
from sgdflow.executor.backward_functions import CallableBackward, PromptBackward
from sgdflow.executor.branches import SKIPPED
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.forward import ForwardPass, forward_pass
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import total
from sgdflow.executor.graph import Graph
from sgdflow.executor.scores import Score
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.plan.estimate import step_estimate
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.records.run import values_record
from sgdflow.report.page_data import _values
from sgdflow.update.evidence import gather_evidence

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
JOINT = PromptBackward(
    Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
)


def routed() -> Graph:
    return build_graph(expand_graph(compose(["graph=routed"])["graph"]), PROMPTS)


def team(department: str) -> Any:
    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        if role == "backward":
            return f'<gradient name="triage.department">{node}: another one.</gradient>'
        if node == "triage":
            return json.dumps({"department": department})
        return f"<output>by {node}</output>"

    return script


def passes(department: str) -> tuple[Graph, ForwardPass, BackwardPass, ScriptedLLM]:
    graph, llm = routed(), ScriptedLLM(team(department))
    start, names = graph.initial(), graph.optimisable
    forward = asyncio.run(forward_pass(graph, start, "one", {"ticket": "T"}, llm))
    made = backward_pass(graph, start, forward, "Wrong.", names, Differentiation(JOINT), llm)
    return graph, forward, asyncio.run(made), llm


@pytest.mark.parametrize(
    ("department", "taken", "skipped"),
    [("billing", "billing", "other"), ("delivery", "other", "billing")],
)
def test_one_branch_is_taken_and_gradients_reach_it_and_what_chose_it(
    department: str, taken: str, skipped: str
) -> None:
    graph, forward, back, llm = passes(department)
    assert forward.failures == back.failures == {}
    assert forward.values[skipped] is SKIPPED
    assert forward.values["answer"] == f"by {taken}"
    assert [(one.role, one.node) for one in llm.requests] == [
        ("forward", "triage"), ("forward", taken), ("backward", taken),
    ]  # fmt: skip
    assert skipped not in back.gradients
    [handed] = [one.value for one in back.gradients[taken]]
    assert f'<value name="{skipped}">\n(skipped)\n</value>' in handed
    evidence = gather_evidence(graph, [forward], {"one": back}, graph.optimisable)
    assert list(evidence) == ["triage.instruction", f"{taken}.instruction"]
    [chosen] = [one.value for one in evidence["triage.instruction"][0].gradients]
    assert f"{taken}: another one." in chosen
    # A method without gradients learns nothing of a node that did no work, either.
    assert list(gather_evidence(graph, [forward], None, graph.optimisable)) == list(evidence)


def test_prompts_say_when_a_member_works() -> None:
    *_, llm = passes("billing")
    asked = llm.requests[-1].messages[-1].content
    assert "It works only where triage.department is billing, and is skipped otherwise." in asked


def test_records_leave_out_the_value_and_name_the_node() -> None:
    _, forward, *_ = passes("billing")
    record = values_record(forward)
    assert record["skipped"] == ["other"]
    assert "other" not in record["values"]
    assert json.loads(json.dumps(record)) == record
    assert _values(record)["other"] == "(skipped)"


FIELDS = {"reply": {"schema": {"x": "text"}}}


def graph_of(when: Any, output: Any = None) -> dict[str, Any]:
    nodes = {
        "draft": {"predecessors": ["kind", "size"], "when": when},
        "polish": {"predecessors": ["draft", "kind"]},
        "answer": {"predecessors": ["kind", "polish"], "when": output},
    }
    return {"name": "g", "inputs": ["kind", "size"], "nodes": nodes, "output": "answer"}


def outcome(conf: Mapping[str, Any], inputs: Mapping[str, Any]) -> ForwardPass:
    graph = build_graph(expand_graph(conf), PROMPTS)
    llm = ScriptedLLM({"forward": ["<output>done</output>"] * 3})
    return asyncio.run(forward_pass(graph, graph.initial(), "one", inputs, llm))


@pytest.mark.parametrize(
    ("when", "inputs", "holds"),
    [
        ({"kind": "a"}, {"kind": " A. "}, True),
        ({"kind": "a"}, {"kind": "ab"}, False),
        ({"kind": ["a", "b"]}, {"kind": "b"}, True),
        ({"not": {"kind": ["a", "b"]}}, {"kind": "b"}, False),
        ({"not": {"kind": ["a", "b"]}}, {"kind": "c"}, True),
        ({"kind": "a", "not": {"size": 2}}, {"kind": "a", "size": 3}, True),
        ({"kind": "a", "not": {"size": 2}}, {"kind": "a", "size": 2.0}, False),
        ({"kind": True}, {"kind": "true"}, True),
        ({"kind": True}, {"kind": 1}, False),
        ({"_target_": "operator.eq"}, {"kind": 4, "size": 4}, True),
        ({"_target_": "operator.eq"}, {"kind": 4, "size": 5}, False),
    ],
)
def test_conditions(when: Any, inputs: Mapping[str, Any], holds: bool) -> None:
    passed = outcome(graph_of(when), {"size": 1, **inputs})
    assert (passed.values["draft"] is SKIPPED) is not holds
    # What is given skipped values alone, inputs aside, is skipped, too; no output can be.
    assert (passed.values["polish"] is SKIPPED) is not holds
    assert list(passed.failures) == ([] if holds else ["answer"])


def test_what_follows_a_skipped_node_is_skipped_up_to_where_branches_meet() -> None:
    nodes = {
        "a": {"predecessors": ["kind"], "when": {"kind": "a"}, "forward": FIELDS},
        "b": {"predecessors": ["a.x", "kind"]},
        "c": {"predecessors": ["kind"]},
        "d": {"predecessors": ["b", "c"]},
    }  # fmt: skip
    conf = {"name": "g", "inputs": ["kind"], "nodes": nodes, "output": "d"}
    graph = build_graph(expand_graph(conf), PROMPTS)
    llm = ScriptedLLM({"forward": ["<output>done</output>"] * 2})
    passed = asyncio.run(forward_pass(graph, graph.initial(), "one", {"kind": "z"}, llm))
    assert [n for n, value in passed.values.items() if value is SKIPPED] == ["a", "a.x", "b"]
    assert [one.node for one in llm.requests] == ["c", "d"]
    asked = llm.requests[-1].messages[-1].content
    assert '<variable name="b">\n(skipped)\n</variable>' in asked


def test_where_all_is_skipped_there_is_no_output_and_it_is_wrong() -> None:
    nodes = {
        "a": {"predecessors": ["kind"], "forward": FIELDS},
        "b": {"predecessors": ["a.x"], "when": {"a.x": "other"}},
        "c": {"predecessors": ["kind", "b"]},
    }
    conf = {"name": "g", "inputs": ["kind"], "nodes": nodes, "output": "c"}
    graph = build_graph(expand_graph(conf), PROMPTS)
    llm = ScriptedLLM({"forward": ['{"x": "billing"}']})
    evaluate = Evaluator(graph, Score(Function(lambda output, target: 1.0, "score")), llm)
    found = asyncio.run(evaluate(graph.initial(), [Example("one", {"kind": "k"}, "x")]))
    [one] = found.outcomes.values()
    assert one.score == 0
    assert one.failure == "c: all nodes before it were skipped, so that there is no output"


def test_derivatives_of_a_branch_are_those_of_the_part_that_was_taken() -> None:
    """y = a*x where x is positive, else b*x: dy/da = x or none, as by hand."""
    own = {
        "forward": {"_target_": f"{__name__}.times"},
        "backward": {"_target_": f"{__name__}.derivatives"},
    }
    nodes = {
        name: {
            "predecessors": ["x", "sign"],
            "when": {"sign": sign},
            "parameters": {"factor": factor},
            **own,
        }
        for name, sign, factor in (("up", 1, 3.0), ("down", -1, 5.0))
    }
    nodes["y"] = {**own, "predecessors": ["up", "down"], "forward": {"_target_": f"{__name__}.one"}}
    conf = {"name": "g", "inputs": ["x", "sign"], "nodes": nodes, "output": "y"}
    graph = build_graph(expand_graph(conf), PROMPTS)
    how = Differentiation(CallableBackward(Function(derivatives, "d")), total)
    for sign, wanted in ((1, {"up.factor": 2.0}), (-1, {"down.factor": 2.0})):
        llm, start = ScriptedLLM({}), graph.initial()
        passed = asyncio.run(forward_pass(graph, start, "one", {"x": 2.0, "sign": sign}, llm))
        assert passed.values["y"] == 2.0 * (3.0 if sign == 1 else 5.0)
        made = backward_pass(graph, start, passed, 1.0, graph.optimisable, how, llm)
        back = asyncio.run(made)
        assert {n: v for n, v in back.aggregated.items() if "." in n} == wanted


def times(x: float, sign: int, factor: float) -> float:
    return x * factor


def one(up: float | None, down: float | None) -> float | None:
    return up if down is None else down


def derivatives(operands: Mapping[str, Any], output: float, gradient: float) -> dict[str, float]:
    if "factor" in operands:
        return {"factor": gradient * operands["x"]}
    return {name: gradient for name, value in operands.items() if value is not None}


WHERE = "graph.nodes.draft.when"
SUCH = "; such as {triage.department: billing}, {language: [de, fr]}, {not: {language: en}}"
SUCH += ", or {_target_: MODULE.FUNCTION}"
MISTAKES: dict[str, tuple[Any, str]] = {
    "a name that is no predecessor": (
        {"knd": "a"},
        f"{WHERE}: 'knd' is no predecessor of the node. Did you mean 'kind'? "
        "Predecessors: kind, size.",
    ),
    "a mapping of mappings": (
        {"kind": {"a": 1}},
        f"{WHERE}: kind: should be a value, or a list of values{SUCH} "
        "(got {'kind': {'a': 1}}).",
    ),
    "no value": (
        {"kind": []},
        f"{WHERE}: kind: should be a value, or a list of values{SUCH} (got {{'kind': []}}).",
    ),
    "a text": (
        "kind",
        f"{WHERE}: should name predecessors and the values that they have{SUCH} (got 'kind').",
    ),
    "nothing under not": (
        {"not": []},
        f"{WHERE}: not: should name predecessors and values that they do not have{SUCH} "
        "(got {'not': []}).",
    ),
    "a function with other arguments": (
        {"_target_": "operator.not_"},
        f"{WHERE}: operator.not_(kind, size): too many positional arguments.",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_before_any_call(name: str) -> None:
    when, told = MISTAKES[name]
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(graph_of(when)), PROMPTS)
    assert str(refused.value) == told


def test_a_value_that_a_field_never_has_is_told() -> None:
    conf = json.loads(json.dumps(compose(["graph=routed"])["graph"]))
    conf["nodes"]["billing"]["when"] = {"triage.department": "biling"}
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(conf), PROMPTS)
    assert str(refused.value) == (
        "graph.nodes.billing.when: 'triage.department' is never 'biling'. Did you mean 'billing'? "
        "It is one of billing, technical, delivery."
    )


def test_the_output_cannot_be_skipped() -> None:
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(graph_of({"kind": "a"}, {"kind": "b"})), PROMPTS)
    assert str(refused.value) == (
        "graph.nodes.answer.when: is that of the output, so that there would be none where it does "
        "not hold. Let a node without it come after this one (such as sgdflow.library.tools.first)."
    )


def test_a_condition_that_says_neither_yes_nor_no_fails_its_node() -> None:
    passed = outcome(graph_of({"_target_": "operator.add"}), {"kind": 1, "size": 2})
    assert passed.failures["draft"].reason == "operator.add returned 3, not true or false"


def test_the_plan_counts_every_branch() -> None:
    raw = dict(compose(["tracking=none", "method.lazy=false", "method.confirm=null"]))
    conf = json.dumps(compose(["graph=routed"])["graph"]).replace('"ticket"', '"order"')
    prepared = prepare({**raw, "graph": json.loads(conf)}, PROMPTS, {})
    sums = step_estimate(prepared.problem, prepared.method).sums
    assert sums[0].endswith("100 examples x 3 nodes = 300 calls")
