"""Structured values in a graph: fields are variables, and gradients reach them by name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.data import Example
from sgdflow.errors import ConfigError
from sgdflow.executor.backward import Differentiation, backward_pass
from sgdflow.executor.backward_functions import CallableBackward, PassThrough, PromptBackward
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.fields import FieldForward, nested
from sgdflow.executor.forward import CallableForward, ForwardPass, forward_pass
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import total
from sgdflow.executor.graph import Graph, Node, Parameter
from sgdflow.executor.scores import Score
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.records.source import read_steps
from sgdflow.report.reading import read
from sgdflow.report.run_page import run_page
from sgdflow.runs.run import optimise
from sgdflow.tracking import NullTracker

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
GRADIENT = ReplyFormat("tagged", "gradient")
JOINT = PromptBackward(Ask(PROMPTS, "backward/joint.jinja", "backward", GRADIENT))
TRIAGE = {"department": "billing", "urgency": 2, "reasons": ["an invoice"]}
ANSWER = {"department": "billing", "urgency": 1, "reply": "We look into it."}
TICKET = {"ticket": "My invoice is wrong."}


def triage() -> Graph:
    return build_graph(expand_graph(compose(["graph=triage"])["graph"]), PROMPTS)


def team(role: str, node: str, messages: Sequence[Message]) -> Said:
    match role, node:
        case "forward", "triage":
            return json.dumps(TRIAGE)
        case "forward", "answer":
            return json.dumps(ANSWER)
        case "backward", _:
            names = [n for n in NAMES if f'<gradient name="{n}">' in messages[-1].content]
            return "".join(f'<gradient name="{n}">{node} on {n}</gradient>' for n in names)
        case "optimizer", _:
            return f"<improved>Better {node}: name the department.</improved>"
    return "<output>Dear customer.</output>"


NAMES = ("triage", "triage.department", "triage.reasons", "draft", "words")


def forward(graph: Graph, script: Any = team) -> ForwardPass:
    llm = ScriptedLLM(script)
    return asyncio.run(forward_pass(graph, graph.initial(), "one", TICKET, llm))


def test_a_structured_value_is_a_mapping_and_its_fields_are_variables() -> None:
    llm = ScriptedLLM(team)
    graph = triage()
    passed = asyncio.run(forward_pass(graph, graph.initial(), "one", TICKET, llm))
    assert passed.failures == {}
    assert passed.values["triage"] == TRIAGE
    assert passed.values["triage.department"] == "billing"
    assert passed.values["triage.reasons"] == ["an invoice"]
    assert passed.values["words"] == "invoice"
    draft = next(one for one in llm.requests if one.node == "draft").messages[-1].content
    assert '<variable name="triage.department">\nbilling\n</variable>' in draft
    assert "urgency" not in draft


def test_a_field_hides_neither_who_wrote_it_nor_who_uses_it() -> None:
    """What a prompt says of a node's place, as the graph's file reads."""
    graph = triage()
    decide, start = "Decide who has to answer the ticket and how soon.", graph.initial()
    fields = ("triage.department", "triage.reasons")
    draft = graph.view("draft", start, {"ticket": "T", "words": "W"})
    assert draft.told == dict.fromkeys(fields, decide)
    assert draft.given == dict.fromkeys(fields, ("ticket", "words"))
    assert draft.behind == {"words": "W"}
    users = graph.view("triage", start).successors
    assert [one.name for one in users] == ["draft", "answer"]
    assert users[0].parameters == {"instruction": "Draft the reply of this department."}
    place = PROMPTS.text("graph/place.jinja", {"node": graph.view("triage", start)})
    assert "goes to `draft`, which is told" in place


def test_fields_of_one_value_that_are_equal_are_no_work_done_twice() -> None:
    graph = triage()
    passed, llm = forward(graph), ScriptedLLM(team)
    same = replace(passed, values={**passed.values, **dict.fromkeys(NAMES[1:3], "billing")})
    how, start = Differentiation(JOINT), graph.initial()
    asyncio.run(backward_pass(graph, start, same, "Too late.", graph.optimisable, how, llm))
    asked = next(one for one in llm.requests if one.node == "draft").messages[-1].content
    assert "add nothing" not in asked


def test_gradients_reach_the_fields_by_name_and_through_them_the_parameters() -> None:
    graph = triage()
    passed, llm = forward(graph), ScriptedLLM(team)
    how = Differentiation(JOINT)
    names = graph.optimisable
    made = backward_pass(graph, graph.initial(), passed, "Too late.", names, how, llm)
    back = asyncio.run(made)
    assert back.failures == {}
    arrived = {
        name: [(one.source, one.value) for one in gradients]
        for name, gradients in back.gradients.items()
    }
    assert arrived["triage.department"] == [("draft", "draft on triage.department")]
    assert [source for source, _ in arrived["triage"]] == [
        "triage.department",
        "triage.reasons",
        "answer",
    ]
    assert arrived["triage"][0][1] == (
        'Of the field `department`, which is "billing":\n\n'
        '<said from="draft">\ndraft on triage.department\n</said>'
    )
    assert {one.node for one in llm.requests} == {"answer", "draft"}  # words are no parameter's


def test_a_field_may_be_the_output_that_is_scored_and_criticised() -> None:
    """The node is told of the one field; the other goes nowhere, and nobody is asked about it."""
    fields = {"reply": {"schema": {"department": "text", "urgency": "integer"}}}
    nodes = {
        "hint": {"predecessors": ["ticket"], "parameters": {"instruction": "Hint."}},
        "triage": {
            "predecessors": ["ticket", "hint"],
            "parameters": {"instruction": "Decide."},
            "forward": fields,
        },
    }
    conf = {"name": "g", "inputs": ["ticket"], "nodes": nodes, "output": "triage.urgency"}
    graph = build_graph(expand_graph(conf), PROMPTS)

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        if role == "backward":
            return '<gradient name="hint">Say how soon.</gradient>'
        return "<output>h</output>" if node == "hint" else '{"department": "d", "urgency": 3}'

    llm = ScriptedLLM(script)
    score = Score(Function(lambda output, target: float(output == target), "same"))
    example = Example("one", dict(TICKET), 3)
    found = asyncio.run(Evaluator(graph, score, llm)(graph.initial(), [example]))
    [one] = found.outcomes.values()
    assert one.score == 1
    how, start = Differentiation(JOINT), graph.initial()
    made = backward_pass(graph, start, one.passed, "Too soon.", graph.optimisable, how, llm)
    back = asyncio.run(made)
    assert back.failures == {}
    assert [(one.source, one.value) for one in back.gradients["triage.urgency"]] == [
        ("loss", "Too soon.")
    ]
    [told] = back.gradients["triage"]
    assert told.source == "triage.urgency"
    assert told.value.startswith('Of the field `urgency`, which is "3":')
    assert "Too soon." in told.value
    assert [one.value for one in back.gradients["hint"]] == ["Say how soon."]


def test_numbers_in_fields_are_differentiated_as_anywhere() -> None:
    """With sums for aggregation the field's gradient is the derivative by that field alone."""

    def both(question: float) -> Mapping[str, float]:
        return {"a": 3 * question, "b": 5.0}

    graph = numeric(both)
    passed = asyncio.run(
        forward_pass(graph, graph.initial(), "one", {"question": 2.0}, ScriptedLLM({}))
    )
    assert passed.values["answer"] == 7.0 * 6.0 * 6.0
    back = asyncio.run(
        backward_pass(
            graph,
            graph.initial(),
            passed,
            1.0,
            graph.optimisable,
            Differentiation(PRODUCT, total),
            ScriptedLLM({}),
        )
    )
    assert back.aggregated["pair.a"] == 7.0 * 2 * 6.0


