"""Demonstrations: a parameter that is chosen from own right answers; and one of listed texts."""

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
from sgdflow.config.prepare import prepare, read_parameters
from sgdflow.descent import Descent, Step
from sgdflow.errors import ConfigError, ReplyError
from sgdflow.executor.demonstrations import NONE, demonstration, read, written
from sgdflow.executor.evaluation import Evaluation, Outcome
from sgdflow.executor.forward import ForwardPass, forward_pass
from sgdflow.executor.graph import Graph
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.plan.estimate import step_estimate
from sgdflow.prompting.templates import Prompts
from sgdflow.update import Proposal, Situation
from sgdflow.update.constraints import check, told
from sgdflow.update.demonstrations import texts, with_demonstrations

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
NAME = "answer.shots"


def demonstrated() -> Graph:
    return build_graph(expand_graph(compose(["graph=demonstrated"])["graph"]), PROMPTS)


def outcome(number: int, score: float) -> Outcome:
    values = {"question": f"Q{number}", "hint": f"H{number}", "answer": f"A{number}"}
    return Outcome(ForwardPass(str(number), values, {}, {}), score, None)


def chosen(current: str, scores: Sequence[float], step: int) -> Sequence[str]:
    graph = demonstrated()
    start = {**graph.initial(), NAME: current}
    standing = Evaluation({str(n): outcome(n, score) for n, score in enumerate(scores)})
    situation = Situation(graph, start, {}, step, standing=standing)
    proposal = with_demonstrations(Proposal({}), situation, [NAME])
    found = read(proposal.changes.get(NAME, current))
    for one in found:  # what is shown is what the node was given and made, and no other's
        number = one.given["question"][1:]
        assert dict(one.given) == {"question": f"Q{number}", "hint": f"H{number}"}
        assert one.output == f"A{number}"
    return [one.output for one in found]


def shown(*numbers: int) -> str:
    return written(demonstration({"question": f"Q{n}", "hint": f"H{n}"}, f"A{n}") for n in numbers)


@pytest.mark.parametrize(
    ("current", "scores", "step", "wanted"),
    [
        (NONE, [0, 0.5, 0.9], 1, []),
        (NONE, [1, 0, 1, 0, 1, 1], 0, ["A0", "A2", "A4"]),
        (NONE, [1, 0, 1, 0, 1, 1], 1, ["A2", "A4", "A5"]),  # others come first in another step
        (shown(7), [1, 0, 0], 0, ["A7", "A0"]),
        (shown(1, 2, 3), [1, 1, 1, 1, 0], 0, ["A0", "A2", "A3"]),  # one gives way to another
        (shown(1, 2, 3), [1, 1, 1, 1, 0], 4, ["A1", "A0", "A3"]),
        (shown(0, 1, 2), [1, 1, 1], 5, ["A0", "A1", "A2"]),
    ],
)
def test_right_work_is_chosen_up_to_the_declared_number(
    current: str, scores: Sequence[float], step: int, wanted: Sequence[str]
) -> None:
    assert chosen(current, scores, step) == wanted


def test_a_node_is_shown_them_and_never_the_answer_to_what_it_is_asked() -> None:
    graph = demonstrated()
    llm = ScriptedLLM({"forward": ["<output>H1</output>", "<output>x</output>"] * 2})
    for parameters in (graph.initial(), {**graph.initial(), NAME: shown(1, 2)}):
        run = forward_pass(graph, parameters, "1", {"question": "Q1"}, llm)
        assert asyncio.run(run).failures == {}
    hint, empty, _, full = (one.messages[-1].content for one in llm.requests)
    assert "<shots>" not in hint
    assert "<shots>" not in empty
    assert ("<shots>\nExample 1\nquestion: Q2\nhint: H2\nOutput: A2\n</shots>") in full
    assert "A1" not in full
    # Others are told what a member is told to do, not what it is shown.
    view = graph.view("answer", {**graph.initial(), NAME: shown(1, 2)})
    assert list(view.parameters) == ["instruction", "tone"]


class Watch:
    def __init__(self) -> None:
        self.steps: list[Step] = []

    def scored(self, initial: Any) -> None: ...

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


