"""Demonstrations: a parameter that is chosen from own right answers; and one of listed texts."""

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
from sgdflow.config.prepare import Prepared, prepare, read_parameters
from sgdflow.descent import Descent, Step
from sgdflow.errors import ConfigError, ReplyError
from sgdflow.executor.demonstrations import NONE, demonstration, read, written
from sgdflow.executor.forward import ForwardPass, forward_pass
from sgdflow.executor.graph import Graph
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.plan.estimate import step_estimate
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.choosing import choice
from sgdflow.update import Situation
from sgdflow.update.choice import read_numbers
from sgdflow.update.constraints import check, told
from sgdflow.update.demonstrations import bootstrapped, texts

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
    found = read(bootstrapped(situation, [NAME]).get(NAME, current))
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


def choosing(role: str, node: str, messages: Sequence[Message]) -> Said:
    """A model that needs to be shown a large number; a writer who sees that in the feedback."""
    content = messages[-1].content
    if role == "forward":
        number = int(content.split('<variable name="question">\n')[1].split("\n")[0])
        shown = re.findall(r"^Output: (\d+)$", content, re.MULTILINE)
        knows = number % 2 == 0 or any(int(one) >= 40 for one in shown)
        return f"<output>{number * 3 if knows else 0}</output>"
    if "stands twice" not in content:
        return "<chosen>1, 1</chosen>"
    asked = messages[1].content
    assert "The expected answer is: " in asked.split("# Where it fails")[1]
    pieces = re.findall(r'<piece name="(\d+)">.*?<output>\n(\d+)\n</output>', asked, re.DOTALL)
    best, other = sorted(pieces, key=lambda one: -int(one[1]))[:2]
    return f"<chosen>{best[0]}, {other[0]}</chosen>"


CHOSEN = "method.update.demonstrations={}"


def ready(tmp_path: Path, *words: str, shots: int = 2) -> Prepared:
    rows = [{"question": str(n), "answer": str(3 * n)} for n in range(1, 25)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("task=table", f"task.path={tmp_path}/rows.jsonl", "task.inputs=[question]", *words)
    words += ("task.splits={train: 16, validation: 0, test: null}", "method.stop.steps=1")
    raw = dict(compose([*words, "task.target=answer", "task.score=number", "tracking=none"]))
    node = {"predecessors": ["question"], "parameters": {"shots": {"demonstrations": shots}}}
    raw["graph"] = {"name": "g", "inputs": ["question"], "nodes": {"n": node}, "output": "n"}
    return prepare(raw, PROMPTS, {})


def test_a_writer_chooses_by_number_what_bootstrap_would_not(tmp_path: Path) -> None:
    prepared = ready(tmp_path, CHOSEN)
    estimate = step_estimate(prepared.problem, prepared.method)
    assert (estimate.backward, estimate.optimizer) == (0, 1)
    assert estimate.sums[-1] == "for demonstrations 1"
    watch, llm = Watch(), ScriptedLLM(choosing)
    result = asyncio.run(Descent(prepared.problem, prepared.method, llm, watch).run(prepared.start))
    [step] = watch.steps
    assert step.tried.decision.accepted, step.tried.decision.reason
    # The gradient, here what the loss says, reached the parameter itself.
    assert list(step.tried.evidence) == ["n.shots"]
    asked = {one.id: int(one.inputs["question"]) for one in prepared.problem.splits.train}
    known = [asked[i] for i, one in step.tried.current.outcomes.items() if one.score == 1]
    best = sorted((3 * n for n in known), reverse=True)[:2]
    assert [int(one.output) for one in read(result.parameters["n.shots"])] == best
    first, second = (one.messages for one in llm.requests if one.role == "optimizer")
    assert "Choose at most 2 of the pieces" in first[1].content
    assert "It is shown none of them now." in first[1].content
    assert "1 stands twice; name each piece once" in second[-1].content
    assert step.tried.proposal.calls["n.shots"][0].malformed


def test_the_simulated_writer_chooses_what_is_like_the_failures() -> None:
    pieces = [(1, "Weight: heavy."), (2, "Weight: light. Zone: east."), (3, "Zone: east. Now.")]
    assert choice(pieces, ["Zone: east, weight: none"], 2) == "2, 3"
    assert read_numbers(choice(pieces, [], 2), 3, 2) == (1, 2)


def test_a_choice_that_stays_unusable_is_skipped_with_the_reason(tmp_path: Path) -> None:
    prepared = ready(tmp_path, CHOSEN)

    def never(role: str, node: str, messages: Sequence[Message]) -> Said:
        return few_shot(role, node, messages) if role == "forward" else "<chosen>1, 99</chosen>"

    watch, llm = Watch(), ScriptedLLM(never)
    result = asyncio.run(Descent(prepared.problem, prepared.method, llm, watch).run(prepared.start))
    [step] = watch.steps
    assert result.parameters == prepared.start
    assert step.tried.proposal.changes == {}
    assert (
        "there is no piece 99; they have the numbers 1 to "
        in (step.tried.proposal.skipped["n.shots"])
    )


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("2, 5", (2, 5)),
        (" [5,2]. ", (5, 2)),
        ("3", (3,)),
        ("", 'it is no list of numbers; write them with commas, such as "2, 5"'),
        ("the second", 'it is no list of numbers; write them with commas, such as "2, 5"'),
        ("2, 7", "there is no piece 7; they have the numbers 1 to 6"),
        ("0", "there is no piece 0; they have the numbers 1 to 6"),
        ("2, 3, 2", "2 stands twice; name each piece once"),
        ("1, 2, 3, 4", "it names 4 pieces; at most 3 can stand"),
    ],
)
def test_a_reply_names_pieces_by_number(reply: str, found: tuple[int, ...] | str) -> None:
    if isinstance(found, tuple):
        assert read_numbers(reply, 6, 3) == found
        return
    with pytest.raises(ReplyError) as refused:
        read_numbers(reply, 6, 3)
    assert str(refused.value) == found


@pytest.mark.parametrize(
    ("words", "shots", "said"),
    [
        (
            "method.update.demonstrations={pieces: 2}",
            2,
            "method.update.demonstrations.pieces: 2 are shown, and 'n.shots' holds 2, so that "
            "there is nothing to choose. Set it to more than 2.",
        ),
        (
            "method.update.demonstrations={prompt: optimizer/causes.jinja}",
            2,
            "method.update.demonstrations: prompts/optimizer/causes.jinja",
        ),
        (
            "method.update.demonstrations={role: chooser}",
            2,
            "method.update.demonstrations.role: llm.models has no 'chooser'.",
        ),
        (
            "method.update.demonstrations={peices: 2}",
            2,
            "method.update.demonstrations.peices: there is no such key. Did you mean 'pieces'?",
        ),
    ],
)
def test_what_can_choose_nothing_is_told(words: str, shots: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        ready(tmp_path, words, shots=shots)
    assert str(refused.value).startswith(said)


def test_a_graph_without_demonstrations_needs_nobody_who_chooses() -> None:
    with pytest.raises(ConfigError) as refused:
        prepare(compose([CHOSEN, "tracking=none"]), PROMPTS, {})
    assert str(refused.value) == (
        "method.update.demonstrations: graph 'tariff' has no demonstrations that may change. "
        "Declare some (graph.nodes.NODE.parameters.NAME.demonstrations; docs/nodes.md), or set it "
        "to null."
    )


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