PRODUCT = CallableBackward(
    Function(
        lambda operands, output, gradient: {
            "pair.a": 2 * gradient * operands["w"] * operands["pair.a"]
        },
        "d",
    )
)


def numeric(both: Any) -> Graph:
    weighted = CallableForward(Function(lambda a, w: w * a * a, "weighted"))
    free = CallableForward(Function(lambda question, v: both(question), "both"))
    nodes = {
        "pair": Node("pair", ("question",), {"v": "pair.v"}, free, PRODUCT),
        "pair.a": Node(
            "pair.a", ("pair",), {}, FieldForward("a"), PassThrough(PROMPTS, "backward/field.jinja")
        ),
        "answer": Node("answer", ("pair.a",), {"w": "answer.w"}, weighted),
    }
    parameters = {"pair.v": Parameter("pair.v", 1.0), "answer.w": Parameter("answer.w", 7.0)}
    return Graph("numbers", ("question",), parameters, nodes, "answer")


def test_a_field_that_may_be_left_out_is_null() -> None:
    nodes: dict[str, Any] = {
        "triage": {
            "predecessors": ["ticket"],
            "forward": {"reply": {"schema": {"a": "text", "b?": "text"}}},
        },
        "answer": {"predecessors": ["triage.a", "triage.b"]},
    }
    conf = {"name": "g", "inputs": ["ticket"], "nodes": nodes, "output": "answer"}
    graph = build_graph(expand_graph(conf), PROMPTS)
    script = {"forward": ['{"a": "x"}', "<output>y</output>"]}
    assert forward(graph, script).values["triage.b"] is None