def few_shot(role: str, node: str, messages: Sequence[Message]) -> Said:
    """A model that knows the even numbers, and once it has seen an example all of them."""
    content = messages[-1].content
    if role == "forward":
        number = int(content.split('<variable name="question">\n')[1].split("\n")[0])
        knows = number % 2 == 0 or "<shots>" in content
        return f"<output>{number * 3 if knows else 0}</output>"
    return "<improved>Multiply.</improved>"


def test_a_run_takes_them_where_they_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"question": str(n), "answer": str(3 * n)} for n in range(1, 25)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["task=table", "task.path=rows.jsonl", "task.inputs=[question]", "tracking=none"]
    words += ["task.splits={train: 12, validation: 0, test: null}", "method.stop.steps=1"]
    raw = dict(compose([*words, "task.target=answer", "task.score=number"]))
    node = {"predecessors": ["question"], "parameters": {"shots": {"demonstrations": 2}}}
    raw["graph"] = {"name": "g", "inputs": ["question"], "nodes": {"n": node}, "output": "n"}
    ready = prepare(raw, PROMPTS, {})
    assert ready.problem.optimised == ("n.shots",)
    assert texts(ready.problem.graph, ready.problem.optimised) == ()
    estimate = step_estimate(ready.problem, ready.method)
    assert (estimate.backward, estimate.optimizer) == (0, 0)
    watch, llm = Watch(), ScriptedLLM(few_shot)
    result = asyncio.run(Descent(ready.problem, ready.method, llm, watch).run(ready.start))
    [step] = watch.steps
    assert step.tried.decision.accepted, step.tried.decision.reason
    assert len(read(result.parameters["n.shots"])) == 2
    assert {one.role for one in llm.requests} == {"forward"}
    train = {example.inputs["question"] for example in ready.problem.splits.train}
    assert {one.given["question"] for one in read(result.parameters["n.shots"])} <= train


def graph_of(parameter: Any) -> Mapping[str, Any]:
    node = {"predecessors": ["question"], "parameters": {"p": parameter}}
    return {"name": "g", "inputs": ["question"], "nodes": {"n": node}, "output": "n"}


WHERE = "graph.nodes.n.parameters.p"
SUCH = 'such as [{"given": {"question": "..."}, "output": "..."}, ...]'
MISTAKES: dict[str, tuple[Any, str]] = {
    "none of them": (
        {"demonstrations": 0},
        f"{WHERE}.demonstrations: input should be greater than or equal to 1 (got 0).",
    ),
    "a value that holds none": (
        {"demonstrations": 2, "value": "Be brief."},
        f"{WHERE}: value: holds no demonstrations, {SUCH} "
        "(got {'demonstrations': 2, 'value': 'Be brief.'}).",
    ),
    "a value of another form": (
        {"demonstrations": 2, "value": '[{"output": "x"}]'},
        f"{WHERE}: value: holds something else than demonstrations, {SUCH} "
        "(got {'demonstrations': 2, 'value': '[{\"output\": \"x\"}]'}).",
    ),
    "what is declared of texts": (
        {"demonstrations": 2, "leak": 5},
        f"{WHERE}: has demonstrations, which are chosen: leak means nothing "
        "(got {'demonstrations': 2, 'leak': 5}).",
    ),
    "a value that is no choice": (
        {"value": "c", "choices": ["a", "b"]},
        f'{WHERE}: its own text breaks what is declared of it: it is none of "a", "b".',
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told(name: str) -> None:
    parameter, said = MISTAKES[name]
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(graph_of(parameter)), PROMPTS)
    assert str(refused.value) == said


def test_a_file_of_parameters_that_holds_none_is_told() -> None:
    graph = demonstrated()
    with pytest.raises(ConfigError) as refused:
        read_parameters({**graph.initial(), NAME: "Be brief."}, graph, "p.yaml")
    assert str(refused.value) == f"parameters: p.yaml: '{NAME}' holds no demonstrations, {SUCH}."
    assert read_parameters({**graph.initial(), NAME: shown(1)}, graph, "p.yaml")[NAME] == shown(1)


def test_a_choice_is_told_and_held_to() -> None:
    constraints = demonstrated().parameters["answer.tone"].constraints
    assert list(told(constraints)) == [
        'It is one of these, letter by letter: "Be brief.", "Explain each step."'
    ]
    check(constraints, " Explain each step.\n", "Be brief.")
    with pytest.raises(ReplyError, match=r'it is none of "Be brief\.", "Explain each step\."$'):
        check(constraints, "Explain.", "Be brief.")