def test_fields_stand_in_a_mapping_of_their_nodes_name_in_templates() -> None:
    assert nested({"a": 1, "t.x": 2, "t.y": 3}) == {"a": 1, "t": {"x": 2, "y": 3}}
    assert nested({"t.x": 2, "t": {"x": 2, "y": 3}}) == {"t": {"x": 2, "y": 3}}


def graph_of(answer: Mapping[str, Any], **triage: Any) -> dict[str, Any]:
    nodes = {"triage": {"predecessors": ["ticket"], **triage}, "answer": answer}
    return {"name": "g", "inputs": ["ticket"], "nodes": nodes, "output": "answer"}


SCHEMA = {"forward": {"reply": {"schema": {"department": "text"}}}}


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        (
            graph_of({"predecessors": ["triage.departmnt"]}, **SCHEMA),
            "graph.nodes.answer.predecessors: 'triage' has no field 'departmnt'. "
            "Did you mean 'department'? It has: department.",
        ),
        (
            graph_of({"predecessors": ["triage.department"]}),
            "graph.nodes.answer.predecessors: 'triage' has no field 'department': its value is a "
            "text. Declare its fields: graph.nodes.triage.forward.reply.schema.",
        ),
        (
            graph_of({"predecessors": ["triage.a.b"]}, **SCHEMA),
            "graph.nodes.answer.predecessors: 'triage.a.b': a field of a field has no name; take "
            "it apart in the template.",
        ),
        (
            graph_of(
                {"predecessors": ["triage"]},
                forward={"reply": {"format": "tagged", "schema": {"a": "text"}}},
            ),
            "graph.nodes.triage.forward.reply: a reply with a schema has format: json, not tagged "
            "(got {'format': 'tagged', 'schema': {'a': 'text'}}).",
        ),
        (
            graph_of({"predecessors": ["triage"]}, forward={"reply": {"schema": {"a": "txet"}}}),
            "graph.nodes.triage.forward.reply: schema: a: there is no type 'txet'. Did you mean "
            "'text'? There are: text, integer, number, boolean, each with [] for a list, [a, b] "
            "for one of some values, and a mapping of fields (got {'schema': {'a': 'txet'}}).",
        ),
        (
            graph_of({"predecessors": ["nobody.department"]}, **SCHEMA),
            "graph g: nodes.answer.predecessors: there is no variable 'nobody.department'. "
            "Variables: ticket, triage, answer.",
        ),
    ],
)
def test_what_is_no_field_is_told_before_anything_is_asked(
    conf: Mapping[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(conf), PROMPTS)
    assert str(refused.value).split("\n")[0] == told


def test_a_value_without_the_field_fails_its_node_with_the_fields_there_are() -> None:
    conf = graph_of({"predecessors": ["triage.b"]}, forward={"_target_": "json.loads"})
    graph = build_graph(expand_graph(conf), PROMPTS)
    for ticket, told in (
        ('{"bb": 1}', "'triage' has no field 'b'. Did you mean 'bb'? It has: bb"),
        ("[1]", "'triage' is [1], which has no field 'b'"),
    ):
        made = forward_pass(graph, graph.initial(), "one", {"ticket": ticket}, ScriptedLLM({}))
        assert asyncio.run(made).failures["triage.b"].reason == told


def test_a_run_scores_the_fields_and_is_recorded_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(
        "ticket,department,urgency\nMy invoice is wrong.,billing,3\nMy bill.,billing,3\n"
    )
    objectives = (
        "{department: {score: text, field: department}, urgency: {score: number, field: urgency}}"
    )
    raw = compose(
        [
            "graph=triage",
            "task=table",
            "task.path=t.csv",
            "task.inputs=[ticket]",
            "task.target=[department, urgency]",
            f"task.score={{objectives: {objectives}}}",
            "task.splits={train: 1, validation: 0, test: 1}",
            "tracking=none",
            "method.stop.steps=1",
            "method.gate.rule=always",
            "method.lazy=false",
            "method.confirm=null",
        ]
    )
    prepared = prepare(raw, Prompts(prompt_folders(Path("nowhere"))), {})
    folder = RunFolder(tmp_path / "run")
    record = asyncio.run(optimise(prepared, raw, ScriptedLLM(team), NullTracker(), folder))
    assert record["scores"]["train"]["initial"]["mean"] == 0.5
    [step] = read_steps(folder.path / "steps.jsonl")
    [learned] = step["sampled"]
    assert "department scores 1 of 1\nurgency scores 0 of 1" in learned["feedback"]
    assert learned["values"]["triage"] == TRIAGE
    assert [one["source"] for one in learned["gradients"]["triage.department"]] == ["draft"]
    assert set(step["proposal"]) == {f"{n}.instruction" for n in ("triage", "draft", "answer")}
    shown = run_page(read(folder.path), lambda raw: expand_graph(raw).model_dump(by_alias=True))
    assert "triage.department" in shown
